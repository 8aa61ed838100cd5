"""Units as a table: pages of it are the whole, sorted the same, and counts are those of its rows."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from schemas import queries, selection
from vbn.errors import NotFoundError, SettingError

COLUMNS = ["unit_id", "snr", "change_modulation_active", "structure_acronym", "cell_class", "valid_data"]


@pytest.fixture
def units(populated_synthetic: Any) -> Any:
    populated_synthetic.connect()
    return queries.units()


@pytest.mark.parametrize(
    "sort",
    [
        (),
        ("snr",),
        ("-change_modulation_active",),
        ("change_modulation_active", "-change_latency"),
        ("cell_class", "-snr"),
        ("session_id", "-unit_id"),
    ],
)
@pytest.mark.parametrize("of", ["all", "some", "some, within"])
def test_pages_put_together_are_the_whole_table(units: Any, sort: tuple[str, ...], of: str) -> None:
    """Also where values are missing or equal, in both directions; of units that are selected within, too."""
    if of != "all":
        units = units & "snr > 1.5"
    if of == "some, within":  # where DataJoint shows no restriction of the whole
        units = units.proj(..., doubled="snr * 2")
        assert not units.make_subquery().restriction
        units = units.make_subquery()
    whole = queries.unit_table(units, COLUMNS, sort=sort)
    pages = [queries.unit_table(units, COLUMNS, sort=sort, limit=9, offset=at) for at in range(0, 60, 9)]
    found = pd.concat([page for page in pages if len(page)], ignore_index=True)
    assert len(found) == len(whole) == len(units)
    pd.testing.assert_frame_equal(found, whole, check_dtype=False)
    if sort and sort[0].removeprefix("-") in ("snr", "change_modulation_active"):
        values = whole[sort[0].removeprefix("-")]
        present = values.dropna()
        assert present.is_monotonic_increasing or sort[0].startswith("-")
        assert present.is_monotonic_decreasing or not sort[0].startswith("-")
        assert values.iloc[len(present) :].isna().all()


def test_numbers_of_units_are_those_of_the_rows(units: Any) -> None:
    by = ["structure_acronym", "cell_class", "change_is_responsive"]
    table = queries.unit_table(units, by)
    counted = queries.count_units(units, by)
    wanted = table.astype(str).value_counts().to_dict()
    assert {tuple(map(str, row[:3])): row[3] for row in counted.itertuples(index=False)} == wanted
    assert queries.count_units(units, [])["n_units"].tolist() == [len(table)]


def test_quality_filters_are_counted_as_they_select(units: Any) -> None:
    names = [*selection.UnitCriteria.names()]
    (row,) = queries.count_units(units, [], passing=names).to_dict("records")
    counted = queries.count_units(units, ["structure_acronym"], passing=names)
    for name in names:
        passing = queries.unit_table(queries.units(criteria=name), ["structure_acronym"])
        assert row[f"n_passing_{name}"] == len(passing)
        wanted = passing["structure_acronym"].value_counts().to_dict()
        found = counted.set_index("structure_acronym")[f"n_passing_{name}"]
        assert found[found > 0].to_dict() == wanted
    with pytest.raises(NotFoundError, match="no parameter set 'godo'"):
        queries.count_units(units, [], passing=["godo"])


def test_units_without_results_are_rows_without_values(
    populated_synthetic: Any, units: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if nothing was computed for the default parameter sets."""
    from schemas.responses import ChangeResponseParams

    monkeypatch.setattr(ChangeResponseParams, "default_name", classmethod(lambda _cls: "later"))
    monkeypatch.setattr(ChangeResponseParams, "get", classmethod(lambda _cls, _name: None))
    name = "change_modulation_active"
    with pytest.warns(queries.IncompleteWarning, match="ChangeResponse .later. for 2 sessions"):
        table = queries.unit_table(units, ["unit_id", name], sort=[f"-{name}"], limit=500)
    assert len(table) == len(units) > 0
    assert table[name].isna().all()


def test_what_cannot_be_shown_or_sorted_by_is_said(units: Any) -> None:
    with pytest.raises(SettingError, match=r"no column 'snrr'\. Near to it: snr"):
        queries.unit_table(units, ["snrr"])
    with pytest.raises(SettingError, match="'abnormal_histology' are lists, which have no order"):
        queries.unit_table(units, sort=["abnormal_histology"])
    with pytest.raises(SettingError, match="no column 'clas'"):
        queries.count_units(units, ["clas"])


def test_a_text_of_a_condition_ends_where_it_seems_to(units: Any) -> None:
    r"""To MySQL ``'\'`` is no text that has ended: what follows could be read as SQL."""
    condition = r"lower(genotype) = '\' AND lower(genotype) = ' OR 1 = 1 )) #'"
    with pytest.raises(SettingError, match="cannot contain a backslash"):
        queries.units(where=condition)
