"""Write docs/tables.md, the reference of all tables, from their definitions.

python docs/make_tables.py          # write it
python docs/make_tables.py --check  # exit 1 if it is out of date
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from schemas._datajoint import dj
from schemas.connection import modules

PAGE = Path(__file__).with_name("tables.md")
TIERS = {dj.Manual: "entered", dj.Lookup: "parameters", dj.Imported: "imported", dj.Computed: "computed"}
ATTRIBUTE = re.compile(r"(?P<name>\w+)(?:=(?P<default>\S+))?\s*:\s*(?P<type>.+?)\s*#\s*(?P<comment>.*)")
REFERENCE = re.compile(r"->\s*(?:\[\w+\]\s*)?(?P<table>[\w.]+)(?:\.proj\(.*\))?")


def main() -> int:
    """Write or check the page; return the exit code."""
    text = render()
    if "--check" in sys.argv:
        return 0 if PAGE.exists() and PAGE.read_text() == text else 1
    PAGE.write_text(text)
    return 0


def render() -> str:
    """Return the page."""
    sections = [section for module in modules() for section in _module(module)]
    return "\n".join(
        [
            "# Tables",
            "",
            "Made by `python docs/make_tables.py` from the definitions in `schemas/`. Every table below",
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
