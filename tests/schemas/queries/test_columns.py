"""Every result can be asked for: in conditions, as a column, and to sort by."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from schemas import ecephys, queries
from schemas.rows.fetch import fetch_frame
from vbn.errors import NotFoundError, SettingError


@pytest.fixture(scope="module")
def table(populated_synthetic: Any) -> pd.DataFrame:
    populated_synthetic.connect()
    return queries.responses_table(queries.units(), missing="nan")


CONDITIONS: dict[str, Callable[[pd.DataFrame], pd.Series[bool]]] = {
    "change_is_responsive = 1": lambda table: table["change_is_responsive"].fillna(False),
    "change_is_responsive = 0": lambda table: ~table["change_is_responsive"].fillna(True),
    "change_modulation_active > 0.1 AND snr > 2": lambda table: (
        table["change_modulation_active"].astype(float).gt(0.1) & table["snr"].gt(2)
    ),
    "cell_class = 'Sst' OR omission_p_value < 0.5": lambda table: (
        table["cell_class"].eq("Sst") | table["omission_p_value"].astype(float).lt(0.5)
    ),
    "change_modulation_active IS NULL": lambda table: table["change_modulation_active"].isna(),
    "selectivity_preferred_image LIKE 'im%'": lambda table: (
        table["selectivity_preferred_image"].str.startswith("im").fillna(False)
    ),
}


@pytest.mark.parametrize("condition", CONDITIONS)
def test_a_condition_on_results_chooses_what_the_table_of_results_has(
    populated_synthetic: Any, table: pd.DataFrame, condition: str
) -> None:
    populated_synthetic.connect()
    wanted = table.loc[CONDITIONS[condition](table).astype(bool), "unit_id"].tolist()
    found = sorted(queries.units(where=condition).to_arrays("unit_id").tolist())
    assert found == sorted(wanted)
    both = queries.units(where=[condition, "snr > 3"]).to_arrays("unit_id").tolist()
    assert sorted(both) == sorted(set(wanted) & set(table.loc[table["snr"] > 3, "unit_id"]))


def test_the_conditions_divide_the_units(table: pd.DataFrame) -> None:
    chosen = [int(of(table).astype(bool).sum()) for of in CONDITIONS.values()]
    assert sum(0 < number < len(table) for number in chosen) >= 3, chosen


def test_a_mapping_asks_for_results_too(populated_synthetic: Any, table: pd.DataFrame) -> None:
    populated_synthetic.connect()
    found = queries.units(where={"cell_class": ["RS", "FS"], "quality": "good"}).to_arrays("unit_id")
    wanted = table[table["cell_class"].isin(["RS", "FS"]) & (table["quality"] == "good")]
    assert sorted(found.tolist()) == sorted(wanted["unit_id"])


def test_a_name_that_nothing_has_is_told_with_the_nearest_among_results(populated_synthetic: Any) -> None:
    populated_synthetic.connect()
    with pytest.raises(SettingError, match="change_is_responsive"):
        queries.units(where="change_is_responsiv = 1")
    with pytest.raises(NotFoundError, match="Sst"):
        queries.units(where="cell_class = 'Sts'")


@pytest.mark.files
def test_columns_of_results_are_shown_and_sorted_by(populated_synthetic: Any, table: pd.DataFrame) -> None:
    words = ("--where", "change_is_responsive = 1", "--columns", "unit_id,cell_class", "--format", "csv")
    shown = populated_synthetic.vbn(
        "query", "units", *words, "--sort", "structure_acronym,-omission_p_value"
    ).stdout
    found = pd.read_csv(io.StringIO(shown))
    wanted = table[table["change_is_responsive"].fillna(False).astype(bool)].sort_values(
        ["structure_acronym", "omission_p_value"], ascending=[True, False], kind="stable"
    )
    assert list(found) == ["unit_id", "cell_class"]
    assert found["unit_id"].tolist() == wanted["unit_id"].tolist()
    assert found["cell_class"].tolist() == wanted["cell_class"].tolist()
    refused = populated_synthetic.vbn("query", "units", "--columns", "unit_id,cell_clas", check=False)
    assert "There is no column 'cell_clas'. Near to it: cell_class" in refused.stderr
    refused = populated_synthetic.vbn("query", "units", "--sort", "-snrr", check=False)
    assert "There is no column 'snrr'. Near to it: snr" in refused.stderr


def test_the_columns_are_listed_with_unit_type_and_meaning(
    populated_synthetic: Any, table: pd.DataFrame
) -> None:
    populated_synthetic.connect()
    listed = queries.columns().set_index("column")
    assert set(table) - {"mouse_id"} <= set(listed.index)
    assert listed["meaning"].ne("").all()
    assert listed.index.is_unique
    assert listed.loc["unit_firing_rate", ["table", "unit", "type"]].tolist() == ["units", "Hz", "number"]
    assert listed.loc["change_is_responsive", "type"] == "flag"
    assert listed.loc["cell_class", "type"].split(", ")[:2] == ["Sst", "Vip"]
    assert set(listed.loc[["cortical_layer", "cortical_depth"], "table"]) == {"ChannelLayer"}
    assert queries.columns("OMISSION")["column"].str.contains("omission").any()
    with pytest.raises(NotFoundError, match="zebra"):
        queries.columns("zebra")


def test_a_condition_on_results_that_are_not_computed_says_so(
    make_database: Any, synthetic_files: list[Any]
) -> None:
    database = make_database()
    database.call("register", synthetic_files[0])
    database.call("populate", "--table", "Recording")
    database.connect()
    with pytest.warns(queries.IncompleteWarning, match="ChangeResponse"):
        assert len(queries.units(where="change_is_responsive = 1")) == 0
    assert len(fetch_frame(ecephys.Recording.Unit())) > 0


@pytest.mark.parametrize(("word", "meant"), [("V1", "VISp"), ("lgn", "LGd"), ("PM", "VISpm")])
def test_other_names_of_areas_lead_to_ours(populated_synthetic: Any, word: str, meant: str) -> None:
    populated_synthetic.connect()
    for ask in (
        lambda: queries.units(structure=word),
        lambda: queries.units(where={"structure_acronym": word}),
    ):
        with pytest.raises(NotFoundError, match=f"'{word}'. It is named {meant} here"):
            ask()


def test_near_to_an_acronym_are_those_that_were_recorded_from(populated_synthetic: Any) -> None:
    populated_synthetic.connect()
    recorded = set(ecephys.Recording.Channel.to_arrays("structure_acronym").tolist())
    with pytest.raises(NotFoundError, match="Near to it") as caught:
        queries.units(structure="VISpp")
    near = str(caught.value).partition("Near to it: ")[2].rstrip(".").split(", ")
    assert set(near) <= recorded
