from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import vbn.nwb

MODULES = [module.name for module in pkgutil.walk_packages(vbn.nwb.__path__, "vbn.nwb.")]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_are_true(name):
    failed, _ = doctest.testmod(importlib.import_module(name))
    assert failed == 0


def test_there_are_examples():
    assert sum(doctest.testmod(importlib.import_module(name)).attempted for name in MODULES) >= 10
