"""Write the generated pages: tables.md of the definitions, issues.md of the codes, commands.md of the help.

python docs/make_reference.py          # write them
python docs/make_reference.py --check  # exit 1 if one is out of date
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from populate.cli import vbn_command
from schemas._datajoint import dj
from schemas.connection import modules
from vbn.nwb.issue import CODES, SEVERITIES

FOLDER = Path(__file__).parent
TIERS = {dj.Manual: "entered", dj.Lookup: "parameters", dj.Imported: "imported", dj.Computed: "computed"}
ATTRIBUTE = re.compile(r"(?P<name>\w+)(?:=(?P<default>\S+))?\s*:\s*(?P<type>.+?)\s*#\s*(?P<comment>.*)")
REFERENCE = re.compile(r"->\s*(?:\[\w+\]\s*)?(?P<table>[\w.]+)(?:\.proj\(.*\))?")


def main() -> int:
    """Write or check the pages; return the exit code."""
    pages = {
        FOLDER / "tables.md": render_tables(),
        FOLDER / "issues.md": render_issues(),
        FOLDER / "commands.md": render_commands(),
    }
    if "--check" in sys.argv:
        return 0 if all(path.exists() and path.read_text() == text for path, text in pages.items()) else 1
    for path, text in pages.items():
        path.write_text(text)
    return 0


def render_commands() -> str:
    """Return the page of the commands: each one's help."""
    context = click.Context(vbn_command, info_name="vbn", terminal_width=100)
    lines = ["# Commands", "", "Made by `python docs/make_reference.py` from the commands' help.", ""]
    for path, command in _commands(vbn_command, context, "vbn"):
        help_text = command.get_help(click.Context(command, info_name=path, terminal_width=100))
        lines += [f"## `{path}`", "", "```text", help_text, "```", ""]
    return "\n".join(lines)


def _commands(group: click.Group, context: click.Context, path: str) -> Iterator[tuple[str, click.Command]]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from _commands(command, context, f"{path} {name}")


def render_issues() -> str:
    """Return the page of the import issues."""
    rows = [f"| `{code}` | {SEVERITIES[code]} | {text} |" for code, text in sorted(CODES.items())]
    return "\n".join(
        [
            "# Import issues",
            "",
            "Made by `python docs/make_reference.py`. What is odd in a file is written down as rows of",
            "`session.ImportIssue` when it is registered and imported; `vbn issues` lists them. An issue of",
            "severity `error` stops the import of its table with a message; `warning` and `info` do not.",
            "Some finders raise or lower the usual severity of a code, which is the one listed.",
            "",
            "| code | severity | meaning |",
            "|---|---|---|",
            *rows,
            "",
        ]
    )


def render_tables() -> str:
    """Return the page of the tables."""
    sections = [section for module in modules() for section in _module(module)]
    return "\n".join(
        [
            "# Tables",
            "",
            "Made by `python docs/make_reference.py` from the definitions in `schemas/`. Every table below",
            "a session carries the session's key, `mouse_id` and `session_id`.",
            "",
            "```mermaid",
            "flowchart LR",
            *sorted({f"    {parent} --> {child}" for child, parent in _edges()}),
            "```",
            "",
            *sections,
        ]
    )


def _masters() -> Iterator[tuple[str, type]]:
    for module in modules():
        for cls, _ in module.schema.declare_list:
            yield module.__name__.rpartition(".")[2], cls


def _parts(cls: type) -> Iterator[type]:
    for value in vars(cls).values():
        if inspect.isclass(value) and issubclass(value, dj.Part):
            yield value


def _edges() -> Iterator[tuple[str, str]]:
    """Yield (child, parent) of the references between masters, and of parts to other masters."""
    for _, cls in _masters():
        for table in (cls, *_parts(cls)):
            for match in REFERENCE.finditer(table.definition):
                parent = _master_name(match["table"])
                if parent not in ("master", cls.__name__):
                    yield cls.__name__, parent


def _master_name(reference: str) -> str:
    steps = reference.split(".")
    return steps[1] if steps[0].islower() and len(steps) > 1 else steps[0]


def _module(module: object) -> Iterator[str]:
    name = module.__name__.rpartition(".")[2]  # type: ignore[attr-defined]
    yield f"## `{name}`"
    yield ""
    yield (module.__doc__ or "").strip()
    yield ""
    for owner, cls in _masters():
        if owner == name:
            yield from _table(
                cls.__name__, cls, next(text for tier, text in TIERS.items() if issubclass(cls, tier))
            )
            for part in _parts(cls):
                yield from _table(f"{cls.__name__}.{part.__name__}", part, "part")


def _table(name: str, cls: type, tier: str) -> Iterator[str]:
    yield f"### {name} ({tier})"
    yield ""
    yield (cls.__doc__ or "").strip().split("\n")[0]
    yield ""
    yield "| | attribute | type | meaning |"
    yield "|---|---|---|---|"
    is_key = True
    for raw in cls.definition.strip().splitlines():  # type: ignore[attr-defined]
        line = raw.strip()
        if line.startswith("---"):
            is_key = False
        elif line.startswith("->"):
            yield f"| {'key' if is_key else ''} | | {line.removeprefix('->').strip()} | reference |"
        elif match := ATTRIBUTE.match(line):
            kind = match["type"] + (", may be NULL" if match["default"] == "null" else "")
            yield f"| {'key' if is_key else ''} | `{match['name']}` | {kind} | {match['comment']} |"
    yield ""


if __name__ == "__main__":
    sys.exit(main())
