"""The version is written once; what repeats it for readers is held against it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import vbn

PROJECT = Path(__file__).parents[1]


def test_the_packages_version_is_read_off_the_source() -> None:
    settings = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    assert settings["project"]["dynamic"] == ["version"]
    assert settings["tool"]["hatch"]["version"]["path"] == "vbn/__init__.py"


def test_the_citation_names_this_version() -> None:
    cited = re.search(r"^version: (.+)$", (PROJECT / "CITATION.cff").read_text(), flags=re.MULTILINE)
    assert cited
    assert cited[1] == vbn.__version__


def test_the_changelog_begins_with_this_version_or_with_what_is_not_released() -> None:
    released = re.findall(r"^## (?:\[?)([^]\s]+)", (PROJECT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert released[0] in ("Unreleased", vbn.__version__)
    assert [version for version in released if version != "Unreleased"][:1] in ([], [vbn.__version__])
