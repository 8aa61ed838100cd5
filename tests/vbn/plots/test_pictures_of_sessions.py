"""The four pictures of sessions: behaviour, training, overview, probes."""

from __future__ import annotations

import dataclasses
from datetime import datetime, timedelta

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from vbn.analysis.spikes.binning import z_scores
from vbn.plots.behavior import OUTCOMES, SessionBehavior, plot_behavior, raster_order
from vbn.plots.probe import ProbeDepths, SessionProbes, SourceDensity, plot_probes, yield_edges
from vbn.plots.session import SessionOverview, plot_session, unit_order
from vbn.plots.training import TrainingHistory, plot_training, stage_order

NOTHING = np.empty(0)
STRUCTURES = {
    "VISp": "visual cortex",
    "CA1": "hippocampus",
    "DG": "hippocampus",
    "LP": "thalamus",
    None: None,
}


def make_behavior(n_trials: int = 60, **changed) -> SessionBehavior:
    rng = np.random.default_rng(n_trials)
    trials = np.arange(n_trials) * 8.0
    changes = trials[::2] + 4.0
    weights = (0.5, 0.3, 0.05, 0.1, 0.05)
    fields = {
        "session_id": 1064644573,
        "session_type": "EPHYS_1_images_G_3uL_reward",
        "start_s": 0.0,
        "stop_s": max(8.0 * n_trials, 8.0),
        "trial_time_s": trials,
        "dprime": np.where(np.arange(n_trials) % 3 == 0, np.nan, rng.normal(1.5, 0.3, n_trials)),
        "hit_rate": rng.uniform(0.5, 1, n_trials),
        "false_alarm_rate": rng.uniform(0, 0.3, n_trials),
        "reward_rate_per_min": rng.uniform(0, 5, n_trials),
        "engaged_threshold_per_min": 2.0,
        "engaged_epochs_s": np.array([[20.0, 100.0], [200.0, 300.0]]),
        "bin_time_s": np.arange(48) * 10.0 + 5,
        "running_speed_cm_s": rng.uniform(0, 30, 48),
        "pupil_area_px2": rng.uniform(3000, 20000, 48),
        "change_time_s": changes,
        "outcome": [list(OUTCOMES)[at] for at in rng.choice(5, len(changes), p=weights)],
        "lick_time_s": np.sort(rng.uniform(0, 8.0 * n_trials, 5 * n_trials)),
        "reward_time_s": changes[::2] + 0.4,
        "response_window_s": (0.15, 0.75),
    }
    return SessionBehavior(**{**fields, **changed})


def make_history(n_sessions: int = 30, **changed) -> TrainingHistory:
    stages = ["TRAINING_0", "TRAINING_1", "TRAINING_3", "TRAINING_5", "HABITUATION_5", "EPHYS_1"]
    rows = np.minimum(np.arange(n_sessions) // 5, 5)
    is_recording = np.array([stages[row] == "EPHYS_1" for row in rows])
    unknown = np.where(np.arange(n_sessions) % 4 == 0, np.nan, 1.0)
    fields = {
        "mouse_id": "544835",
        "genotype": "Sst-IRES-Cre/wt;Ai32(RCL-ChR2(H134R)_EYFP)/wt",
        "date": [datetime(2020, 10, 1, 18) + timedelta(days=at) for at in range(n_sessions)],
        "stage": [stages[row] for row in rows],
        "images": [None if row == 0 else "gratings" if row == 1 else "G" for row in rows],
        "experience": ["Novel" if recorded else None for recorded in is_recording],
        "is_recording": is_recording,
        "is_registered": np.isfinite(unknown),
        "dprime": unknown * 1.2,
        "engaged_dprime": unknown * 1.5,
        "hit_rate": unknown * 0.7,
        "false_alarm_rate": unknown * 0.1,
        "n_trials": unknown * 300,
        "n_rewards": unknown * 150,
    }
    return TrainingHistory(**{**fields, **changed})


def make_overview(n_units: int = 40, **changed) -> SessionOverview:
    rng = np.random.default_rng(n_units)
    names = list(STRUCTURES)
    structure = [names[at] for at in rng.integers(0, len(names), n_units)]
    fields = {
        "session_id": 1064644573,
        "session_type": "EPHYS_1_images_G_3uL_reward",
        "block_name": ["change detection", "gray", "Gabors", "gray", "flashes", "replay", "laser"],
        "block_start_s": np.array([5.0, 3600, 3610, 4500, 4800, 5100, 8800]),
        "block_stop_s": np.array([3600.0, 3610, 4500, 4800, 5090, 8700, 9500]),
        "edges_s": np.linspace(5, 9500, 101),
        "rate_hz": rng.gamma(1, 5, (n_units, 100)),
        "structure": structure,
        "structure_group": [STRUCTURES[name] for name in structure],
        "depth_um": rng.uniform(0, 3840, n_units),
        "running_speed_cm_s": rng.uniform(0, 30, 100),
        "pupil_area_px2": rng.uniform(3000, 20000, 100),
        "lick_rate_hz": rng.uniform(0, 3, 100),
        "reward_time_s": np.arange(10, 3600, 20.0),
    }
    return SessionOverview(**{**fields, **changed})


def make_probe(name: str = "probeA", n_structures: int = 6, n_units: int = 50, **changed) -> ProbeDepths:
    rng = np.random.default_rng(n_structures)
    depth = np.repeat(np.arange(192) * 20.0 + 20, 2)
    known = list(STRUCTURES)
    place = np.sort(rng.integers(0, n_structures, 384))
    fields = {
        "name": name,
        "channel_depth_um": depth,
        "structure": [known[at % len(known)] for at in place],
        "structure_group": [STRUCTURES[known[at % len(known)]] for at in place],
        "is_valid": np.arange(384) % 60 != 0,
        "unit_depth_um": rng.uniform(20, 3840, n_units),
        "unit_rate_hz": rng.gamma(1, 5, n_units),
        "passes": rng.random(n_units) < 0.6,
    }
    return ProbeDepths(**{**fields, **changed})


CSD = SourceDensity(
    np.random.default_rng(0).normal(size=(60, 40)), np.linspace(-0.1, 0.25, 60), np.arange(40) * 96.0
)


def of_probes(*probes: ProbeDepths) -> Figure:
    return plot_probes(SessionProbes(1064644573, "quickstart", probes))


CASES = {
    "behavior": lambda: plot_behavior(make_behavior()),
    "behavior of many trials": lambda: plot_behavior(make_behavior(900)),
    "behavior without running and pupil": lambda: plot_behavior(
        make_behavior(running_speed_cm_s=None, pupil_area_px2=None)
    ),
    "behavior without a change": lambda: plot_behavior(
        make_behavior(
            8, change_time_s=NOTHING, outcome=[], dprime=np.full(8, np.nan), hit_rate=np.full(8, np.nan),
            false_alarm_rate=np.full(8, np.nan), reward_rate_per_min=np.full(8, np.nan),
            lick_time_s=NOTHING, reward_time_s=NOTHING, engaged_epochs_s=np.empty((0, 2)),
        )
    ),
    "training": lambda: plot_training(make_history()),
    "training of one session": lambda: plot_training(make_history(1)),
    "training of the release's tables only": lambda: plot_training(
        make_history(
            is_registered=np.zeros(30, dtype=bool), **dict.fromkeys(
                ("dprime", "engaged_dprime", "hit_rate", "false_alarm_rate", "n_trials", "n_rewards"),
                np.full(30, np.nan),
            )
        )
    ),
    "session": lambda: plot_session(make_overview()),
    "session of thousands of units": lambda: plot_session(make_overview(2000)),
    "session of one silent unit": lambda: plot_session(make_overview(1, rate_hz=np.zeros((1, 100)))),
    "session of behavior only": lambda: plot_session(
        make_overview(
            0, block_name=["change detection"], block_start_s=np.array([5.0]),
            block_stop_s=np.array([9500.0]), pupil_area_px2=None,
        )
    ),
    "one probe": lambda: of_probes(make_probe()),
    "one probe with CSD": lambda: of_probes(make_probe(csd=CSD)),
    "a probe without a unit that fails": lambda: of_probes(
        make_probe(passes=np.ones(50, bool), is_valid=np.ones(384, bool))
    ),
    "a probe without units": lambda: of_probes(make_probe(n_units=0)),
    "a probe through many structures": lambda: of_probes(make_probe(n_structures=40)),
    "six probes, one with CSD": lambda: of_probes(
        *(make_probe(f"probe{letter}", csd=CSD if letter == "B" else None) for letter in "ABCDEF")
    ),
}  # fmt: skip


@pytest.fixture(params=[*CASES.values()], ids=[*CASES])
def figure(request) -> Figure:
    figure = request.param()
    FigureCanvasAgg(figure).draw()
    return figure


def every_axes(axes: list[Axes]) -> list[Axes]:
    return [*axes, *(inner for each in axes for inner in every_axes(each.child_axes))]


def drawn_texts(figure: Figure) -> list[Text]:
    """All texts but the labels of ticks outside the limits or switched off."""
    ticks = {}
    for axes in every_axes(figure.axes):
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
                shown = low - 1e-9 <= tick.get_loc() <= high + 1e-9
                ticks[tick.label1], ticks[tick.label2] = shown, False
    texts = [text for text in figure.findobj(Text) if text.get_text().strip() and text.get_visible()]
    return [text for text in texts if ticks.get(text, True)]


def texts_of(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def test_no_text_overlaps_another_or_leaves_the_figure(figure):
    boxes = [(text.get_text(), text.get_window_extent()) for text in drawn_texts(figure)]
    assert len(boxes) > 12
    for number, (name, box) in enumerate(boxes):
        assert box.x0 >= -1, name
        assert box.y0 >= -1, name
        assert box.x1 <= figure.bbox.x1 + 1, name
        assert box.y1 <= figure.bbox.y1 + 1, name
        for other_name, other in boxes[number + 1 :]:
            touching = box.x1 - 1 > other.x0 and other.x1 - 1 > box.x0
            touching = touching and box.y1 - 1 > other.y0 and other.y1 - 1 > box.y0
            assert not touching, f"{name!r} overlaps {other_name!r}"


def test_sensitivity_is_a_line_through_the_trials_that_have_one():
    data = make_behavior()
    line = plot_behavior(data).axes[0].lines[0]
    known = np.isfinite(data.dprime)
    np.testing.assert_allclose(line.get_xdata(), data.trial_time_s[known] / 60)
    np.testing.assert_allclose(line.get_ydata(), data.dprime[known])


def test_each_lick_is_in_the_row_of_its_trial():
    """Trial 0 is a miss, trial 1 a hit: the hit's row is the first. The lick at 200 s is in no window."""
    data = make_behavior(
        4,
        change_time_s=np.array([10.0, 20.0]),
        outcome=["miss", "hit"],
        lick_time_s=np.array([9.5, 20.3, 21.0, 200.0]),
        reward_time_s=np.array([20.4]),
    )
    hit, miss, reward = plot_behavior(data).axes[5].lines[1:]
    np.testing.assert_allclose(hit.get_xydata(), [[0.3, 0.5], [1.0, 0.5]])
    np.testing.assert_allclose(miss.get_xydata(), [[-0.5, 1.5]])
    np.testing.assert_allclose(reward.get_xydata(), [[0.4, 0.5]])
    assert hit.get_color() == OUTCOMES["hit"]


def test_rows_of_the_raster_are_by_outcome_and_then_in_order():
    outcome = ["miss", "hit", "correct reject", "false alarm", "hit", "auto-rewarded", "miss"]
    assert raster_order(outcome).tolist() == [1, 4, 0, 6, 3, 2, 5]
    sections = plot_behavior(make_behavior(14, outcome=outcome)).axes[6]
    labels = ["hit\n(2)", "miss\n(2)", "false alarm\n(1)", "correct\nreject\n(1)", "auto-rewarded\n(1)"]
    assert texts_of(sections) == labels


def test_what_a_session_lacks_is_said():
    panels = plot_behavior(make_behavior(running_speed_cm_s=None, pupil_area_px2=np.full(48, np.nan))).axes
    assert [texts_of(axes) for axes in panels[3:5]] == [["no running"], ["no eye tracking"]]
    panels = plot_session(make_overview(0, block_name=["replay"] * 7, running_speed_cm_s=None)).axes
    assert texts_of(panels[1]) == ["no units were recorded"]
    assert texts_of(panels[2]) == ["no running"]
    assert any("no laser" in text.get_text() for text in panels[0].figure.texts)
    panels = of_probes(make_probe("probeA", csd=CSD), make_probe("probeB")).axes
    assert texts_of(panels[7]) == ["no CSD"]


def test_stages_are_rows_in_the_order_of_training():
    data = make_history(experience=[None] * 30)
    panel = plot_training(data).axes[0]
    labels = [label.get_text() for label in panel.get_yticklabels()]
    assert labels == ["TRAINING_0", "TRAINING_1", "TRAINING_3", "TRAINING_5", "HABITUATION_5", "EPHYS_1"]
    points = [line for line in panel.lines if len(line.get_xdata()) == 1]
    assert [line.get_ydata()[0] for line in points] == [labels.index(stage) for stage in data.stage]
    assert [line.get_markerfacecolor() == "white" for line in points] == (~data.is_registered).tolist()
    assert stage_order(["EPHYS_1", "OTHER", "TRAINING_10", "TRAINING_9"])[0] == "OTHER"
    assert stage_order(["TRAINING_10", "TRAINING_9"]) == ["TRAINING_9", "TRAINING_10"]


def test_days_are_counted_as_dates_are():
    assert make_history(1).day.tolist() == [(datetime(2020, 10, 1) - datetime(1970, 1, 1)).days + 0.75]


def test_units_are_sorted_by_group_structure_and_depth_and_drawn_in_standard_deviations():
    data = make_overview(
        5,
        structure=["LP", "VISp", None, "VISp", "CA1"],
        structure_group=["thalamus", "visual cortex", None, "visual cortex", "hippocampus"],
        depth_um=np.array([500.0, 2000, 3800, 3000, np.nan]),
    )
    assert unit_order(data).tolist() == [3, 1, 4, 0, 2]
    image = plot_session(data).axes[1].images[0]
    np.testing.assert_allclose(image.get_array(), z_scores(data.rate_hz)[[3, 1, 4, 0, 2]])
    assert image.get_clim() == (-3, 3)


def test_blocks_are_bars_in_minutes_under_their_names():
    data = make_overview()
    axes = plot_session(data).axes[0]
    np.testing.assert_allclose([bar.get_x() for bar in axes.patches], data.block_start_s / 60)
    np.testing.assert_allclose(
        [bar.get_width() for bar in axes.patches], (data.block_stop_s - data.block_start_s) / 60
    )
    assert texts_of(axes) == list(data.block_name)


def test_the_yield_counts_units_and_those_that_pass_along_depth():
    probe = make_probe(
        unit_depth_um=np.array([50.0, 60, 1010, 1020, 1030]),
        unit_rate_hz=np.array([1.0, 0.0, np.nan, 4, 5]),
        passes=np.array([True, False, False, True, True]),
    )
    _, units, rates = of_probes(probe).axes
    widths = np.array([bar.get_width() for bar in units.containers[0]])
    passing = np.array([bar.get_width() for bar in units.containers[1]])
    assert (widths[0], widths[10], widths.sum()) == (2, 3, 5)
    assert (passing[0], passing[10], passing.sum()) == (1, 2, 3)
    grey, blue = rates.lines
    assert grey.get_xdata()[0] == 0.01, "silent units stand at the lowest rate"
    np.testing.assert_allclose(blue.get_xydata(), [[1, 50], [4, 1020], [5, 1030]])


def test_invalid_channels_are_crosses_at_their_depth():
    probe = make_probe()
    crosses = [line for line in of_probes(probe).axes[0].lines if line.get_marker() == "x"]
    np.testing.assert_allclose(crosses[0].get_ydata(), probe.channel_depth_um[~probe.is_valid])


def test_structures_reach_from_the_lowest_to_the_highest_channel_without_gaps():
    bands = make_probe(structure=["LP"] * 100 + ["CA1"] * 284, structure_group=[None] * 384).bands
    assert [(band.low, band.high) for band in bands] == [(20, 1010), (1010, 3840)]


def test_bins_of_depth_hold_all_channels():
    np.testing.assert_array_equal(yield_edges(20, 250), [0, 100, 200, 300])
    np.testing.assert_array_equal(yield_edges(20, 20), [0, 100])


@pytest.mark.parametrize(
    ("make", "changed", "match"),
    [
        (make_behavior, {"dprime": NOTHING, "outcome": []}, "not so: dprime, outcome"),
        (make_behavior, {"outcome": ["won"] * 30}, r"Unknown outcomes \['won'\]"),
        (make_history, {"hit_rate": NOTHING}, "30 sessions: hit_rate"),
        (make_history, {"experience": ["Old"] * 30}, r"Unknown experience \['Old'\]"),
        (make_history, {"n_sessions": 0}, "No sessions to draw of mouse 544835"),
        (make_overview, {"depth_um": NOTHING, "edges_s": NOTHING}, "not so: .*depth_um.*edges_s"),
        (make_overview, {"block_name": ["movie"] * 7}, r"Unknown blocks \['movie'\]"),
        (make_probe, {"is_valid": NOTHING, "passes": NOTHING}, "not so: is_valid, passes"),
    ],
)  # fmt: skip
def test_refuses_what_cannot_be_drawn(make, changed, match):
    with pytest.raises(ValueError, match=match):
        make(**changed)


def test_refuses_probes_and_densities_that_are_none():
    with pytest.raises(ValueError, match="No probes to draw of session 7"):
        SessionProbes(7, "all", [])
    with pytest.raises(ValueError, match=r"\(60, 40\), got \(40, 60\)"):
        dataclasses.replace(CSD, values=CSD.values.T)
