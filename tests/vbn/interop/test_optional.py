"""Libraries that may be absent."""

from __future__ import annotations

import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from vbn.errors import SettingError
from vbn.interop.optional import OLDEST, require_library


def test_an_absent_library_is_named_with_the_command_that_installs_it() -> None:
    with pytest.raises(SettingError, match=r"This needs absent_library\. Run: pip install absent_library$"):
        require_library("absent_library.core")


def test_a_library_that_lacks_one_of_its_own_keeps_its_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "half_installed.py").write_text("import absent_library\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="absent_library"):
        require_library("half_installed")
    assert "half_installed" not in sys.modules


@pytest.mark.parametrize(
    ("installed", "refused"),
    [("2.18.7", True), ("3.1.2", True), ("3.1.3", False), ("3.1.10rc1", False), ("10", False)],
)
def test_a_library_that_is_too_old_is_named_with_its_version(
    monkeypatch: pytest.MonkeyPatch, installed: str, refused: bool
) -> None:
    """SpikeInterface brings zarr 2 before Python 3.14, with which xarray ends in a TypeError."""
    pytest.importorskip("zarr")
    monkeypatch.setattr(metadata, "version", lambda _library: installed)
    if not refused:
        assert require_library("zarr").__name__ == "zarr"
        return
    expected = f"This needs zarr 3.1.3 or newer; {installed} is installed, as another package may ask."
    with pytest.raises(SettingError, match=re.escape(expected)):
        require_library("zarr")


def test_the_oldest_versions_are_those_of_the_extra() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    extra = dict(each.split(">=") for each in project["optional-dependencies"]["tools"])
    assert extra.items() >= OLDEST.items()
    assert extra.keys() - OLDEST.keys() == {"xarray"}  # not optional
