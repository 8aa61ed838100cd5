"""The picture of probes in the brain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from vbn.anatomy.planes import BrainPlane
from vbn.plots.brain import ProbeInBrain, ProbesInBrain, plot_brain


def probe(name: str, right_um: float, structures: list[str | None]) -> ProbeInBrain:
    n = len(structures)
    place = np.column_stack((np.full(n, 8000.0), np.linspace(4000, 1000, n), np.full(n, right_um)))
    groups = {"VISp": "visual cortex", "VISl": "visual cortex", "CA1": "hippocampus"}
    return ProbeInBrain(name, place, structures, [groups.get(each or "") for each in structures])


def made(**changed: Any) -> ProbesInBrain:
    cells = np.zeros((114, 80), bool)
    cells[10:-10, 10:-10] = True
    planes = {
        axis: BrainPlane(at, 100.0, cells, cells & (np.arange(80) < 40))
        for axis, at in (("coronal", 8050.0), ("sagittal", 7550.0))
    }
    probes = [
        probe(f"probe{letter}", 7500 + 200 * at, [*["CA1"] * 3, "VISp", "VISl", None])
        for at, letter in enumerate("ABCDEF")
    ]
    return ProbesInBrain(
        **{"title": "Probes of session 1064644573 in the brain", "probes": probes, **planes, **changed}
    )


def test_each_channel_is_drawn_at_its_place_in_the_colour_of_its_structure() -> None:
    data = made(unit_um=(8000.0, 2000.0, 7500.0))
    coronal, sagittal = plot_brain(data).axes
    for axes, across in ((coronal, 2), (sagittal, 0)):
        for probe in data.probes:
            drawn = [line for line in axes.lines if line.get_label().startswith(f"{probe.name}, ")]
            assert [line.get_label().partition(", ")[2] for line in drawn] == [
                "CA1", "VISp", "VISl", "in no structure"
            ]  # fmt: skip
            dots = np.concatenate([line.get_xydata() for line in drawn])
            assert np.allclose(dots, probe.ccf_um[:, [across, 1]] / 1000)
            assert [line.get_color() for line in drawn[:3]] == [
                data.colours[n] for n in ("CA1", "VISp", "VISl")
            ]
        assert axes.yaxis_inverted()
        (unit,) = [line for line in axes.lines if line.get_label() == "unit"]
        assert np.allclose(unit.get_xydata(), [[data.unit_um[across] / 1000, 2.0]])
    assert len(set(data.colours.values())) == 3
    assert list(data.colours) == ["VISl", "VISp", "CA1"]
    assert coronal.get_title(loc="left") == "Coronal outline at AP 8.05 mm"


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"coronal": None, "sagittal": None, "lacking": "No outlines: no atlas is entered (vbn atlas add)."},
        {"without": ["probeE", "probeF"]},
        {"probes": [probe("probeA", 100, ["VISp"])]},
        {"probes": [probe("probeA", 99000, ["VISp", None]), probe("probeB", 7500, ["CA1"])]},
        {"probes": [probe(f"probe{a}", 7500, [f"VISp{a}{n}" for n in range(9)]) for a in "ABCDEF"]},
        {"probes": [probe("$x$ <b>", 7500, ["_no legend", r"$\\frac$"])]},
        {"probes": [probe("a_probe_of_another_rig", 11300, [None, None])]},
    ],
)
def test_texts_collide_nowhere(
    changed: dict[str, Any], colliding_texts: Callable[[Figure], list[str]]
) -> None:
    assert colliding_texts(plot_brain(made(**changed))) == []


def test_channels_that_no_view_can_show_are_counted() -> None:
    data = made(probes=[probe("probeA", 99000, ["VISp", None]), probe("probeB", 7500, ["CA1"])])
    texts = " ".join(text.get_text() for text in plot_brain(data).findobj(Text))
    assert "Beyond the CCF by their coordinates, and not in both views: 2 channels" in texts
    assert made().n_beyond == 0


def test_without_a_place_there_is_nothing_to_draw() -> None:
    with pytest.raises(ValueError, match="No probe has channels"):
        made(probes=[])
