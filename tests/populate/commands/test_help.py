"""What ``vbn --help`` says, and the examples in it, which are run as they stand."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest

from populate.cli import GROUPS, vbn_command
from tests.test_docs_commands import parse_command

pytestmark = pytest.mark.files

ROOT = Path(__file__).parents[3]

READ = (
    "admin spaces", "admin users", "checksum", "deletions", "deploy", "doctor", "errors", "explain", "export",
    "gc", "issues", "lists", "metrics", "notes", "optotagging report", "params list", "params show", "plot",
    "project list", "publish", "query", "recompute", "retry", "sessions", "stale", "status", "up", "verify",
)  # fmt: skip
"""Commands whose examples change nothing in a database in which all is made."""
CHANGE = ("admin init", "catalogue", "delete", "params add", "register", "relocate", "roots")
"""Commands whose examples are run on a database that has sessions, but nothing made from them."""
ELSEWHERE = {
    "vbn admin create-user": "tests/populate/admin/test_roles.py",  # on MySQL: the embedded server has none
    "vbn admin drop-user": "tests/populate/admin/test_roles.py",
    "vbn admin create-space": "tests/populate/admin/test_spaces.py",
    "vbn admin hand-over-space": "tests/populate/admin/test_spaces.py",
    "vbn admin drop-space": "tests/populate/admin/test_spaces.py",
    "vbn admin create-course": "tests/populate/admin/test_spaces.py",
    "vbn admin drop-course": "tests/populate/admin/test_spaces.py",
    "vbn list ": "tests/populate/commands/test_lists.py",  # of files and lists that people have
    "vbn notes --label checked": "tests/populate/commands/test_lists.py",
    "vbn note ": "tests/populate/commands/test_lists.py",
    "vbn query units --structure VISp --sort": "tests/populate/commands/test_lists.py",
    "vbn query units --list": "tests/populate/commands/test_lists.py",
    "vbn project set": "tests/populate/registration/test_projects.py",
    "vbn query connectivity": "tests/schemas/test_connectivity.py",  # computed when asked for only
    "vbn query trial-decoding": "tests/schemas/test_decoding.py",
    "vbn plot connectivity": "tests/schemas/test_connectivity.py",
    "vbn query novelty --list": "tests/schemas/test_mouse_novelty.py",
    "vbn query sessions --normal": "tests/populate/commands/test_lists.py",
    "vbn atlas add": "tests/schemas/test_channel_layers.py",
    "vbn atlas fetch": "tests/populate/registration/test_atlas_files.py",
    "vbn populate --table ChannelLayer": "tests/schemas/test_channel_layers.py",
    "vbn backup": "tests/populate/admin/test_backup.py",
    "vbn restore": "tests/populate/admin/test_restore.py",
    "vbn calibrate": "tests/populate/commands/test_calibrate.py",
    "vbn control": "tests/populate/commands/test_control.py",
    "vbn demo": ".ci/demo",
    "vbn export nwb --session 1064644573 --out": "tests/populate/output/test_export.py",
    "vbn down": "tests/schemas/server/test_whose_server.py",
    "vbn inspect": "tests/populate/registration/test_inspect.py",
    "vbn populate --processes": "tests/populate/work/test_resilience.py",
    "vbn register --release": "tests/populate/registration/test_release_in_place.py",
    "vbn register /data/allen": "tests/populate/commands/test_release_command.py",
    "vbn register synthetic": "tests/populate/commands/test_commands.py",
    "vbn freeze ": "tests/populate/output/test_freeze.py",
    "vbn --published figure-2-data": "tests/populate/output/test_freeze.py",
    "vbn adopt": "tests/populate/adoption/test_adopt.py",
    "vbn publish release-tables --check": "tests/populate/output/test_publish.py",
    "vbn release": "tests/populate/commands/test_release_command.py",
    "vbn serve": "tests/fixtures/page.py",
    "vbn status --watch": "tests/populate/work/test_worker.py",
    "vbn synthetic": "tests/populate/commands/test_commands.py",
    "vbn worker": "tests/populate/work/test_worker.py",
}
"""Beginnings of examples that take minutes, a network or a server of their own -> what runs such commands."""
LACKING = {
    "contrast unit_firing_rate": "No unit has cre_line 'Vip-IRES-Cre'",
    " decoding ": "Nothing is decoded of what is asked for",
    "query novelty --within": "no atlas was entered",
    "plot novelty": "No mouse (has|is)",
    "plot strategy": "2 bouts of licks, fewer than 10",
    "plot hierarchy": "No structure has 5 units that changes excite",
    "register /data/rig": "The mapping rig.toml cannot be read",  # tests/populate/registration/test_rig.py
    "admin users": "yours alone and has no accounts",  # on MySQL: tests/populate/admin/test_roles.py
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
    for command, line in dict.fromkeys(EXAMPLES)
    if (command.startswith(READ) and not line.startswith(tuple(ELSEWHERE))) or "--dry-run" in line
]
CHANGING = [
    line
    for command, line in EXAMPLES
    if command.startswith(CHANGE) and line not in READING and not line.startswith("vbn register --release")
]  # which asks a server far away
OTHERS = [
    line for _command, line in EXAMPLES if line not in READING and not line.startswith(tuple(ELSEWHERE))
]


CONTEXT = click.Context(vbn_command)
SUBGROUPS = {
    name: command
    for name in vbn_command.list_commands(CONTEXT)
    if isinstance(command := vbn_command.get_command(CONTEXT, name), click.Group)
}


def test_commands_stand_in_groups_with_whole_sentences(capsys: pytest.CaptureFixture[str]) -> None:
    names = [name for group in GROUPS.values() for name in group]
    assert len(names) == len(set(names))
    text = vbn_command.get_help(click.Context(vbn_command, info_name="vbn"))
    for title in GROUPS:
        assert f"\n{title}:\n" in text
    assert "..." not in text.partition("Options:")[2]
    sentences = re.split(r"\n  (?=\w)", text.partition("Start:")[2])
    assert [each for each in sentences[1:] if not each.strip().partition("\n\n")[0].endswith(".")] == []


@pytest.mark.parametrize("name", SUBGROUPS)
def test_commands_of_a_group_have_whole_sentences(name: str) -> None:
    """They were cut: "Novel less familiar sessions, over the mice that..."."""
    text = SUBGROUPS[name].get_help(click.Context(SUBGROUPS[name], info_name=f"vbn {name}"))
    shown = text.partition("\nCommands:\n")[2]
    assert shown
    for each in re.split(r"\n  (?=\S)", shown):
        assert each.strip().endswith("."), each
        assert not each.strip().endswith("..."), each


def test_a_command_that_does_not_exist_leads_to_the_nearest(populated_synthetic: Any) -> None:
    for words, near in {("plto",): "plot", ("query", "unts"): "units", ("params", "shwo"): "show"}.items():
        done = populated_synthetic.call(*words, check=False)
        assert done.returncode == 2
        assert re.search(rf"No such command '{words[-1]}'\. Near to it: {near}\b", done.stderr), done.stderr


def test_each_example_is_run_here_or_by_another_test() -> None:
    assert set(OTHERS) <= set(CHANGING)
    assert len(READING) > 55
    for line in ELSEWHERE:
        assert any(example.startswith(line) for _command, example in EXAMPLES), line
    for place in ELSEWHERE.values():
        assert (ROOT / place).is_file()


@pytest.mark.parametrize("example", [line for _command, line in EXAMPLES])
def test_an_example_is_a_command_with_these_options(example: str) -> None:
    for command in example.split(" && "):
        parse_command(shlex.split(command)[1:], whole=True)


@dataclass(frozen=True)
class There:
    """What is there, for what the examples name."""

    session_id: int
    mouse_id: str
    unit_id: int
    structure: str
    folder: Path

    def instead(self, example: str) -> list[list[str]]:
        """Return the commands of an example, with what is there."""
        ids = {
            r"(?<=--session )\d+": self.session_id, r"(?<=--mouse )\d+": self.mouse_id,
            r"(?<=--unit )\d+": self.unit_id, r"(?<=unit_id=)\d+": self.unit_id,
            r"(?<=--structure )\w+": self.structure, r"(?<=--probe )\w+": "probeA",
            r"/data/vbn/project_metadata": self.folder / "project_metadata",
            r"/data/vbn/behavior\w+|/new/place/vbn|/mnt/vbn": self.folder,
            r"(?<=--start )600": 10,
            r"/var/lib/\S*": "vbn.prom", r"/backup": ".", r"(?<=set )data": "examples",
        }  # fmt: skip
        for pattern, known in ids.items():
            example = re.sub(pattern, str(known), example)
        return [shlex.split(command)[1:] for command in example.split(" && ")]


@pytest.fixture(scope="module")
def there(populated_synthetic: Any, synthetic_sessions: Path) -> There:
    from schemas import queries

    populated_synthetic.connect()
    unit = queries.units(where="structure_acronym IS NOT NULL").to_dicts(limit=1)[0]
    ids = (unit["session_id"], unit["mouse_id"], unit["unit_id"], unit["structure_acronym"])
    return There(*ids, synthetic_sessions)


def run(database: Any, example: str, there: There) -> str | None:
    """Run an example and return what it prints; None where something is lacking, which it must say."""
    printed = ""
    for words in there.instead(example):
        done = database.call(*words, check=False)
        lacking = next((said for name, said in LACKING.items() if name in example), None)
        if lacking and done.returncode == 1:
            assert re.search(lacking, done.stderr), done.stderr
            return None
        assert done.returncode == 0, f"{words}: {done.stderr}"
        printed += done.stdout
    return printed


@pytest.mark.parametrize("example", READING)
def test_an_example_of_the_help_is_run(
    example: str, populated_synthetic: Any, there: There, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the ids of sessions, mice and units that are there."""
    monkeypatch.chdir(tmp_path)
    printed = run(populated_synthetic, example, there)
    if "delete" in example and printed:  # tables have the names by which people know them
        assert " Psth.Unit\n" in printed
        assert "__" not in printed
    if " --out " in example and printed is not None:
        out = tmp_path / re.findall(r"--out (\S+)", " ".join(*there.instead(example)))[0]
        assert out.exists()


def test_examples_that_change_something_are_run(
    database: Any, populated_synthetic: Any, there: There, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    database.register_as(populated_synthetic)
    for example in sorted(CHANGING, key=lambda line: ("init" not in line, "delete" in line)):
        if "mine.json" in example:  # not before `admin init`, which wants an empty folder
            shown = database.call("params", "show", "UnitCriteria", "quickstart").stdout
            (tmp_path / "mine.json").write_text(shown.replace("1.0", "1.25"))
        run(database, f"{example} --yes" if "delete" in example else example, there)
    assert [row["n_deleted_sessions"] for row in database.json("deletions")] == [1]
    assert (tmp_path / ".env").is_file()
    database.call("roots", "remove", "examples")  # the machine's, not the database's
    assert {"mine", "bennett_2025"} <= {
        row["name"] for row in database.json("params", "list", "UnitCriteria")
    }
