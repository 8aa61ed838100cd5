"""Every result can be asked for: in conditions, as a column, and to sort by."""

from __future__ import annotations

import io
from typing import Any

import pandas as pd
import pytest

from schemas import ecephys, queries
from schemas.queries.columns import result_names
from schemas.rows.fetch import fetch_frame
from vbn.errors import NotFoundError, SettingError


@pytest.fixture(scope="module")
def table(populated_synthetic: Any) -> pd.DataFrame:
    populated_synthetic.connect()
    return queries.responses_table(queries.units(), missing="nan")


def dividing_column(table: pd.DataFrame, names: list[str]) -> tuple[str, float] | None:
    """Return a column of numbers with several values, and a number between two of them."""
    for name in names:
        values = pd.to_numeric(table[name], errors="coerce").dropna().astype(float).unique()
        if len(values) > 1:
            lower, upper = sorted(values)[len(values) // 2 - 1 :][:2]
            return name, float((lower + upper) / 2)
    return None


def test_conditions_on_results_choose_what_the_table_of_results_has(
    populated_synthetic: Any, table: pd.DataFrame
) -> None:
    populated_synthetic.connect()
    divided = [dividing_column(table, result_names(each)) for each in queries.RESPONSES.values()]
    numbers = [each for each in divided if each is not None]
    assert len(numbers) >= 6
    for (name, bound), (other, limit) in zip(numbers, [*numbers[1:], numbers[0]], strict=True):
        above = pd.to_numeric(table[name]).astype(float) > bound
        below = pd.to_numeric(table[other]).astype(float) < limit
        for condition, wanted in (
            (f"{name} > {bound!r}", above),
            (f"{name} > {bound!r} AND {other} < {limit!r}", above & below),
            (
                f"{other} < {limit!r} OR ({name} > {bound!r} AND quality = 'good')",
                below | above & table["quality"].eq("good"),
            ),
            (f"{name} IS NULL", table[name].isna()),
        ):
            found = queries.units(where=condition).to_arrays("unit_id").tolist()
            assert sorted(found) == sorted(table.loc[wanted, "unit_id"]), condition
        assert 0 < above.sum() < len(table)


def test_flags_are_asked_for_with_0_and_1(populated_synthetic: Any, table: pd.DataFrame) -> None:
    populated_synthetic.connect()
    flags = table["change_is_responsive"]
    assert flags.notna().any()
    for value in (0, 1):
        found = queries.units(where=f"change_is_responsive = {value}").to_arrays("unit_id").tolist()
        assert sorted(found) == sorted(table.loc[flags.eq(value).fillna(False).astype(bool), "unit_id"])


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
    words = ("--where", "change_is_responsive = 0", "--columns", "unit_id,cell_class", "--format", "csv")
    shown = populated_synthetic.vbn(
        "query", "units", *words, "--sort", "structure_acronym,-omission_p_value"
    ).stdout
    found = pd.read_csv(io.StringIO(shown))
    wanted = table[~table["change_is_responsive"].fillna(True).astype(bool)].sort_values(
        ["structure_acronym", "omission_p_value"], ascending=[True, False], kind="stable"
    )
    assert list(found) == ["unit_id", "cell_class"]
    assert len(found) > 10
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
    units = fetch_frame(ecephys.Recording.Unit())
    clear, often = (f"{name} > {float(units[name].median())!r}" for name in ("snr", "unit_firing_rate"))
    high, fast = (
        set(units.loc[units[name] > units[name].median(), "unit_id"]) for name in ("snr", "unit_firing_rate")
    )
    assert set() < high & fast < high
    for condition, wanted in (
        (f"change_is_responsive = 1 OR {often}", fast),
        (f"{often} OR change_is_responsive IS NULL", fast),
        (f"({clear} OR change_is_responsive = 1) AND (omission_sign = 1 OR {often})", high & fast),
        (f"change_is_responsive = 1 AND omission_sign = 1 OR {clear}", high),
        ("NOT (change_is_responsive = 1 OR omission_sign = 1)", set()),
        ("change_is_responsive = 1 OR omission_sign = 1", set()),
    ):
        with pytest.warns(queries.IncompleteWarning, match="meet no condition on it"):
            found = queries.units(where=condition)
        assert set(found.to_arrays("unit_id").tolist()) == wanted, condition


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
    assert near == sorted(near, key=lambda name: name not in recorded)
    assert near[0] in recorded
