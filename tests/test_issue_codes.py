"""Every issue code that the source uses is declared, documented and met by a test; read off the source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from vbn.nwb.issue import CODES, SEVERITIES

PROJECT = Path(__file__).parents[1]
MAKERS = ("issue", "Issue")


class Module:
    """The functions of one file, and the codes of the issues that they make."""

    def __init__(self, path: Path) -> None:
        self.path = path
        tree = ast.parse(path.read_text())
        self.functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]

    def codes(self) -> Iterator[str]:
        for function in self.functions:
            if function.name in MAKERS:  # hands on the code that it is given
                continue
            for call in calls(function, *MAKERS):
                found = list(self.values(function, call.args[0]))
                assert found, f"{self.path}:{call.lineno}: the code cannot be told from the source"
                yield from found

    def values(self, function: ast.FunctionDef, code: ast.expr) -> Iterator[str]:
        """Tell a code: a text, or the name that a loop gives to the keys of a dictionary."""
        if isinstance(code, ast.Constant):
            yield str(code.value)
        elif isinstance(code, ast.Name):
            for loop in ast.walk(function):
                if isinstance(loop, ast.For | ast.comprehension) and first_name(loop.target) == code.id:
                    yield from self.keys(function, loop.iter)

    def keys(self, function: ast.FunctionDef, mapping: ast.expr) -> Iterator[str]:
        """Tell the keys of a dictionary that is written out in the function or by one that calls it."""
        if isinstance(mapping, ast.Dict):
            yield from (str(key.value) for key in mapping.keys if isinstance(key, ast.Constant))
        elif isinstance(mapping, ast.Call) and isinstance(mapping.func, ast.Attribute):
            yield from self.keys(function, mapping.func.value)  # .items()
        elif isinstance(mapping, ast.Name):
            for node in ast.walk(function):
                if isinstance(node, ast.Assign) and first_name(node.targets[0]) == mapping.id:
                    yield from self.keys(function, node.value)
            names = [argument.arg for argument in function.args.args]
            if mapping.id in names:
                for caller in self.functions:
                    for call in calls(caller, function.name):
                        yield from self.keys(caller, call.args[names.index(mapping.id)])


def calls(function: ast.FunctionDef, *names: str) -> Iterator[ast.Call]:
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names:
            yield node


def first_name(target: ast.expr) -> str | None:
    target = target.elts[0] if isinstance(target, ast.Tuple) else target
    return target.id if isinstance(target, ast.Name) else None


@cache
def used() -> dict[str, set[str]]:
    """Return code -> files that make issues of it."""
    found: dict[str, set[str]] = {}
    for package in ("vbn", "schemas", "populate"):
        for path in (PROJECT / package).rglob("*.py"):
            for code in Module(path).codes():
                found.setdefault(code, set()).add(path.name)
    return found


def test_every_code_in_use_is_declared_and_every_declared_code_is_in_use() -> None:
    assert used().keys() == CODES.keys() == SEVERITIES.keys()
    assert "catalogue.py" in used()["abnormal_session"]


def test_every_code_is_documented() -> None:
    page = (PROJECT / "docs" / "issues.md").read_text()
    assert [
        code for code, text in CODES.items() if f"| `{code}` | {SEVERITIES[code]} | {text} |" not in page
    ] == []


def test_every_code_is_met_by_a_test() -> None:
    """Each is named in a test, or in what one is given."""
    named = {
        node.value
        for path in (PROJECT / "tests").rglob("test_*.py")
        if path != Path(__file__)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant)
    }
    assert CODES.keys() - named == set()
