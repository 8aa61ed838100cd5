"""A web server, and commands that wait for it shortly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture
def serve(make_site: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """A function that serves a folder, until the test ends; commands run with short waits between tries."""
    from vbn.web.client import Patience

    monkeypatch.setattr(Patience.__init__, "__defaults__", (4, 5.0, 0.01, 0.05))
    return make_site
