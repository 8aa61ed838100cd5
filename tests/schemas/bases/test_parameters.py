"""Parameter sets: entered once under one name, checked, hashed, never changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from typing import Any

import pytest

from schemas import performance, psth, selection
from schemas.bases import parameter_table as parameters
from schemas.bases.registry import tables
from schemas.deploy import seeds
from schemas.server.datajoint import dj
from vbn.analysis.task.performance import PerformanceParameters
from vbn.errors import ConflictError, NotFoundError, SettingError

DEFAULTS = [(cls.__name__, name) for cls in parameters.parameter_tables().values() for name in cls.defaults]
EACH_DEFAULT = pytest.mark.parametrize(("table", "name"), DEFAULTS)


@pytest.fixture(scope="module")
def own_database(make_database: Callable[..., Any]) -> Any:
    return make_database()


@pytest.fixture
def params(own_database: Any) -> Iterator[type[performance.PerformanceParams]]:
    """The parameters of the behavior metrics, with the defaults and nothing else at the beginning."""
    own_database.connect()
    yield performance.PerformanceParams
    (performance.PerformanceParams - {"performance_params": "allensdk"}).delete_quick()


@EACH_DEFAULT
def test_the_defaults_are_there_and_come_back_as_they_were(
    synthetic_database: Any, table: str, name: str
) -> None:
    cls = parameters.parameter_tables()[table]
    assert cls.get(name) == cls.defaults[name]


@EACH_DEFAULT
def test_entering_a_default_again_changes_nothing(synthetic_database: Any, table: str, name: str) -> None:
    cls = parameters.parameter_tables()[table]
    before = cls.to_dicts(order_by="KEY")
    assert cls.add(name, cls.defaults[name]) is False
    assert cls.to_dicts(order_by="KEY") == before


@EACH_DEFAULT
def test_a_known_content_under_another_name_is_refused(
    synthetic_database: Any, table: str, name: str
) -> None:
    cls = parameters.parameter_tables()[table]
    with pytest.raises(ConflictError, match=f"'mine' .* has the same content as '{name}'. Use that one"):
        cls.add("mine", cls.defaults[name])


def test_the_keys_read_from_the_definitions_are_those_of_the_tables(synthetic_database: Any) -> None:
    for cls in parameters.parameter_tables().values():
        assert list(cls.primary_key) == [cls.key_name()]
        assert cls.names() == sorted(cls.to_arrays(cls.key_name()))


def test_a_table_has_the_parameters_whose_keys_are_in_its_own(synthetic_database: Any) -> None:
    for cls in tables(dj.Imported, dj.Computed):
        known = parameters.parameter_tables().values()
        assert cls.parameters() == [each for each in known if each.key_name() in cls().primary_key]


def test_a_table_that_lacks_a_default_set_or_has_an_old_one_is_seeded_again(params: Any) -> None:
    seeds.seed_defaults()
    assert seeds._tables_to_seed() == []
    (params & {"performance_params": "allensdk"}).delete_quick()
    assert seeds._tables_to_seed() == [params]
    seeds.seed_defaults()
    row = (params & {"performance_params": "allensdk"}).fetch1()
    assert row["performance_hash"] == params.stamp(row["performance_content"])["performance_hash"]
    assert seeds._tables_to_seed() == []
    dj.Table.update1(params(), {**row, "performance_version": 0, "performance_hash": "0" * 64})
    assert seeds._tables_to_seed() == [params]
    seeds.seed_defaults()
    assert (params & {"performance_params": "allensdk"}).fetch1() == row


def test_another_content_under_a_known_name_is_refused(params: Any) -> None:
    with pytest.raises(ConflictError, match=r"'allensdk' .*exists with other content"):
        params.add("allensdk", PerformanceParameters(sliding_window=50))
    assert params.get("allensdk") == PerformanceParameters()


def test_a_new_set_is_added_beside_the_old_one(params: Any) -> None:
    assert params.add("window50", PerformanceParameters(sliding_window=50)) is True
    assert params.get({"performance_params": "window50", "session_id": 1}).sliding_window == 50
    assert params.get("allensdk").sliding_window == 100


def test_whole_numbers_and_their_decimals_are_the_same_set(params: Any) -> None:
    content = asdict(PerformanceParameters(engaged_threshold=3.0))
    params.add("mine", {**content, "engaged_threshold": 3})
    assert params.add("mine", content) is False


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sliding_windo": 5}, "no parameter 'sliding_windo'. Near to it: sliding_window"),
        ({"frequency": 5}, "no parameter 'frequency'. There are: .*sliding_window"),
        ({"sliding_window": "many"}, "sliding_window: .*integer"),
        ({"sliding_window": 2.5}, "sliding_window: .*integer"),
        ({"sliding_window": 0}, "at least one trial"),
        ({"response_window_s": [0.5, 0.1]}, "response_window_s must be"),
        ({"rate_clip": float("nan")}, "without NaN"),
    ],
)
def test_a_content_that_cannot_be_is_refused(params: Any, change: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        params.add("mine", {**asdict(PerformanceParameters()), **change})
    assert len(params()) == 1


def test_a_content_that_lacks_something_is_refused(params: Any) -> None:
    content = asdict(PerformanceParameters())
    del content["rate_clip"]
    with pytest.raises(SettingError, match="also needs rate_clip"):
        params.add("mine", content)


def test_an_unknown_name_further_down_is_refused(params: Any) -> None:
    criterion = {"column": "snr", "comparison": ">", "value": 1.0, "null_passes": False, "unit": "1"}
    with pytest.raises(SettingError, match="has no unit"):
        selection.UnitCriteria.add("mine", {"criteria": [criterion], "for_populations": True})


def test_a_filter_by_an_unknown_column_is_refused(params: Any) -> None:
    criterion = {"column": "snrr", "comparison": ">", "value": 1.0, "null_passes": False}
    with pytest.raises(SettingError, match=r"'snrr'. Near to it: snr"):
        selection.UnitCriteria.add("mine", {"criteria": [criterion], "for_populations": True})


def test_rows_past_the_checks_are_refused(params: Any) -> None:
    row = params.fetch1()
    with pytest.raises(ConflictError, match="add"):
        params.insert1({**row, "performance_params": "mine"})
    with pytest.raises(ConflictError, match="never changed"):
        params().update1({**row, "performance_version": 7})
    assert len(params()) == 1


def test_an_unknown_set_is_named_with_the_known_ones(synthetic_database: Any) -> None:
    with pytest.raises(NotFoundError, match=r"no parameter set 'change'. There are: .*change_active"):
        psth.Alignment.get("change")


def test_a_new_version_of_the_method_restamps_the_sets(
    database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = performance.PerformanceParams
    params.add("mine", PerformanceParameters(sliding_window=50))
    before = {row["performance_params"]: row for row in params.to_dicts()}
    monkeypatch.setattr(params, "method_version", 2)
    params.seed()
    for row in params.to_dicts():
        old = before[row["performance_params"]]
        assert row["performance_content"] == old["performance_content"]
        assert row["performance_version"] == 2
        assert row["performance_hash"] != old["performance_hash"]


def test_what_becomes_a_default_may_be_somebodys_own_set_already(
    params: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = PerformanceParameters(sliding_window=50)
    params.add("mine", own)
    mine = (params & {"performance_params": "mine"}).fetch1()
    monkeypatch.setattr(params, "defaults", {**params.defaults, "window50": own})
    for _ in range(2):
        seeds.seed_defaults()
        assert seeds._tables_to_seed() == []
        assert params.get("window50") == params.get("mine") == own
        assert (params & {"performance_params": "mine"}).fetch1() == mine
    assert [params.add(name, own) for name in ("mine", "window50")] == [False, False]
    with pytest.raises(ConflictError, match=r"'other' .* has the same content as 'mine'. Use that one"):
        params.add("other", own)
    monkeypatch.setattr(params, "method_version", 2)
    params.seed()
    assert seeds._tables_to_seed() == []
    assert params.to_arrays("performance_version").tolist() == [2, 2, 2]
    assert [params.add(name, own) for name in ("mine", "window50")] == [False, False]


def test_a_default_that_was_changed_without_a_change_of_the_layout_is_refused(
    params: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would stop every deploy; the dumps of `test_upgrade` show whether a default has been changed so."""
    before = params.to_dicts()
    monkeypatch.setattr(params, "defaults", {"allensdk": PerformanceParameters(sliding_window=99)})
    with pytest.raises(ConflictError, match=r"'allensdk' .* exists with other content"):
        seeds.seed_defaults()
    assert params.to_dicts() == before


def test_a_field_that_came_later_is_not_hashed_while_it_says_what_was_before() -> None:
    filters = selection.UnitCriteria
    criterion = {"column": "snr", "comparison": ">", "value": 1.0, "null_passes": False}
    before, same, other = (
        {"criteria": [{**criterion, **more}], "for_populations": False}
        for more in ({}, {"absent_passes": False}, {"absent_passes": True})
    )
    assert filters.stamp(before) == filters.stamp(same) != filters.stamp(other)
    assert filters.checked(before) == filters.checked(same) != filters.checked(other)


def test_the_criteria_of_a_filter_are_rows(synthetic_database: Any) -> None:
    rows = (selection.UnitCriteria.Criterion & {"unit_criteria": "quickstart"}).to_dicts(order_by="KEY")
    found = {(row["criterion_column"], row["criterion_comparison"], row["criterion_value"]) for row in rows}
    assert found == {("snr", ">", 1.0), ("isi_violations", "<", 1.0), ("unit_firing_rate", ">", 0.1)}


def test_the_hash_does_not_depend_on_the_order_and_does_on_content_and_version() -> None:
    contents = [({"b": [1, 2], "a": 0.1}, 1), ({"a": 0.1, "b": [2, 1]}, 1), ({"a": 0.1, "b": [1, 2]}, 2)]
    hashes = [parameters.parameters_hash(*each) for each in contents]
    assert hashes[0] == parameters.parameters_hash({"a": 0.1, "b": [1, 2]}, 1)
    assert len(set(hashes)) == 3


def test_settings_become_json() -> None:
    settings = replace(PerformanceParameters(), sliding_window=3)
    assert parameters.as_json(settings)["response_window_s"] == [0.15, 0.75]
