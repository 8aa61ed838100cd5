"""Contrasts of units between sessions: rows as plain means give them, and what cannot be asked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from schemas import queries
from vbn.errors import NotFoundError, SettingError

pytestmark = pytest.mark.usefixtures("synthetic_database")


def test_a_contrast_is_that_of_plain_means() -> None:
    """The two sessions of one mouse: an estimate, its units drawn, and no p."""
    units = queries.units(where="unit_firing_rate > 1")
    frame = queries.responses_table(units, ["ChangeResponse"])
    found = queries.contrast(units, "change_baseline_rate_active", within=["structure_group"], min_units=1)
    for row in found.to_dict("records"):
        group = frame[frame["structure_group"] == row["structure_group"]]
        means = group.groupby("experience_level")["change_baseline_rate_active"].mean().dropna()
        if len(means) == 2:
            assert row["estimate"] == pytest.approx(means["Novel"] - means["Familiar"], nan_ok=True)
            assert (row["n_mice"], row["n_sessions"]) == (1, 2)
            assert np.isnan(row["p_value"])
            assert np.isnan(row["low"])  # of one mouse nothing is known about mice
        else:
            assert row["n_mice"] == 0
    assert found["n_mice"].max() == 1
    assert found.attrs["contrast"] == "change_baseline_rate_active: Novel less Familiar"
    assert found.attrs["mice"] == sorted(frame["mouse_id"].unique())
    back = queries.contrast(
        units,
        "change_baseline_rate_active",
        levels=("Novel", "Familiar"),
        within=["structure_group"],
        min_units=1,
    )
    assert np.allclose(back["estimate"], -found["estimate"], equal_nan=True)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"column": "change_baselin_rate_active"},
            "There is no column 'change_baselin_rate_active'.*change_baseline_rate_active",
        ),
        ({"column": "genotype"}, "'genotype' is no number"),
        ({"column": "snr", "between": "structure_acronym"}, "structure_acronym has .* values .* not 2"),
        ({"column": "snr", "between": "genotype"}, "genotype has 1 values"),
        ({"column": "snr", "levels": ("Familiar", "Novl")}, "No unit has experience_level 'Novl'"),
        ({"column": "snr", "pair": None}, "compare within mice"),
    ],
)
def test_what_cannot_be_contrasted_is_said(options: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingError, match=words):
        queries.contrast(queries.units(), **options)


def test_a_contrast_is_repeated_by_other_choices_and_names_the_mice_it_rests_on() -> None:
    options: dict[str, Any] = {"within": ["structure_group"], "min_units": 2, "n_resamples": 10}
    sets = ["all", "quickstart"]
    found = queries.contrast(queries.units(), "snr", across={"unit_criteria": sets}, **options)
    for name in sets:
        alone = queries.contrast(queries.units(criteria=name), "snr", **options)
        rows = found[found["unit_criteria"] == name].drop(columns="unit_criteria")
        pd.testing.assert_frame_equal(rows.reset_index(drop=True), alone)
        assert {mouse for mice in alone["mice"] for mouse in mice.split()} == {*alone.attrs["mice"]}
    nobody = queries.contrast(queries.units(), "snr", min_units=10_000)
    assert (nobody["n_mice"].tolist(), nobody.attrs["mice"]) == ([0], [])
    method = {"optotag_method": ["bennett_2025", "salt"]}
    labels = queries.contrast(queries.units(), "snr", across=method, n_resamples=10)
    assert labels["optotag_method"].tolist() == method["optotag_method"]
    with pytest.raises(NotFoundError, match="'mine'"):
        queries.contrast(queries.units(), "snr", across={"unit_criteria": ["mine"]})
    with pytest.raises(SettingError, match="no parameter 'unit_criterion'"):
        queries.contrast(queries.units(), "snr", across={"unit_criterion": ["all"]})


def test_numbers_as_the_command_line_has_them_are_levels_and_a_column_without_values_is_empty() -> None:
    first = queries.contrast(queries.units(), "snr", "session_number", levels=("1", "2"), min_units=1)
    second = queries.contrast(queries.units(), "snr", "session_number", levels=(1, 2), min_units=1)
    pd.testing.assert_frame_equal(first, second)
    column = "novelty_change_nonshared_active"  # there are too few changes
    assert queries.contrast(queries.units(), column)["n_mice"].tolist() == [0]


def test_units_that_no_group_holds_are_said() -> None:
    with pytest.raises(NotFoundError, match="No unit has a value of each of abnormal_histology"):
        queries.contrast(queries.units(), "snr", within=["abnormal_histology"])


def test_cell_classes_are_those_of_the_named_method(populated_synthetic: Any) -> None:
    """All methods label these few units alike, so one that is not there tells that it was asked."""
    with pytest.raises(NotFoundError, match="'mine'"):
        queries.contrast(queries.units(), "snr", within=["cell_class"], optotag_method="mine")
    words = ("query", "contrast", "snr", "--within", "cell_class", "--optotag-method", "mine")
    done = populated_synthetic.call(*words, check=False)
    assert done.returncode == 1
    assert "'mine'" in done.stderr


def test_layers_need_an_atlas() -> None:
    with pytest.raises(NotFoundError, match="vbn atlas add"):
        queries.contrast(queries.units(), "snr", within=["cortical_layer"])


def test_the_command_prints_the_table(populated_synthetic: Any) -> None:
    done = populated_synthetic.call(
        "query", "contrast", "snr", "--within", "structure_group", "--format", "csv"
    )
    assert done.stdout.splitlines()[0].startswith("structure_group,estimate,low,high,p_value,q_value,lowest")
