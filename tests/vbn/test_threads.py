"""What is computed does not depend on the number of cores."""

from __future__ import annotations

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from vbn.threads import in_one_thread


def threads() -> set[int]:
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


def test_a_function_has_one_thread_and_its_caller_as_many_as_before() -> None:
    with threadpool_limits(limits=3, user_api="blas"):
        assert in_one_thread(threads)() == {1}
        assert threads() == {3}
        with pytest.raises(ValueError, match="wrong"):
            in_one_thread(fail)()
        assert threads() == {3}


def fail() -> None:
    raise ValueError("wrong")


def test_the_bits_are_the_same_on_any_number_of_cores() -> None:
    rng = np.random.default_rng(0)
    design = rng.standard_normal((2782, 647)).astype(np.float32)
    square = in_one_thread(lambda: design.T @ design)
    found = set()
    for limit in (1, 2, 4):
        with threadpool_limits(limits=limit, user_api="blas"):
            found.add(square().tobytes())
    assert len(found) == 1


def test_arguments_and_name_are_those_of_the_function() -> None:
    assert in_one_thread(divmod)(7, 3) == (2, 1)
    assert in_one_thread(fail).__name__ == "fail"
