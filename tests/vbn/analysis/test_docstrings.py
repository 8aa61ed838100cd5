from __future__ import annotations

import doctest
import importlib

import pytest


@pytest.mark.parametrize("name", ["vbn.analysis.spikes.psth"])
def test_examples_in_docstrings_are_true(name):
    failed, tried = doctest.testmod(importlib.import_module(name))
    assert tried > 0
    assert failed == 0
