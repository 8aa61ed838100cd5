"""What the shell completes, asked as the shell asks."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from populate.commands import completion
from vbn.analysis.optotagging import CELL_CLASSES
from vbn.anatomy import structures
from vbn.anatomy.layers import LAYERS, NO_LAYER


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("query units --structure VISp", {"VISp", "VISpm", "VISpl", "VISpor"}),
        ("query units --structure vispo", {"VISpor"}),
        ("query units --structure nothing", set()),
        ("query units --cell-class s", {"Sst"}),
        ("query responses --layer 6", {"6", "6a", "6b"}),
        ("query sessions --experience F", {"Familiar"}),
        ("query uni", {"units"}),
    ],
)
def test_the_shell_gets_the_values_that_begin_alike(words: str, found: set[str]) -> None:
    *typed, _ = words.split()
    asked = {
        "_VBN_COMPLETE": "bash_complete",
        "COMP_WORDS": f"vbn {words}",
        "COMP_CWORD": str(len(typed) + 1),
    }
    done = subprocess.run(
        [sys.executable, "-m", "populate"],
        env={**os.environ, **asked},
        capture_output=True,
        text=True,
        check=True,
    )
    assert {line.partition(",")[2] for line in done.stdout.splitlines() if line} == found


def test_the_values_are_those_of_the_package() -> None:
    assert set(completion.CELL_CLASSES) == set(CELL_CLASSES)
    assert set(completion.LAYERS) == {*LAYERS, "6", NO_LAYER}
    assert completion.known_structures() == structures()["acronym"].tolist()
