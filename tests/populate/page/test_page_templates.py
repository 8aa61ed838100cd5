"""What the page's templates say where the database says nothing."""

from __future__ import annotations

from typing import Any

import pytest

from populate.page.layout import rendered

UNIT: dict[str, Any] = {
    "unit_id": 5, "session_id": 7001, "structure_acronym": None, "probe_name": "shank 1",
    "anterior_posterior_ccf_coordinate": None, "mouse_id": "M9", "genotype": "wt/wt",
}  # fmt: skip


@pytest.mark.parametrize("position", [None, float("nan"), 0, 120])
def test_a_unit_without_a_position_has_none(position: float | None) -> None:
    shown = rendered("unit.html", layer="", notes=[], **UNIT, probe_vertical_position=position)
    if position in (0, 120):
        assert f"shank 1, {position} µm from the tip" in shown
    else:
        assert "shank 1</dd>" in shown
        assert "tip" not in shown
