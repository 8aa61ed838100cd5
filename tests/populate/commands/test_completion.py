"""What the shell completes, asked as the shell asks."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from populate.cli import main
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
def test_the_shell_gets_the_values_that_begin_alike(
    words: str, found: set[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in asked_by_the_shell(words).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as end:
        main([])
    assert not end.value.code
    assert values_in(capsys.readouterr().out) == found


def test_the_shell_is_answered_by_a_process_of_its_own() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "populate"],
        env={**os.environ, **asked_by_the_shell("query units --structure VISp")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert values_in(done.stdout) == {"VISp", "VISpm", "VISpl", "VISpor"}


def asked_by_the_shell(words: str) -> dict[str, str]:
    *typed, _ = words.split()
    return {
        "_VBN_COMPLETE": "bash_complete",
        "COMP_WORDS": f"vbn {words}",
        "COMP_CWORD": str(len(typed) + 1),
    }


def values_in(answer: str) -> set[str]:
    return {line.partition(",")[2] for line in answer.splitlines() if line}


def test_the_values_are_those_of_the_package() -> None:
    assert set(completion.CELL_CLASSES) == set(CELL_CLASSES)
    assert set(completion.LAYERS) == {*LAYERS, "6", NO_LAYER}
    assert completion.known_structures() == structures()["acronym"].tolist()
