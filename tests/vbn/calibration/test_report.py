"""The page of a calibration."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vbn.calibration.columns import LEFT_OUT, ClaimingColumn, P
from vbn.calibration.models.measures import MODEL_MEASURES
from vbn.calibration.models.report import MODELS_TITLE
from vbn.calibration.replaced import EVERY_MEASURE
from vbn.calibration.report import as_page, shown_value, verdict
from vbn.calibration.run import (
    BIAS_MS,
    FALSE_DISCOVERY,
    FALSE_POSITIVE,
    MEAN,
    POWER,
    CalibrationSettings,
    Cell,
    CellKey,
)
from vbn.calibration.worlds import MIXTURES, WORLDS

PAGE = Path(__file__).parents[3] / "docs" / "calibration.md"
COLUMN = ClaimingColumn("p_selectivity", P, "image")


def cell(world: str, value: float, low: float, high: float, what: str = FALSE_POSITIVE) -> Cell:
    return Cell(CellKey("ImageSelectivity", COLUMN.name, world, what), value, low, high, 100, 10)


def test_a_verdict_names_the_worst_worlds_first() -> None:
    kind, unkind = cell("poisson", 0.05, 0.02, 0.08), cell("ou_60", 0.56, 0.4, 0.7)
    doubtful, mixed = cell("drift", 0.09, 0.01, 0.2), cell("mixed", 0.4, 0.3, 0.5, FALSE_DISCOVERY)
    power = cell("image_tuned", 0.9, 0.8, 1.0, POWER)
    assert verdict([kind, doubtful, mixed, unkind, power], COLUMN) == "fails in ou_60 (.56), mixed (FDR .40)"
    assert verdict([kind, doubtful], COLUMN) == "unclear in drift (.09)"
    assert verdict([kind, power], COLUMN) == "holds"
    assert verdict([cell("poisson", 0.01, 0.0, 0.03)], COLUMN) == "conservative"
    assert verdict([power], COLUMN) == "not judged"
    many = [cell(f"world_{n}", 0.5, 0.4, 0.6) for n in range(6)]
    assert verdict(many, COLUMN).endswith("and 2 more")


@pytest.mark.parametrize(
    ("value", "what", "shown"),
    [
        (0.365, POWER, ".36"), (0.0, POWER, ".00"), (1.0, POWER, "1.00"), (0.999, POWER, "1.00"),
        (-0.352, MEAN, "-.35"), (12.4, BIAS_MS, "+12"),
    ],
)  # fmt: skip
def test_numbers_are_short(value: float, what: str, shown: str) -> None:
    assert shown_value(cell("poisson", value, 0.0, 1.0, what)) == shown


def test_what_fails_is_bold_and_the_page_says_how_it_was_made() -> None:
    settings = CalibrationSettings(2, 6, seed=9, worlds=("ou_60", "drift"))
    page = as_page([cell("ou_60", 0.56, 0.4, 0.7), cell("drift", 0.09, 0.01, 0.2)], settings)
    assert "| ou_60 | **.56** |" in page
    assert "| drift | *.09* |" in page
    assert (
        "`vbn calibrate --sessions 2 --units 6 --models 0 --seed 9 --world ou_60 --world drift --wr" in page
    )
    assert "2 sessions with 6 units in each world" in page
    assert "40 sessions with 50 units" in page


def test_the_page_of_the_documentation_has_every_column_and_world() -> None:
    """Made anew by `vbn calibrate --write docs/calibration.md`."""
    of_units, _, rest = PAGE.read_text().partition(MODELS_TITLE)
    of_models, _, _ = rest.partition("### Every world of the models")
    sections = dict(re.findall(r"^### (\w+)\n\n(.*?)(?=\n\n)", of_units, flags=re.M | re.S))
    listed = {table: re.findall(r"^\| `(\w+)` \|", text, flags=re.M) for table, text in sections.items()}
    models = dict(re.findall(r"^### (\w+)\n\n[^|]*\n\n(.*?)(?=\n\n)", of_models, flags=re.M | re.S))
    named = {table: re.findall(r"^\| `([^`]+)` \|", text, flags=re.M) for table, text in models.items()}
    assert named == {each.table: [column.name for column in each.columns] for each in MODEL_MEASURES}
    assert listed == {measure.table: [column.name for column in measure.columns] for measure in EVERY_MEASURE}
    worlds = re.findall(r"^\| (\w+) \|", PAGE.read_text().partition("## The worlds")[2], flags=re.M)
    assert worlds == ["world", *WORLDS, *MIXTURES]
    assert all(f"- `{name}`: {reason}" in PAGE.read_text() for name, reason in LEFT_OUT.items())
