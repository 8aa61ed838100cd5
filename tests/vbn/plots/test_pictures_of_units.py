"""The pictures of units: a unit's card, the hierarchy, the optotagging."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from matplotlib.figure import Figure

from vbn.analysis.hierarchy import HIERARCHY_SCORES, structure_medians
from vbn.plots import ChangeHierarchy, LaserEvidence, UnitCard, plot_hierarchy, plot_optotagging, plot_unit
from vbn.plots.aligned import AlignedUnit, EventRate, EventSpikes
from vbn.plots.field import Field
from vbn.plots.optotagging import LongPulses, PassingUnits
from vbn.plots.unit import ImageRates, Place, SessionRate

PLACES = np.arange(-40.0, 41.0, 10.0)
FIELD = Field(
    np.random.default_rng(1).gamma(2, 1, (9, 9)), PLACES, PLACES, True, 0.001, True, (10.0, -20.0, 12.0, 8.0)
)
LASER_SPANS = [(0.0, 0.01, "light"), (-0.0015, 0.0015, "artefact"), (0.0085, 0.0115, "artefact")]
OTHERS = (
    "VISa",
    "CA1",
    "CA3",
    "DG",
    "SUB",
    "ProS",
    "POST",
    "MGv",
    "MGd",
    "SGN",
    "APN",
    "MRN",
    "MB",
    "ZI",
    "CP",
)
GROUPS = {
    "VISa": "visual cortex", **dict.fromkeys(("CA1", "CA3", "DG", "SUB", "ProS", "POST"), "hippocampus"),
    **dict.fromkeys(("MGv", "MGd", "SGN", "LGd", "LP"), "thalamus"), "ZI": "hypothalamus", "CP": "other",
    **dict.fromkeys(("APN", "MRN", "MB"), "midbrain"),
}  # fmt: skip


def make_aligned(
    event_name: str, counts: dict[str, int], edges_s: np.ndarray, rate_hz: float = 20, **changed
):
    rng = np.random.default_rng(len(counts))
    n_bins, length_s = len(edges_s) - 1, edges_s[-1] - edges_s[0]
    rows, rates = [], []
    for name, count in counts.items():
        event = np.repeat(np.arange(count), rng.poisson(rate_hz * length_s, count))
        rows.append(EventSpikes(name, rng.uniform(edges_s[0], edges_s[-1], len(event)), event, count))
        mean = rng.gamma(20, rate_hz / 20, n_bins) if count else np.full(n_bins, np.nan)
        rates.append(EventRate(name, mean, mean / 5, count))
    fields = {"event_name": event_name, "edges_s": edges_s, "rows": rows, "rates": rates[-2:]}
    return AlignedUnit(**{**fields, **changed})


CHANGE_EDGES, PULSE_EDGES = np.linspace(-1, 1.5, 251), np.linspace(-0.05, 0.1, 151)
FLASHES = [(onset, onset + 0.25, "flash") for onset in (-0.75, 0.0, 0.75)]


IMAGES = [f"im{number:03}_r" for number in (12, 36, 44, 47, 78, 83, 111, 115)]


def make_card(**changed) -> UnitCard:
    rng = np.random.default_rng(0)
    counts = {"hit": 151, "miss": 110, "auto": 5, "other": 2, "passive": 268}
    fields = {
        "unit_id": 1061854534,
        "description": [
            "VISmmp (visual cortex) · probeC, 3240 µm above its tip · class RS · unlabelled: no laser table",
            "6.49 Hz · presence ratio 0.99 · ISI violations 0.0384 · amplitude cutoff 0.0123 · SNR 1.71",
            "quality noise, does not pass bennett_2025 · session 1064644573 · EPHYS_1_images_G_3uL_reward",
            "mouse 544835 · Sst-IRES-Cre/wt;Ai32(RCL-ChR2(H134R)_EYFP)/wt · Familiar",
        ],
        "responses": make_aligned("image change", counts, CHANGE_EDGES, spans=FLASHES),
        "omissions": make_aligned("omitted flash", {"active": 180, "passive": 174}, CHANGE_EDGES),
        "laser": make_aligned("laser onset", {"all": 50}, PULSE_EDGES, spans=LASER_SPANS),
        "waveform_uv": -80 * np.exp(-((np.arange(82) - 20.0) ** 2) / 20),
        "field": FIELD,
        "autocorrelogram_hz": rng.gamma(20, 1, 50),
        "autocorrelogram_bin_s": 0.001,
        "along_session": SessionRate(
            np.linspace(5, 9500, 201), rng.gamma(20, 1, 200),
            ["change detection", "gray", "Gabors", "gray", "flashes", "replay", "laser"],
            np.array([5.0, 3600, 3610, 4500, 4800, 5100, 8800]),
            np.array([3600.0, 3610, 4500, 4800, 5090, 8700, 9500]),
        ),
        "images": ImageRates(IMAGES, np.arange(8.0, 16.0), 5.0, 0.42, True),
        "place": Place(
            "probeC", 3240.0, np.arange(20.0, 3840, 20), ["CA1"] * 100 + ["VISmmp"] * 91,
            ["hippocampus"] * 100 + ["visual cortex"] * 91, (8409.0, 3748.0, 7032.0),
        ),
    }  # fmt: skip
    return UnitCard(**{**fields, **changed})


def make_bare_card() -> UnitCard:
    """Of a silent unit, in a session with one event of nothing and no laser."""
    nothing = {"active": 0, "passive": 0}
    silent = np.zeros(10)
    return make_card(
        responses=make_aligned("image change", nothing, CHANGE_EDGES),
        omissions=make_aligned("omitted flash", nothing, CHANGE_EDGES),
        laser="no laser table",
        waveform_uv="no waveform in the file",
        field="not computed: vbn populate",
        autocorrelogram_hz="no spikes",
        along_session=SessionRate(np.arange(11.0), silent, ["gray"], np.array([0.0]), np.array([10.0])),
        images="no flashes to measure on",
        place=Place("probeC", np.nan, np.empty(0), [], [], None),
    )


def make_hierarchy(names: tuple[str, ...], n_units: int = 4000, **changed) -> ChangeHierarchy:
    rng = np.random.default_rng(len(names))
    structure = rng.choice(names, n_units)
    score = np.array([HIERARCHY_SCORES.get(name, 0.0) for name in structure])
    session = rng.integers(0, 12, n_units)

    def measure(start: float, slope: float):
        values = start + slope * score + abs(slope) * rng.normal(0, 0.3, n_units)
        return structure_medians(values, structure, session, session, names)

    counts = np.array([(structure == name).sum() for name in names])
    fields = {
        "structures": names,
        "groups": [GROUPS.get(name, "visual cortex") for name in names],
        "latency_s": measure(0.05, 0.04),
        "modulation_active": measure(0.2, 0.2),
        "modulation_passive": measure(0.1, -0.2),
        "n_units": counts * 2,
        "n_responsive": counts,
        "left_out": {"OP": 3, "NOT": 0},
        "min_units": 5,
        "n_sessions": 12,
        "n_sessions_missing": 1,
        "experience_level": "Novel",
        "criteria": "bennett_2025",
    }
    return ChangeHierarchy(**{**fields, **changed})


def make_evidence(n_units: int = 60, n_tagged: int = 6, *, is_wild: bool = False, **changed) -> LaserEvidence:
    rng = np.random.default_rng(n_units)
    passes = np.arange(n_units) < n_tagged
    latency_s = np.where(rng.random(n_units) < 0.3, np.nan, rng.uniform(0.0015, 0.0085, n_units))
    rate_hz = rng.poisson(0.1, (n_units, 150)) * 20.0
    rate_hz[passes, 53] = 500
    counts = np.array([4, 0, 2])
    fields = {
        "session_id": 1,
        "genotype": "wt/wt" if is_wild else "Sst-IRES-Cre/wt;Ai32(RCL-ChR2(H134R)_EYFP)/wt",
        "method": "bennett_2025_code",
        "n_pulses": 50,
        "edges_s": PULSE_EDGES,
        "rate_hz": rate_hz,
        "label": ["unlabelled" if is_wild else "tagged" if each else "untagged" for each in passes],
        "passes": passes,
        "latency_s": latency_s,
        "reliability": np.where(np.isnan(latency_s), 0, rng.random(n_units)),
        "spans": LASER_SPANS,
        "lines": [
            PassingUnits(line, [1, 2, 3], counts, np.array([2000, 1900, 2100]))
            for line in ("wild type", "Vip", "Sst")
        ],
    }
    return LaserEvidence(**{**fields, **changed})


CASES = {
    "card": lambda: plot_unit(make_card()),
    "card of a unit of which nothing is known": lambda: plot_unit(make_bare_card()),
    "card by image": lambda: plot_unit(
        make_card(responses=make_aligned("image change", dict.fromkeys(IMAGES, 30), CHANGE_EDGES))
    ),
    "card around the laser": lambda: plot_unit(
        make_card(responses=make_aligned("laser onset", {"all": 50}, PULSE_EDGES, spans=LASER_SPANS))
    ),
    "card of a map without spikes": lambda: plot_unit(
        make_card(
            field=dataclasses.replace(FIELD, spikes_per_gabor=np.zeros((9, 9)), p_value=np.nan, fit=None)
        )
    ),
    "hierarchy": lambda: plot_hierarchy(make_hierarchy(tuple(HIERARCHY_SCORES))),
    "hierarchy of one structure": lambda: plot_hierarchy(make_hierarchy(("VISp",), 7, left_out={})),
    "hierarchy and all other structures": lambda: plot_hierarchy(
        make_hierarchy((*HIERARCHY_SCORES, *OTHERS))
    ),
    "optotagging": lambda: plot_optotagging(make_evidence()),
    "optotagging of thousands": lambda: plot_optotagging(make_evidence(2100, 3)),
    "optotagging of a wild type": lambda: plot_optotagging(make_evidence(is_wild=True)),
    "optotagging, none passes": lambda: plot_optotagging(
        make_evidence(n_tagged=0, latency_s=np.full(60, np.nan))
    ),
    "optotagging, all pass": lambda: plot_optotagging(make_evidence(5, 5)),
    "optotagging, all lines": lambda: plot_optotagging(
        make_evidence(
            lines=[
                PassingUnits(line, range(60), np.arange(60), np.full(60, 2000))
                for line in ("wild type", "other", "Vip", "Sst")
            ]
        )
    ),
}


@pytest.mark.parametrize("draw", CASES.values(), ids=CASES.keys())
def test_no_text_overlaps_another_or_leaves_the_figure(draw, colliding_texts):
    assert colliding_texts(draw()) == []


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_what_a_card_lacks_is_said():
    said = texts(plot_unit(make_bare_card()))
    for words in (
        "no image change in this session", "no omitted flash in this session", "no laser table", "no spikes",
        "no waveform in the file", "not computed: vbn populate",
    ):  # fmt: skip
        assert words in said


def test_each_spike_has_a_mark_in_the_row_of_its_event_and_the_kinds_follow_one_another():
    spikes = [
        EventSpikes("hit", np.array([0.1, -0.2]), np.array([0, 1]), 3),
        EventSpikes("miss", np.empty(0), np.empty(0, dtype=np.int64), 0),
        EventSpikes("passive", np.array([0.3]), np.array([0]), 2),
    ]
    rates = [EventRate("active", np.ones(250), np.ones(250), 3)]
    figure = plot_unit(make_card(responses=AlignedUnit("image change", CHANGE_EDGES, spikes, rates)))
    raster = figure.axes[0]
    marks = [segment[0] for lines in raster.collections for segment in lines.get_segments()]
    np.testing.assert_allclose(marks, [[0.1, 0], [-0.2, 1], [0.3, 3]])
    assert raster.get_ylim() == (5, 0)


def test_a_unit_without_spikes_around_the_events_says_so():
    silent = [EventSpikes(name, np.empty(0), np.empty(0, int), 3) for name in ("active", "passive")]
    rates = [EventRate(each.name, np.zeros(250), np.zeros(250), 3) for each in silent]
    figure = plot_unit(make_card(responses=AlignedUnit("image change", CHANGE_EDGES, silent, rates)))
    assert [text.get_text() for text in figure.axes[0].texts] == ["no spikes"]
    assert figure.axes[0].get_ylim() == (6, 0)


def test_rates_around_the_laser_are_drawn_in_milliseconds():
    card = make_card()
    rates = plot_unit(card).axes[8]
    np.testing.assert_allclose(rates.lines[0].get_xdata(), np.arange(-49.5, 100))
    np.testing.assert_allclose(rates.lines[0].get_ydata(), card.laser.rates[0].rate_hz)
    assert rates.get_xlabel() == "Time from laser onset (ms)"


def test_the_field_is_drawn_as_on_the_screen_with_its_gaussian():
    panel = plot_unit(make_card()).axes[5]
    image, ellipse = panel.images[0], panel.patches[0]
    assert image.origin == "lower"
    assert [*image.get_extent()] == [-45, 45, -45, 45]
    assert (ellipse.center, ellipse.width, ellipse.height) == ((10, -20), 24, 16)
    assert panel.get_title("left") == "Receptive field, p < 0.001"


def test_the_autocorrelogram_is_its_own_mirror_image():
    rates = np.arange(1.0, 51)
    panel = plot_unit(make_card(autocorrelogram_hz=rates)).axes[6]
    drawn = panel.patches[0].get_data()
    np.testing.assert_array_equal(drawn.values, [*rates[::-1], *rates])
    np.testing.assert_allclose(drawn.edges, np.arange(-50, 51))


def test_medians_stand_over_their_structures_in_milliseconds():
    data = make_hierarchy((*HIERARCHY_SCORES, *OTHERS))
    figure = plot_hierarchy(data)
    marks = figure.axes[0].containers[0].lines[0]
    np.testing.assert_allclose(marks.get_xdata(), data.positions)
    np.testing.assert_allclose(marks.get_ydata(), data.latency_s.median * 1000)
    labels = [label.get_text() for label in figure.axes[2].get_xticklabels()]
    assert labels == [*HIERARCHY_SCORES, *OTHERS]
    assert np.diff(data.positions)[len(HIERARCHY_SCORES) - 1] > 1  # a gap between hierarchy and others


def test_a_panel_without_medians_says_so():
    """Two units in a layer of two structures: there is no scale that an empty panel could show."""
    figure = plot_hierarchy(make_hierarchy(("LGd", "VISp"), n_units=2, layers=("4",)))
    assert "layer 4" in figure.texts[0].get_text()
    said = [[text.get_text() for text in axes.texts] for axes in figure.axes]
    assert ["too few units" in words for words in said] == [True, True, False, True, True]
    many = plot_hierarchy(make_hierarchy(("LGd", "VISp"), n_units=400, layers=("4", "5")))
    assert "layers 4, 5" in many.texts[0].get_text()
    assert not any(text.get_text() == "too few units" for axes in many.axes for text in axes.texts)


def test_means_and_sessions_stand_at_the_published_score():
    data = make_hierarchy((*HIERARCHY_SCORES, *OTHERS))
    panel = plot_hierarchy(data).axes[3]
    means, sessions = panel.containers[0].lines[0], panel.lines[0]
    np.testing.assert_allclose(means.get_xdata(), list(HIERARCHY_SCORES.values()))
    np.testing.assert_allclose(means.get_ydata(), data.latency_s.median[:8] * 1000)
    in_hierarchy = data.latency_s.point_structure < 8
    np.testing.assert_allclose(
        sessions.get_ydata()[np.isfinite(sessions.get_xdata())],
        data.latency_s.point_median[in_hierarchy] * 1000,
    )
    assert [text.get_text() for text in panel.texts] == [*HIERARCHY_SCORES]
    assert len(plot_hierarchy(make_hierarchy(OTHERS)).axes) == 3  # none has a score


def test_the_correlation_with_the_hierarchy_is_that_of_ranks():
    """Medians that rise with the score throughout have 1, those that fall have -1."""
    rising, falling = np.arange(8.0), -(np.arange(8.0) ** 3)
    data = make_hierarchy(tuple(HIERARCHY_SCORES))
    data = dataclasses.replace(
        data,
        modulation_active=dataclasses.replace(data.modulation_active, median=rising),
        modulation_passive=dataclasses.replace(data.modulation_passive, median=falling),
    )
    said = [text.get_text() for text in plot_hierarchy(data).axes[1].texts]
    assert said == [
        "active: Spearman's r with the hierarchy = 1.00",
        "passive: Spearman's r with the hierarchy = -1.00",
    ]


def test_units_are_sorted_by_label_then_latency_those_that_pass_apart():
    data = make_evidence(
        6,
        0,
        label=["untagged", "tagged", "unlabelled", "untagged", "tagged", "untagged"],
        passes=np.array([False, True, False, False, True, False]),
        latency_s=np.array([np.nan, 0.004, 0.002, 0.006, 0.003, 0.005]),
    )
    assert data.order(passes=True).tolist() == [4, 1]
    assert data.order(passes=False).tolist() == [5, 3, 0, 2]
    above, below = plot_optotagging(data).axes[:2]
    np.testing.assert_array_equal(above.images[0].get_array(), data.rate_hz[[4, 1]])
    np.testing.assert_array_equal(below.images[0].get_array(), data.rate_hz[[5, 3, 0, 2]])


def test_artefacts_do_not_set_the_scale_of_the_colours():
    data = make_evidence()
    rate_hz = data.rate_hz.copy()
    rate_hz[:, [49, 50, 59, 60]] = 1e6  # 1 ms on either side of the pulse's edges
    figure = plot_optotagging(dataclasses.replace(data, rate_hz=rate_hz))
    assert figure.axes[0].images[0].get_clim()[1] <= 500


def test_both_waveforms_are_drawn_with_the_same_rows_and_every_mark_has_a_name():
    edges_s = np.linspace(-0.25, 1.25, 151)
    rates = np.arange(60.0)[:, np.newaxis] + np.zeros(150)
    long = LongPulses(15, edges_s, rates, [(0.0, 1.0, "light")])
    figure = plot_optotagging(make_evidence(long_pulses=long))
    order = make_evidence().order(passes=False)
    np.testing.assert_array_equal(figure.axes[5].images[0].get_array()[:, 0], order)
    np.testing.assert_allclose(figure.axes[5].get_xlim(), (-250, 1250))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["light", "possible artefact"]
    shares = [text.get_text() for text in figure.axes[3].get_legend().get_texts()]
    assert shares == ["session", "this session", "line, 95 % interval"]
    without = plot_optotagging(make_evidence())
    assert "no raised cosine pulses" in texts(without)


def test_the_waveform_is_timed_from_its_trough():
    """A greater peak follows the trough: time is from the trough all the same."""
    wave = np.zeros(82)
    wave[30], wave[50] = -50, 80
    panel = plot_unit(make_card(waveform_uv=wave)).axes[4]
    line = panel.lines[1]
    assert line.get_xdata()[np.argmin(line.get_ydata())] == 0
    assert panel.get_xlabel() == "Time from trough (ms)"


def test_images_are_drawn_from_the_greatest_rate_with_what_is_known_of_the_selectivity():
    panel = plot_unit(make_card()).axes[3]
    assert panel.lines[0].get_ydata().tolist() == list(np.arange(15.0, 7.0, -1))
    assert panel.get_xticklabels()[0].get_text() == "115"
    assert panel.get_title("left") == "Images (dashed: before): selective, sparseness 0.42"
    unknown = ImageRates(IMAGES, np.zeros(8), np.nan, np.nan, None)
    assert (
        plot_unit(make_card(images=unknown)).axes[3].get_title("left")
        == "Images (dashed: before): not tested"
    )


def test_the_unit_is_marked_at_its_height_with_its_place_in_the_brain():
    panel = plot_unit(make_card()).axes[10]
    (mark,) = (line for line in panel.lines if line.get_label() == "unit")
    assert mark.get_ydata().tolist() == [3240.0]
    assert panel.get_xlabel() == "CCF (µm)\nAP 8409\nDV 3748\nLR 7032"
    assert {text.get_text() for text in panel.texts} == {"CA1", "VISmmp"}


def test_of_more_than_two_groups_there_are_curves_without_bands():
    for n_groups, n_bands in ((2, 2), (8, 0)):
        groups = dict.fromkeys(IMAGES[:n_groups], 9)
        aligned = make_aligned("image change", groups, CHANGE_EDGES)
        aligned = dataclasses.replace(
            aligned, rates=[EventRate(n, np.ones(250), np.ones(250), 9) for n in groups]
        )
        rates = plot_unit(make_card(responses=aligned)).axes[1]
        assert len(rates.collections) == n_bands
        colours = [line.get_color() for line in rates.lines[:n_groups]]
        assert len(set(colours)) == n_groups


def test_units_of_wild_types_that_pass_are_not_called_tagged():
    figure = plot_optotagging(make_evidence(is_wild=True))
    legend = [text.get_text() for text in figure.axes[2].get_legend().get_texts()]
    assert legend == ["passing, not labelled (6)", "unlabelled (54)"]


def test_the_share_of_a_line_is_that_of_all_its_units():
    lines = [PassingUnits("wild type", [1, 2], np.array([1, 3]), np.array([100, 300]))]
    panel = plot_optotagging(make_evidence(lines=lines)).axes[3]
    assert panel.containers[0].lines[0].get_ydata().tolist() == [1.0]
    assert panel.lines[0].get_ydata().tolist() == [1.0, 1.0]
