"""Writing a derived NWB file: what pynwb reads back, and that it is valid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import nwbinspector
import pandas as pd
import pynwb
import pytest

from vbn.nwb.write_derived import COMPRESSED_BYTES, DerivedSeries, DerivedSession, DerivedTable, write_derived


@pytest.fixture
def session() -> DerivedSession:
    """A session without tables."""
    return DerivedSession(
        session_id=1064644573,
        start=datetime(2020, 11, 18, 17, 30, tzinfo=UTC),
        session_type="EPHYS_1_images_G_3uL_reward",
        mouse_id="544358",
        sex=None,
        age_in_days=None,
        genotype="wt/wt",
        source="ecephys_session_1064644573.nwb",
        generated_by=("vbn-datajoint", "1.2.3"),
        tables=[],
    )


@pytest.fixture
def written(session: DerivedSession, tmp_path: Path) -> Callable[..., pd.DataFrame]:
    """``written(place="ecephys", ids=None, **columns)`` writes a table and returns what pynwb reads of it."""

    def written(place: str = "ecephys", ids: str | None = None, **columns: Any) -> pd.DataFrame:
        comments = {name: f"what {name} means" for name in columns}
        table = DerivedTable("results", "One row each", pd.DataFrame(columns), comments, place, ids)
        path = tmp_path / "results.nwb"
        write_derived(path, replace(session, tables=[table]))
        with pynwb.NWBHDF5IO(path, "r") as file:
            nwbfile = file.read()
            found = nwbfile.analysis if place == "analysis" else nwbfile.processing[place]
            read = found["results"]
            assert [column.description for column in read.columns if column.name in columns] == [
                *comments.values()
            ]
            return read.to_dataframe()

    return written


def as_lists(values: pd.Series[Any]) -> list[Any]:
    return [np.asarray(value).tolist() for value in values]


def test_plain_values_come_back_with_their_types(written: Callable[..., pd.DataFrame]) -> None:
    frame = written(rate=[0.1, 1 / 3], count=[2**62, -1], tagged=[True, False], structure=["VISp", "LP"])
    assert as_lists(frame["rate"]) == [0.1, 1 / 3]
    assert as_lists(frame["count"]) == [2**62, -1]
    assert as_lists(frame["tagged"]) == [True, False]
    assert as_lists(frame["structure"]) == ["VISp", "LP"]
    assert (frame["count"].dtype, frame["tagged"].dtype) == (np.dtype(np.int64), np.dtype(np.bool_))


def test_what_is_missing_is_nan_and_missing_text_is_empty(written: Callable[..., pd.DataFrame]) -> None:
    frame = written(
        rate=[None, 0.5],
        count=pd.array([None, 7], dtype="Int64"),
        tagged=[None, True],
        structure=[None, "LP"],
        nothing=[None, None],
        curve=[None, np.array([1.0, 2.0])],
    )
    for name, value in {"rate": 0.5, "count": 7.0, "tagged": 1.0}.items():
        np.testing.assert_array_equal(frame[name], [np.nan, value])
    assert frame["structure"].tolist() == ["", "LP"]
    assert frame["nothing"].isna().all()
    np.testing.assert_array_equal(np.stack(frame["curve"]), [[np.nan, np.nan], [1.0, 2.0]])


def test_times_are_iso_text_in_utc(written: Callable[..., pd.DataFrame]) -> None:
    frame = written(at=[pd.Timestamp("2020-11-18 17:30:00.000001", tz="UTC"), pd.NaT])
    assert frame["at"].tolist() == ["2020-11-18T17:30:00.000001+00:00", ""]


def test_arrays_keep_shape_and_type_and_large_ones_are_compressed(
    written: Callable[..., pd.DataFrame], tmp_path: Path
) -> None:
    import h5py

    maps = np.arange(2 * 9 * 9, dtype=np.int32).reshape(2, 9, 9)
    curves = np.random.default_rng(1).random((2, COMPRESSED_BYTES // 8), dtype=np.float32)
    frame = written(map=list(maps), curve=list(curves), names=[["a", "b"], ["c", "d"]])
    np.testing.assert_array_equal(np.stack(frame["map"]), maps)
    np.testing.assert_array_equal(np.stack(frame["curve"]), curves)
    assert as_lists(frame["names"]) == [["a", "b"], ["c", "d"]]
    with h5py.File(tmp_path / "results.nwb") as file:
        stored = file["processing/ecephys/results"]
        assert (stored["map"].dtype, stored["curve"].dtype) == (np.int32, np.float32)
        assert (stored["map"].compression, stored["curve"].compression) == (None, "gzip")


def test_lists_of_several_lengths_are_ragged(written: Callable[..., pd.DataFrame]) -> None:
    lists = [np.array([1.5, 2.5]), np.array([]), None, np.array([3.5])]
    frame = written(licks=lists, names=[["a"], [], None, ["b", "c"]])
    assert as_lists(frame["licks"]) == [[1.5, 2.5], [], [], [3.5]]
    assert as_lists(frame["names"]) == [["a"], [], [], ["b", "c"]]


def test_what_is_nested_is_json(written: Callable[..., pd.DataFrame]) -> None:
    pairs, counts = [[["hits", 3], ["misses", 4]], [], None], [{"pupil": 0}, {}, None]
    frame = written(pairs=pairs, counts=counts, matrix=[[[1, 2], [3, 4]]] * 3)
    assert frame["pairs"].tolist() == ['[["hits", 3], ["misses", 4]]', "[]", ""]
    assert frame["counts"].tolist() == ['[["pupil", 0]]', "[]", ""]
    assert as_lists(frame["matrix"]) == [[[1, 2], [3, 4]]] * 3


def test_matrices_of_several_shapes_are_ragged(written: Callable[..., pd.DataFrame]) -> None:
    """Such as confusions of two and of six classes, with a label that could not be decoded between."""
    confusions = [np.array([[0.75, 0.25], [0.5, 0.5]]), None, np.eye(3), np.array([[1.0, 2.0, 3.0]])]
    frame = written(confusion=confusions)
    shown = [[list(row) for row in matrix] for matrix in frame["confusion"]]
    assert shown == [[] if each is None else each.tolist() for each in confusions]


@pytest.mark.parametrize(
    "arrays", [[np.zeros(2), np.zeros((2, 2))], [np.zeros((1, 1, 2)), np.zeros((1, 2, 2))]]
)
def test_arrays_of_several_dimensions_are_refused(
    arrays: list[np.ndarray], written: Callable[..., pd.DataFrame]
) -> None:
    with pytest.raises(ValueError, match="The arrays of map differ in their dimensions"):
        written(map=arrays)


def test_ids_are_those_of_the_column_only_where_they_are_unique(
    written: Callable[..., pd.DataFrame],
) -> None:
    assert written(ids="unit_id", unit_id=[12, 10]).index.tolist() == [12, 10]
    assert written(ids="unit_id", unit_id=[12, 12]).index.tolist() == [0, 1]
    assert written(unit_id=[12, 10]).index.tolist() == [0, 1]


def test_intervals_are_in_the_order_of_their_starts(written: Callable[..., pd.DataFrame]) -> None:
    columns = {"start_time": [3.0, 1.0], "stop_time": [4.0, 2.0], "trial_id": [1, 0]}
    frame = written("behavior", ids="trial_id", **columns)
    assert frame["start_time"].tolist() == [1.0, 3.0]
    assert frame.index.tolist() == [0, 1]


def test_the_file_is_valid_with_all_kinds_of_tables(session: DerivedSession, tmp_path: Path) -> None:
    """Tables without rows, which nwbinspector minds, are left out."""

    def table(name: str, place: str, rows: int, **columns: Any) -> DerivedTable:
        comments = dict.fromkeys(columns, "meaning")
        return DerivedTable(name, "One row each", pd.DataFrame(columns)[:rows], comments, place)

    intervals = {"start_time": [0.5, 1.5], "stop_time": [1.0, 2.0]}
    tables = [
        table("trials", "trials", 2, **intervals, lick_times=[np.array([0.7]), np.array([])]),
        replace(
            table("units", "units", 3, unit_id=[5, 6, 7], label=["tagged", "untagged", "tagged"]),
            ids="unit_id",
            spike_times=[np.array([0.1, 0.2]), np.array([]), np.array([1.5])],
        ),
        table("epochs", "behavior", 2, **intervals),
        table("nothing", "behavior", 0, rate=[1.0]),
        table("source_file", "analysis", 1, file_name=["a.nwb"]),
    ]
    rates = np.arange(12, dtype=np.float32).reshape(4, 3)
    series = DerivedSeries("psth", "column i is row i of /units", rates, -0.1, 10.0, "Hz")
    path = tmp_path / "results.nwb"
    write_derived(path, replace(session, tables=tables, series=[series], sex="F", age_in_days=119))
    assert pynwb.validate(path=str(path)) == []
    serious = nwbinspector.Importance.BEST_PRACTICE_VIOLATION
    assert list(nwbinspector.inspect_nwbfile(nwbfile_path=path, importance_threshold=serious)) == []
    with pynwb.NWBHDF5IO(path, "r") as file:
        nwbfile = file.read()
        assert list(nwbfile.processing["behavior"].data_interfaces) == ["epochs"]
        assert nwbfile.trials.to_dataframe()["start_time"].tolist() == [0.5, 1.5]
        units = nwbfile.units.to_dataframe()
        assert as_lists(units["spike_times"]) == [[0.1, 0.2], [], [1.5]]
        assert (units.index.tolist(), units["label"].tolist()) == (
            [5, 6, 7],
            ["tagged", "untagged", "tagged"],
        )
        found = nwbfile.processing["ecephys"]["psth"]
        np.testing.assert_array_equal(found.data, rates)
        assert (found.starting_time, found.rate, found.unit) == (-0.1, 10.0, "Hz")


def test_units_without_any_spike_are_written(session: DerivedSession, tmp_path: Path) -> None:
    frame, columns = pd.DataFrame({"unit_id": [5]}), {"unit_id": "id"}
    units = DerivedTable("units", "One row each", frame, columns, "units", "unit_id", [np.array([])])
    write_derived(tmp_path / "results.nwb", replace(session, tables=[units]))
    with pynwb.NWBHDF5IO(tmp_path / "results.nwb", "r") as file:
        assert as_lists(file.read().units.to_dataframe()["spike_times"]) == [[]]


def test_session_and_subject_are_told(session: DerivedSession, tmp_path: Path) -> None:
    known = replace(session, sex="F", age_in_days=119)
    identifiers = set()
    for told, sex, age in [(session, "U", None), (known, "F", "P119D")]:
        write_derived(tmp_path / "results.nwb", told)
        with pynwb.NWBHDF5IO(tmp_path / "results.nwb", "r") as file:
            nwbfile = file.read()
            subject = nwbfile.subject
            assert (subject.subject_id, subject.sex, subject.age) == ("544358", sex, age)
            assert (subject.species, subject.genotype) == ("Mus musculus", "wt/wt")
            assert nwbfile.session_start_time == session.start
            assert nwbfile.session_id == "1064644573"
            assert session.source in nwbfile.session_description
            assert np.asarray(nwbfile.was_generated_by).astype(str).tolist() == [["vbn-datajoint", "1.2.3"]]
            identifiers.add(nwbfile.identifier)
    assert len(identifiers) == 2
