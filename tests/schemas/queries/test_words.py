"""The field's words for columns and arguments, and words that must not be taken for each other."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from schemas import queries
from schemas.queries import words
from schemas.queries.checks import in_our_words
from vbn.errors import SettingError


@pytest.fixture
def tables(populated_synthetic: Any) -> Any:
    populated_synthetic.connect()
    return populated_synthetic


def test_words_are_no_names_and_lead_to_names(tables: Any) -> None:
    """A word that is itself a column of the table would never be translated."""
    known = set(queries.columns()["column"])
    events = {*queries.changes().heading.names, *queries.trial_table(True).columns, "channel_id", "probe_id"}
    for word, meant in words.COLUMNS.items():
        assert word == word.lower()
        assert word not in known
        assert set(meant) & {*known, *events, "presentation_duration"} or word == "structure", word
    assert set(words.NOTES) <= known


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("area = 'LP' OR region = 'VISp'", "structure_acronym = 'LP' OR structure_acronym = 'VISp'"),
        ("firing_rate > 5 AND SNR > 1", "unit_firing_rate > 5 AND snr > 1"),
        (
            "ecephys_session_id IS NOT NULL AND layer IS NULL",
            "session_id IS NOT NULL AND cortical_layer IS NULL",
        ),
        ("PT_ratio > 0.5 OR change_is_responsive = 1", "pt_ratio > 0.5 OR change_is_responsive = 1"),
    ],
)
def test_a_condition_in_their_words_is_the_same(tables: Any, theirs: str, ours: str) -> None:
    known = set(queries.columns()["column"])
    assert in_our_words(theirs, known) == ours
    assert in_our_words(ours, known) is ours
    if "layer" not in ours:  # there is no atlas
        found = queries.units(where=theirs).to_arrays("unit_id").tolist()
        assert found == queries.units(where=ours).to_arrays("unit_id").tolist() != []


def test_a_text_that_is_such_a_word_stays_as_it_is() -> None:
    assert in_our_words("quality = 'area'", {"quality", "structure_acronym"}) == "quality = 'area'"
    assert in_our_words({"area": "layer"}, {"structure_acronym"}) == {"structure_acronym": "layer"}


def test_two_words_for_one_name_are_one_column_and_no_two_conditions() -> None:
    known = ["structure_acronym", "snr"]
    assert words.our_names("column", ["area", "structure_acronym", "SNR"], known) == known
    with pytest.raises(SettingError, match="mean the same: area, structure_acronym"):
        in_our_words({"area": "VISp", "structure_acronym": "VISl"}, known)


def test_rows_that_are_divided_by_a_word_say_which_they_are(tables: Any) -> None:
    words_of = ("query", "contrast", "unit_firing_rate", "--criteria", "all")
    by_word, by_name = (
        tables.call(*words_of, "--within", within).stdout for within in ("area", "structure_acronym")
    )
    assert by_word == by_name
    assert by_word.split()[0] == "structure_acronym"


def test_arguments_have_their_words_too(tables: Any) -> None:
    key = queries.units(criteria="quickstart").to_dicts(limit=1)[0]
    area, session = key["structure_acronym"], key["session_id"]
    units: Any = queries.units  # whose signature has our words
    ours = units(structure=area, session_id=session, criteria="quickstart")
    theirs = units(area=area, ecephys_session_id=session, unit_criteria="quickstart")
    assert theirs.to_arrays("unit_id").tolist() == ours.to_arrays("unit_id").tolist() != []
    with pytest.raises(TypeError, match="'structure' or 'area', which mean the same"):
        units(structure=area, area=area)
    with pytest.raises(TypeError, match=r"no argument 'depth'.*probe_vertical_position"):
        units(depth=100)


def test_columns_to_show_to_sort_and_to_count_by_have_their_words(tables: Any) -> None:
    table = queries.unit_table(
        queries.units(), ["unit_id", "area", "firing_rate"], sort=["-firing_rate"], limit=3
    )
    assert list(table) == ["unit_id", "structure_acronym", "unit_firing_rate"]
    assert table["unit_firing_rate"].is_monotonic_decreasing
    assert list(queries.count_units(queries.units(), ["area"])) == ["structure_acronym", "n_units"]
    changes = tables.json(
        "query", "changes", "--columns", "stimulus_presentations_id,start_time", "--limit", 2
    )
    assert [list(row) for row in changes] == [["presentation_id", "presentation_start_time"]] * 2


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("depth > 100", "Depth is probe_vertical_position, um above the tip"),
        ("dprime > 1", "d_prime of units is a metric of spike sorting"),
        ("mean_dprime > 1", "d_prime of units is a metric of spike sorting"),
        ("responds = 1", "Whether a unit responds is in: change_is_responsive"),
    ],
)
def test_a_word_of_several_meanings_is_explained(tables: Any, condition: str, said: str) -> None:
    with pytest.raises(SettingError, match=said):
        queries.units(where=condition)


def test_the_d_prime_of_sorting_and_that_of_behavior_are_not_confused(tables: Any) -> None:
    with pytest.raises(SettingError, match="d' of behavior belongs to sessions and trials"):
        queries.sessions(where="d_prime > 1")
    meaning = queries.columns("dprime").set_index("column")["meaning"]
    assert "spike sorting, not d' of behavior" in meaning["d_prime"]
    done = tables.call("query", "trials", "--sort", "d_prime", check=False)
    assert done.returncode == 1
    assert "rolling_dprime of vbn query trials" in done.stderr
    shown = tables.call("query", "sessions", "--help").stdout
    assert "d_prime of units" in " ".join(shown.split())


def test_the_list_of_columns_is_searched_by_their_words(tables: Any) -> None:
    assert "probe_vertical_position" in set(queries.columns("depth")["column"])
    assert "unit_firing_rate" in set(queries.columns("firing_rate")["column"])
    assert "change_is_responsive" in set(queries.columns("responds")["column"])
    assert "structure_acronym" in set(queries.columns("Area")["column"])


def test_tables_are_exported_explained_and_deleted_by_their_words(tables: Any, tmp_path: Any) -> None:
    out = tmp_path / "units.csv"
    tables.call("export", "Recording.Unit", "--columns", "unit_id,firing_rate", "--out", out)
    assert list(pd.read_csv(out)) == ["unit_id", "unit_firing_rate"]
    unit = queries.units().to_dicts(limit=1)[0]
    steps = tables.json("explain", "Recording", f"ecephys_session_id={unit['session_id']}")
    assert steps[0]["row"]["session_id"] == unit["session_id"]
    planned = tables.json("delete", "--where", f"ecephys_session_id={unit['session_id']}", "--dry-run")
    assert planned["sessions"] == [unit["session_id"]]
