"""What is imported only when it is asked for: pieces of the LFP, spike amplitudes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from schemas import ecephys
from vbn import nwb
from vbn.errors import ConflictError


@pytest.fixture(scope="module")
def with_lfp(make_database: Callable[..., Any], lfp_file: Path) -> Any:
    """One recording with its LFP file, imported as the default is."""
    database = make_database()
    outcomes = database.json_lines("register", lfp_file.parent)
    assert sorted(outcome["status"] for outcome in outcomes) == ["registered", "registered"]
    done = database.json("populate", "--table", "Recording", "--table", "Lfp", "--table", "LfpPiece")
    assert done == {"done": 2, "failures": []}
    return database


@pytest.fixture
def bound(with_lfp: Any) -> Any:
    with_lfp.connect()
    return with_lfp


def status_of(database: Any, table: str) -> dict[str, Any]:
    return next(state for state in database.json("status") if state["table"] == table)


def test_no_samples_are_copied_unless_a_piece_is_wanted(bound: Any) -> None:
    assert status_of(bound, "Lfp") == {"table": "Lfp", "done": 1, "total": 1, "reserved": 0, "errors": 0}
    if not ecephys.LfpPieceParams():
        assert len(ecephys.LfpPiece()) == 0
        assert status_of(bound, "LfpPiece")["total"] == 0


def test_a_piece_is_copied_as_it_is_in_the_file(bound: Any, lfp_file: Path) -> None:
    lfp = ecephys.Lfp().fetch1()
    start_s = lfp["lfp_start_time"] + 1.0
    assert ecephys.add_lfp_piece("one second", start_s=start_s, stop_s=start_s + 1.0)
    assert ecephys.add_lfp_piece("slow", start_s=start_s, stop_s=start_s + 4.0, decimate=10)
    assert bound.json("populate", "--table", "LfpPiece") == {"done": 2, "failures": []}
    wanted = {"one second": (1.0, 1), "slow": (4.0, 10)}
    with nwb.open_lfp(lfp_file) as file:
        for name, (duration_s, decimate) in wanted.items():
            row = (ecephys.LfpPiece & {"lfp_piece": name}).fetch1()
            times, samples = nwb.read_lfp_samples(
                file, start_s=start_s, stop_s=start_s + duration_s, decimate=decimate
            )
            np.testing.assert_array_equal(row["piece_timestamps"].load(), times, strict=True)
            np.testing.assert_array_equal(row["piece_samples"].load(), samples, strict=True)
            assert samples.shape == (len(times), lfp["n_lfp_channels"])
            rate = lfp["lfp_rate"] / decimate
            assert len(times) == pytest.approx(duration_s * rate, abs=2)


def test_a_piece_keeps_its_name_and_its_content(bound: Any) -> None:
    assert ecephys.add_lfp_piece("the end", start_s=190.0)
    assert not ecephys.add_lfp_piece("the end", start_s=190.0)
    with pytest.raises(ConflictError, match="exists with other content"):
        ecephys.add_lfp_piece("the end", start_s=191.0)
    with pytest.raises(ConflictError, match="has the same content as 'the end'"):
        ecephys.add_lfp_piece("the last", start_s=190.0)
    (ecephys.LfpPieceParams & {"lfp_piece": "the end"}).delete_quick()


def test_spike_amplitudes_are_imported_when_their_table_is_named(bound: Any, lfp_file: Path) -> None:
    assert len(ecephys.SpikeAmplitudes()) == 0
    assert bound.json("populate", "--table", "Recording")["done"] == 0
    assert bound.json("populate", "--table", "SpikeAmplitudes") == {"done": 1, "failures": []}
    with h5py.File(next(lfp_file.parent.glob("ecephys_session_*.nwb"))) as file:
        units = file["units"]
        pieces = np.split(units["spike_amplitudes"][:], units["spike_amplitudes_index"][:-1].astype(int))
        expected = dict(zip(units["id"][:].tolist(), pieces, strict=True))
    arrays = {
        row["probe_name"]: row["probe_spike_amplitudes"].load()
        for row in ecephys.SpikeAmplitudes.Probe.to_dicts()
    }
    assert expected
    for unit_id, amplitudes in expected.items():
        row = (ecephys.Recording.Unit & {"unit_id": unit_id}).fetch1()
        start, stop = row["spike_offset"], row["spike_offset"] + row["n_spikes"]
        np.testing.assert_array_equal(arrays[row["probe_name"]][start:stop], amplitudes)


def test_an_optional_table_is_not_part_of_the_whole(bound: Any) -> None:
    state = status_of(bound, "SpikeAmplitudes")
    assert state["done"] == state["total"]
