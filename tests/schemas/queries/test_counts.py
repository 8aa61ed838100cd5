"""Counts of all presentations: as they are asked for, and as the tables that count use them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from schemas import ecephys, psth, queries, responses, stimulus
from schemas.bases.provenance import MadeWith
from schemas.reading.recordings import session_spikes
from schemas.reading.session_frames import presentations_frame
from tests.vbn.analysis.spikes.test_presentation_counts import published_tensor
from vbn.analysis.spikes import compiled
from vbn.analysis.spikes.presentation_counts import COUNT_WINDOWS, count_presentations
from vbn.analysis.spikes.windows import CountedSpikes
from vbn.errors import NotFoundError, SettingError

pytestmark = pytest.mark.usefixtures("synthetic_database")

COUNTING = (
    psth.TrialResponse,
    responses.ChangeResponse,
    responses.OmissionResponse,
    responses.ImageSelectivity,
    responses.FullFieldResponse,
    responses.RunningModulation,
    responses.PupilModulation,
    responses.ReceptiveField,
)


@pytest.fixture
def key(synthetic_database: Any) -> dict[str, Any]:
    """The first recording."""
    return dict(ecephys.Recording.keys(order_by="session_id", limit=1)[0])


def test_counts_are_read_where_they_are_asked_for(key: dict[str, Any]) -> None:
    units, times = session_spikes(key)
    shown = presentations_frame(key)
    spikes = times, units["spike_offset"], units["n_spikes"]
    for window, expected in zip(
        COUNT_WINDOWS, count_presentations(*spikes, shown["start_time"]), strict=True
    ):
        counts = queries.presentation_counts(key["session_id"], window.name)
        assert counts.variable._data.__class__.__name__ == "LazilyIndexedArray"  # no value has been read
        np.testing.assert_array_equal(counts[3:9, [5, 2]], expected[3:9][:, [5, 2]])
        np.testing.assert_array_equal(counts[4], expected[4])
        np.testing.assert_array_equal(counts, expected)
    assert counts["unit_id"].values.tolist() == units["unit_id"].tolist()
    assert counts["presentation_id"].values.tolist() == shown["presentation_id"].tolist()
    assert counts["start_time"].values.tolist() == shown["start_time"].tolist()
    before, after = (queries.presentation_counts(key, name) for name in ("gray_250ms", "flash_250ms"))
    assert (before - after).min() < 0 < (before - after).max() < 200  # would wrap around as stored


@pytest.mark.parametrize("table", COUNTING, ids=lambda table: table.__name__)
def test_results_are_the_same_to_the_bit_with_counts_and_without(
    table: Any, key: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = []
    known = CountedSpikes.known

    def noting(self: Any, *question: Any) -> Any:
        taken.append(known(self, *question))
        return taken[-1]

    monkeypatch.setattr(CountedSpikes, "known", noting)
    of_entry = dict((table & key).keys(limit=1)[0])
    fetched = table().make_fetch(of_entry)
    with_counts = table().make_compute(of_entry, *fetched)
    assert any(counts is not None for counts in taken)
    monkeypatch.setattr(psth.PresentationCounts, "_present", lambda _key: [])
    assert_equal(with_counts, table().make_compute(of_entry, *fetched))


def assert_equal(results: tuple[Any, ...], others: tuple[Any, ...]) -> None:
    for one, other in zip(results, others, strict=True):
        if isinstance(one, pd.DataFrame):
            pd.testing.assert_frame_equal(one, other, check_exact=True)
        else:
            np.testing.assert_equal(one, other)


@pytest.mark.parametrize(
    "table", [psth.Psth, psth.PresentationCounts, *COUNTING], ids=lambda table: table.__name__
)
def test_results_are_the_same_to_the_bit_by_compiled_loops(
    table: Any, key: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("numba")
    monkeypatch.setattr(psth.PresentationCounts, "_present", lambda _key: [])
    monkeypatch.setattr(compiled, "FIRST_PAYS_FROM", 0)
    assert compiled.loops(0)
    of_entry = dict((table & key).keys(limit=1)[0])
    fetched = table().make_fetch(of_entry)
    with compiled.without():
        by_numpy = table().make_compute(of_entry, *fetched)
    assert_equal(by_numpy, table().make_compute(of_entry, *fetched))


def test_counts_of_another_method_file_or_unit_are_not_used(
    key: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def uses_counts() -> bool:
        return isinstance(psth.PresentationCounts.session_spikes(key)[1], CountedSpikes)

    assert uses_counts()
    with monkeypatch.context() as changed:
        changed.setattr(psth.PresentationCounts, "method_version", 99)
        assert not uses_counts()
    with monkeypatch.context() as changed:
        changed.setattr(MadeWith, "source", lambda _key: "of another file")
        assert not uses_counts()
    with monkeypatch.context() as changed:
        units, times = session_spikes(key)
        changed.setattr(
            psth, "session_spikes", lambda _key: (units.assign(n_spikes=units["n_spikes"] - 1), times)
        )
        assert not uses_counts()
        changed.setattr(psth, "session_spikes", lambda _key: (units[::-1], times))
        assert not uses_counts()


def test_the_tensor_of_chosen_units_and_flashes_is_the_published_one(key: dict[str, Any]) -> None:
    units = queries.units(session_id=key["session_id"], where="snr > 2")
    changes = queries.changes(key["session_id"], block="active")
    tensor = queries.spike_tensor(units, changes)
    times = queries.spike_times(units)
    assert tensor["unit_id"].values.tolist() == list(times)
    shown, starts = changes.to_arrays("presentation_id", "presentation_start_time", order_by="KEY")
    assert tensor["presentation_id"].values.tolist() == shown.tolist()
    assert (
        tensor["presentation_id"].values.tolist()
        == changes.to_arrays("presentation_id", order_by="KEY").tolist()
    )
    for row in tensor:
        np.testing.assert_array_equal(row, published_tensor(times[int(row["unit_id"])], starts))
    assert tensor.sum() > 0
    rows = queries.flash_table(key["session_id"], flash_set="repeated_active")[::-1][:7]
    again = queries.spike_tensor(units, rows)
    assert again["start_time"].values.tolist() == rows["start_time"].tolist()


@pytest.mark.parametrize(
    ("ask", "error", "problem"),
    [
        (
            lambda key: queries.presentation_counts(key, "flash"),
            SettingError,
            "no window 'flash'.*flash_250ms",
        ),
        (
            lambda key: queries.presentation_counts(key, presentation_counts_params="mine"),
            NotFoundError,
            "no parameter set 'mine'",
        ),
        (lambda _: queries.presentation_counts(12), NotFoundError, "session_id '12'"),
        (lambda _: queries.presentation_counts(ecephys.Recording), SettingError, "one session at a time"),
        (lambda _: queries.spike_tensor(queries.units(), queries.flashes()), SettingError, "one session"),
        (
            lambda key: queries.spike_tensor(queries.units(where="snr > 1e6"), queries.flashes(key)),
            NotFoundError,
            "no such units",
        ),
        (
            lambda key: queries.spike_tensor(queries.units(where=key), queries.changes(key) & "FALSE"),
            NotFoundError,
            "no such flashes",
        ),
        (
            lambda key: queries.spike_tensor(queries.units(where=key), stimulus.Stimulus),
            SettingError,
            "presentation_id",
        ),
    ],
)
def test_what_cannot_be_given_is_said(ask: Any, error: Any, problem: str, key: dict[str, Any]) -> None:
    with pytest.raises(error, match=problem):
        ask(key)


def test_a_tensor_beyond_any_memory_is_refused(key: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("schemas.queries.counts.LARGEST_TENSOR_BYTES", 1000)
    with pytest.raises(SettingError, match="fewer units or flashes"):
        queries.spike_tensor(queries.units(where=key), queries.changes(key))
