"""Frames of a session are read once while its tables are made, and anew when their rows are."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from populate.work import runner
from schemas import stimulus
from schemas.reading import kept_frames, session_frames


@pytest.fixture
def key(populated_synthetic: Any) -> dict[str, Any]:
    populated_synthetic.connect()
    return stimulus.Stimulus.keys(order_by="session_id")[0]


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is read from the database, in order."""
    seen: list[str] = []
    fetch = session_frames.fetch_frame

    def noted(query: Any, order: Any) -> pd.DataFrame:
        seen.append(order)
        return fetch(query, order)

    monkeypatch.setattr(session_frames, "fetch_frame", noted)
    return seen


def test_a_frame_is_read_once_and_each_caller_has_its_own(key: dict[str, Any], readings: list[str]) -> None:
    read = session_frames.presentations_frame
    whole = read(key)
    with kept_frames.keeping_frames():
        first = read(key)
        first["start_time"] = 0.0
        pd.testing.assert_frame_equal(read({**key, "alignment": "omission"}), whole)
        session_frames.flashes_frame(key)
        assert readings == ["presentation_id", "presentation_id", "trial_id"]
    read(key)
    assert readings[3:] == ["presentation_id"]


def test_rows_of_another_session_or_parameter_are_others(key: dict[str, Any]) -> None:
    other = stimulus.Stimulus.keys(order_by="session_id")[1]
    wanted = [session_frames.flashes_frame(key), session_frames.flashes_frame(key, gap_s=5.0)]
    wanted.append(session_frames.flashes_frame(other))
    with kept_frames.keeping_frames():
        found = [session_frames.flashes_frame(key), session_frames.flashes_frame(key, gap_s=5.0)]
        found.append(session_frames.flashes_frame(other))
    for one, same in zip(wanted, found, strict=True):
        pd.testing.assert_frame_equal(one, same)


def test_rows_made_from_another_file_are_read_anew(key: dict[str, Any], readings: list[str]) -> None:
    connection = stimulus.Stimulus.connection
    with kept_frames.keeping_frames():
        session_frames.presentations_frame(key)
        connection.start_transaction()
        try:
            stimulus.Stimulus.update1({**key, "stimulus_source_hash": "0" * 32})
            session_frames.presentations_frame(key)
        finally:
            connection.cancel_transaction()
        session_frames.presentations_frame(key)
    assert readings == ["presentation_id", "presentation_id"]


@pytest.mark.parametrize(("key", "is_kept"), [({"session_id": 1}, True), ({}, False)])
def test_frames_are_kept_for_one_session_and_not_for_all_that_mice_are_made_from(
    key: dict[str, Any], is_kept: bool
) -> None:
    jobs = SimpleNamespace(add_missing=lambda _key: None, due_keys=lambda *_: [key])
    table = SimpleNamespace(primary_key=list(key), jobs=jobs)
    seen: list[bool] = []

    def should_stop() -> bool:
        seen.append(kept_frames._kept is not None)
        return True

    assert list(runner.work_on(key, [table], runner.IMPATIENT, should_stop=should_stop)) == []
    assert seen == [is_kept]
    assert kept_frames._kept is None
