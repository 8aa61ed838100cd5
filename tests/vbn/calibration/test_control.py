"""Rotated spikes: what is kept, what is lost, and which columns are fooled by what is kept."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests.fixtures.simulated import simulated
from vbn.analysis.spikes.trains import Floats, unit_trains
from vbn.analysis.spikes.windows import count_in_windows
from vbn.analysis.statistics import kruskal_wallis_p_values
from vbn.calibration.columns import FLAG, MEASURES, ClaimingColumn, Measure, P, Q, Spikes, as_spikes
from vbn.calibration.control import (
    Calls,
    blocks_of,
    calls_of,
    judged_columns,
    left_out_columns,
    rotated,
    summarize_control,
)
from vbn.calibration.events import SimulatedEvents
from vbn.calibration.report import control_rows, fault
from vbn.calibration.run import draw_trains
from vbn.calibration.worlds import Images

pytestmark = pytest.mark.simulation

N_UNITS = 12


def units_of(world: str, events: SimulatedEvents, n_units: int = N_UNITS) -> Spikes:
    return as_spikes(draw_trains(3, world, [world] * n_units, events))


def by_flashes(spikes: Spikes, events: SimulatedEvents, seed: int) -> pd.DataFrame:
    """Selectivity as it was tested in method version 1: flashes of a run as if they were independent."""
    images = Images.of(events)
    chosen = (
        images.shown & ~images.change & (images.start_s < events.images().query("active")["start_time"].max())
    )
    counts = count_in_windows(*spikes, images.start_s[chosen], (0.0, 0.25))
    return pd.DataFrame({"p_flashes": kruskal_wallis_p_values(counts, images.name[chosen])})


BY_FLASHES = Measure("ByFlashes", by_flashes, (ClaimingColumn("p_flashes", P, "image"),))
(SELECTIVITY,) = (measure for measure in MEASURES if measure.table == "ImageSelectivity")


def repeats_of(measure: Measure, spikes: Spikes, events: SimulatedEvents, n: int = 4) -> list[Calls]:
    blocks = blocks_of(events.presentations)
    return [
        calls_of(measure, measure.function(rotated(spikes, blocks, np.random.default_rng(k)), events, k))
        for k in range(n)
    ]


def kinds_of(measure: Measure) -> dict[str, str]:
    return {f"{measure.table}.{column.name}": column.kind for column in judged_columns(measure)}


def test_rotation_keeps_the_spikes_of_each_block_and_their_intervals() -> None:
    blocks = np.array([[10.0, 200.0], [200.0, 260.0], [300.0, 700.0]])
    rng = np.random.default_rng(0)
    trains: list[Floats] = [np.sort(rng.uniform(0, 800, size=n)) for n in (0, 1, 400)]
    trains.append(np.array([15.0]))
    moved = list(unit_trains(*rotated(as_spikes(trains), blocks, np.random.default_rng(1))))
    for before, after in zip(trains, moved, strict=True):
        assert after.size == before.size
        assert np.all(np.diff(after) >= 0)
        for start, stop in blocks:
            inside = [train[(train >= start) & (train < stop)] for train in (before, after)]
            assert inside[0].size == inside[1].size
            if inside[0].size:
                around = [np.append(each, each[0] + stop - start) for each in inside]
                np.testing.assert_allclose(*(np.sort(np.diff(each)) for each in around), atol=1e-9)
        outside = (before < 10) | ((before >= 260) & (before < 300)) | (before >= 700)
        np.testing.assert_array_equal(before[outside], after[outside])


def test_no_unit_is_shifted_by_less_than_half_a_minute_where_there_is_time() -> None:
    blocks = np.array([[0.0, 600.0], [600.0, 660.0]])
    trains = [np.array([1.0, 601.0])] * 500
    moved = np.array(list(unit_trains(*rotated(as_spikes(trains), blocks, np.random.default_rng(2)))))
    for column, (length, least) in enumerate(((600, 30), (60, 20))):
        shift = (moved[:, column] - trains[0][column]) % length
        assert least <= shift.min() < least + 20
        assert shift.max() <= length - least
        assert np.unique(shift).size == 500


@pytest.mark.parametrize("world", ["ou_60", "lick_locked", "image_tuned"])
def test_a_test_over_flashes_fails_the_control_and_one_over_runs_passes(world: str) -> None:
    events = simulated(5, 0)
    spikes = units_of(world, events, 24)
    (cell,) = summarize_control(repeats_of(BY_FLASHES, spikes, events), kinds_of(BY_FLASHES))
    assert cell.value > 0.12
    assert fault(cell) == "fails"
    repeats = repeats_of(SELECTIVITY, spikes, events)
    rows = control_rows(repeats, kinds_of(SELECTIVITY)).set_index("column")
    assert rows.loc["p_selectivity", "share"] <= 0.12
    assert (rows["verdict"] != "fails").all()


def test_what_is_left_out_is_fooled_by_the_rhythm_of_the_flashes() -> None:
    """Driven units: the p that compares with the time before stays small; changes are like any flash."""
    events = simulated(5, 0)
    spikes = units_of("flash_tail", events)
    blocks = blocks_of(events.presentations)
    moved = rotated(spikes, blocks, np.random.default_rng(0))
    for measure in MEASURES:
        if measure.table not in ("ChangeResponse", "ImageSelectivity"):
            continue
        table = measure.function(moved, events, 0)
        left = {column.name for column in left_out_columns(measure)}
        assert {"p_response", "q_response", "is_responsive"} <= left
        assert (table["p_response"] <= 0.05).mean() > 0.3
        for column, calls in calls_of(measure, table).items():
            assert column[1] not in left
            assert np.nanmean(calls) <= 0.25, column


def test_columns_are_either_tested_or_left_out() -> None:
    for measure in MEASURES:
        judging = {column.name for column in measure.columns if column.kind in (P, Q, FLAG)}
        sides = [{column.name for column in of(measure)} for of in (judged_columns, left_out_columns)]
        assert sides[0] | sides[1] == judging
        assert not sides[0] & sides[1]


def test_shares_count_units_that_were_tested_and_the_repeats_of_flags_depend() -> None:
    kinds = {"T.p": P, "T.is_x": FLAG, "T.none": Q}
    nan = np.full(20, np.nan)
    half = np.repeat([0.0, 1.0], 10)
    repeats = [{("T", "p"): half, ("T", "is_x"): np.full(20, k % 2.0), ("T", "none"): nan} for k in range(6)]
    p, flag = summarize_control(repeats, kinds)
    assert (p.value, p.n, p.sessions) == (0.5, 120, 6)
    assert p.low < 0.3  # the same ten units in each repeat
    assert flag.value == 0.5
    assert flag.low < 0.1
    assert control_rows(repeats, kinds)["should be"].tolist() == ["0.05", "at most 0.05"]
