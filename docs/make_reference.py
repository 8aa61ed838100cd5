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
from schemas.bases.registry import modules
from schemas.server.datajoint import dj
from vbn.nwb.issue import CODES, SEVERITIES

FOLDER = Path(__file__).parent
TIERS = {dj.Manual: "entered", dj.Lookup: "parameters", dj.Imported: "imported", dj.Computed: "computed"}
FRAMES = {
    "entered": "stroke:#009E73,stroke-width:2px",
    "parameters": "stroke:#888888,stroke-width:2px",
    "imported": "stroke:#0072B2,stroke-width:2px",
    "computed": "stroke:#D55E00,stroke-width:2px",
    "elsewhere": "stroke-dasharray:4 3",
}
ATTRIBUTE = re.compile(r"(?P<name>\w+)(?:=(?P<default>\S+))?\s*:\s*(?P<type>.+?)\s*#\s*(?P<comment>.*)")
REFERENCE = re.compile(r"->\s*(?:\[\w+\]\s*)?(?P<table>[\w.]+?)(?=\.proj\(|\s|$)")


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
        settings = {"terminal_width": 100, **vbn_command.context_settings}
        help_text = command.get_help(click.Context(command, info_name=path, **settings))
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
    """Return the page of the tables: how they hang together, then each one's attributes."""
    sections = [section for module in modules() for section in _module(module)]
    return "\n".join(
        [
            "# Tables",
            "",
            "Made by `python docs/make_reference.py` from the definitions in `schemas/`. Every table below",
            "a session carries the session's key, `mouse_id` and `session_id`.",
            "",
            "An arrow leads from a module to those whose tables refer to its own; arrows that a longer way",
            "replaces are left out. In the modules' own diagrams below, the frame is green for tables that",
            "people enter, grey for parameters, blue for what is imported, and red for what is computed; a",
            "dashed frame is a table of another module.",
            "",
            *_overview(),
            "",
            *sections,
        ]
    )


def _overview() -> Iterator[str]:
    """Yield the diagram of the modules, with the names of their tables, parameters left out."""
    homes = {cls.__name__: owner for owner, cls in _masters()}
    edges = {(homes[parent], homes[child]) for child, parent in _edges() if homes[parent] != homes[child]}
    yield "```mermaid"
    yield "flowchart LR"
    for module in modules():
        owner = module.__name__.rpartition(".")[2]
        names = [cls.__name__ for home, cls in _masters() if home == owner and not issubclass(cls, dj.Lookup)]
        yield f'    {owner}["<b>{owner}</b><br/>{"<br/>".join(names)}"]'
    yield from (f"    {parent} --> {child}" for parent, child in sorted(_without_detours(edges)))
    yield "```"


def _without_detours(edges: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return the edges without those between nodes that a longer way connects."""

    def reached(start: str) -> set[str]:
        return {
            node
            for parent, child in edges
            if parent == start
            for node in (child, *reached(child))
        }  # fmt: skip

    return {
        (parent, child)
        for parent, child in edges
        if not any(child in reached(other) for start, other in edges if start == parent)
    }


def _diagram(owner: str) -> Iterator[str]:
    """Yield the diagram of a module's tables and of those that they refer to."""
    tiers = {cls.__name__: _tier(cls) for home, cls in _masters() if home == owner}
    homes = {cls.__name__: home for home, cls in _masters()}
    edges = sorted({(parent, child) for child, parent in _edges() if child in tiers})
    if not edges:
        return
    yield "```mermaid"
    yield "flowchart LR"
    yield from (f"    {name}:::{tier}" for name, tier in tiers.items())
    for name in sorted({parent for parent, _ in edges if parent not in tiers}):
        yield f'    {name}["{homes[name]}.{name}"]:::elsewhere'
    yield from (f"    {parent} --> {child}" for parent, child in edges)
    drawn = (
        {*tiers.values(), "elsewhere"} if any(parent not in tiers for parent, _ in edges) else tiers.values()
    )
    yield from (f"    classDef {name} {style}" for name, style in FRAMES.items() if name in drawn)
    yield "```"
    yield ""


def _tier(cls: type) -> str:
    return next(text for tier, text in TIERS.items() if issubclass(cls, tier))


def _masters() -> Iterator[tuple[str, type]]:
    for module in modules():
        for cls in module.schema.masters:
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
    yield from _diagram(name)
    for owner, cls in _masters():
        if owner == name:
            yield from _table(cls.__name__, cls, _tier(cls))
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
            yield f"| {'key' if is_key else ''} | | `{line.removeprefix('->').strip()}` | {_link(line)} |"
        elif match := ATTRIBUTE.match(line):
            kind = match["type"] + (", may be NULL" if match["default"] == "null" else "")
            yield f"| {'key' if is_key else ''} | `{match['name']}` | {kind} | {match['comment']} |"
    yield ""


def _link(line: str) -> str:
    """Return where a line of references leads."""
    match = REFERENCE.match(line)
    assert match is not None
    name = re.sub(r"^[a-z_]+\.", "", match["table"])
    if name == "master":
        return "its master"
    headings = {cls.__name__: _tier(cls) for _, cls in _masters()}
    headings |= {f"{cls.__name__}.{part.__name__}": "part" for _, cls in _masters() for part in _parts(cls)}
    return f"[{name}](#{name.replace('.', '').lower()}-{headings[name]})"


if __name__ == "__main__":
    sys.exit(main())
