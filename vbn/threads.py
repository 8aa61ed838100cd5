"""Linear algebra in one thread: the same bits on any number of cores, and no core kept from others."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, wraps
from typing import ParamSpec, TypeVar

from threadpoolctl import ThreadpoolController

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


@cache
def _libraries() -> ThreadpoolController:
    """Return what sets the threads of the libraries of linear algebra (BLAS)."""
    import scipy.linalg  # noqa: F401 - SciPy brings one of its own besides NumPy's

    return ThreadpoolController()


def in_one_thread(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Decorate a function so that BLAS has one thread while it runs.

    How BLAS divides a sum between threads changes its last bits. And where several processes compute at once,
    threads that wait for each other keep the cores busy: on a machine of two cores with other work, small
    sessions took two and a half times the processor time.
    """

    @wraps(function)
    def limited(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        with _libraries().limit(limits=1, user_api="blas"):
            return function(*args, **kwargs)

    return limited
