"""Libraries that may be absent."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from vbn.errors import SettingError
from vbn.interop.optional import require_library


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
