"""The option ``--module``, which several commands have."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import click


def _add(_context: click.Context, _parameter: click.Parameter, names: tuple[str, ...]) -> None:
    """Add modules to those of the environment, from which child processes have them too."""
    from schemas.server.settings import MODULES_VARIABLE, lab_modules

    if names:
        os.environ[MODULES_VARIABLE] = ",".join([*lab_modules(), *names])


module_option: Callable[[Any], Any] = click.option(
    "--module",
    multiple=True,
    expose_value=False,
    callback=_add,
    metavar="NAME",
    help="Module with tables or queries of your lab, such as mylab.tables; may be repeated.  "
    "[default: VBN_MODULES]",
)
