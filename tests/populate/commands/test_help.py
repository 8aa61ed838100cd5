"""What ``vbn --help`` says, and the examples in it, which are run as they stand."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from populate.cli import GROUPS, vbn_command

pytestmark = pytest.mark.files

RUN = (
    "delete",
    "deletions",
    "errors",
    "explain",
    "issues",
    "params list",
    "params show",
    "query",
    "sessions",
)
"""Commands whose examples need nothing but a database with sessions, and change nothing."""
LACKING = {
    "contrast unit_firing_rate": "No unit has cre_line 'Vip-IRES-Cre'",
    "novelty --within": "no atlas was entered",
}
"""What may be said instead where the two synthetic sessions have no such mice, atlas or stimuli."""


def _examples(group: click.Group, path: str, context: click.Context) -> Iterator[tuple[str, str]]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        for line in (command.help or "").partition("Example")[2].splitlines():
            if line.strip().startswith("vbn "):
                yield f"{path} {name}".strip(), line.strip()
        if isinstance(command, click.Group):
            yield from _examples(command, f"{path} {name}".strip(), context)


EXAMPLES = list(_examples(vbn_command, "", click.Context(vbn_command)))
READING = [
    line
    for command, line in EXAMPLES
    if command.startswith(RUN) and ("delete " not in line or "--dry" in line)
]


def test_commands_stand_in_groups_with_whole_sentences(capsys: pytest.CaptureFixture[str]) -> None:
    names = [name for group in GROUPS.values() for name in group]
    assert len(names) == len(set(names))
    text = vbn_command.get_help(click.Context(vbn_command, info_name="vbn"))
    for title in GROUPS:
        assert f"\n{title}:\n" in text
    assert "..." not in text.partition("Options:")[2]
    sentences = re.split(r"\n  (?=\w)", text.partition("Start:")[2])
    assert [each for each in sentences[1:] if not each.strip().partition("\n\n")[0].endswith(".")] == []


def test_a_command_that_does_not_exist_leads_to_the_nearest(populated_synthetic: Any) -> None:
    for words, near in {("plto",): "plot", ("query", "unts"): "units", ("params", "shwo"): "show"}.items():
        done = populated_synthetic.call(*words, check=False)
        assert done.returncode == 2
        assert re.search(rf"No such command '{words[-1]}'\. Near to it: {near}\b", done.stderr), done.stderr


@pytest.mark.parametrize("example", READING)
def test_an_example_of_the_help_is_run(
    example: str, populated_synthetic: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the ids of sessions, mice and units that are there."""
    from schemas import queries

    monkeypatch.chdir(tmp_path)
    populated_synthetic.connect()
    unit = queries.units().to_dicts(limit=1)[0]
    structure = next(name for name in queries.units().to_arrays("structure_acronym") if name)
    ids = {
        r"(?<=--session )\d+": unit["session_id"], r"(?<=--mouse )\d+": unit["mouse_id"],
        r"(?<=unit_id=)\d+": unit["unit_id"], r"(?<=--structure )\w+": structure,
    }  # fmt: skip
    for pattern, known in ids.items():
        example = re.sub(pattern, str(known), example)
    done = populated_synthetic.call(*shlex.split(example)[1:], check=False)
    lacking = next((words for name, words in LACKING.items() if name in example), None)
    if lacking and done.returncode == 1:
        assert re.search(lacking, done.stderr), done.stderr
    else:
        assert done.returncode == 0, done.stderr
    if "delete" in example:  # tables have the names by which people know them
        assert " Psth.Unit\n" in done.stdout
        assert "__" not in done.stdout
