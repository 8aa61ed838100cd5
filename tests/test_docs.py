"""The documentation that is made from the code is the code's."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_generated_pages_are_current() -> None:
    """Made anew by: python docs/make_reference.py."""
    subprocess.run([sys.executable, ROOT / "docs" / "make_reference.py", "--check"], check=True)


def test_links_between_pages_lead_somewhere() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    broken = [
        f"{page.name}: {target}"
        for page in pages
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())
        if not (page.parent / target).exists()
    ]
    assert broken == []


def test_every_command_is_in_the_readme_or_the_docs() -> None:
    from populate.cli import COMMANDS

    text = "".join(page.read_text() for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
    assert [command for command in COMMANDS if f"vbn {command}" not in text] == []
