"""The figure of novelty: what stands where, with few mice and with many, with layers and without."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from vbn.plots.novelty import ALL_LAYERS, CLASS_COLOURS, FLASHES, NoveltyContrasts, plot_novelty

CORTEX = ["VISp", "VISam"]


def make(n_mice: int, layers: tuple[str, ...], classes: tuple[str, ...]) -> NoveltyContrasts:
    rng = np.random.default_rng(n_mice)
    rows: list[dict[str, Any]] = []
    for flashes in FLASHES:
        for layer in layers:
            for structure in CORTEX if layer else ["LGd", *CORTEX]:
                for name in classes:
                    estimate = float(rng.normal(1, 1))
                    width = 1.0 if n_mice > 1 else np.nan
                    rows.append(
                        {
                            "flashes": flashes, "layer_group": layer, "structure_acronym": structure,
                            "cell_class": name, "estimate": estimate, "low": estimate - width,
                            "high": estimate + width, "n_mice": n_mice,
                            "q_value": 0.01 if structure == "VISam" and n_mice > 5 else np.nan,
                        }
                    )  # fmt: skip
    table = pd.DataFrame(rows)
    return NoveltyContrasts(
        table, ["LGd", *CORTEX], n_mice, 2 * n_mice, "bennett_2025", "ccf" if len(layers) > 1 else None, [], 6
    )


@pytest.mark.parametrize(
    ("n_mice", "layers", "classes"),
    [(1, (ALL_LAYERS,), ("RS",)), (49, (ALL_LAYERS, "2/3", "4", "5", "6"), ("RS", "FS", "Sst", "Vip"))],
)
def test_points_stand_over_their_structure_and_are_filled_where_q_is_small(
    n_mice: int, layers: tuple[str, ...], classes: tuple[str, ...]
) -> None:
    data = make(n_mice, layers, classes)
    figure = plot_novelty(data)
    figure.canvas.draw()
    panels = np.array(figure.axes).reshape(len(FLASHES), len(layers))
    for row, flashes in zip(panels, FLASHES, strict=True):
        for axes, layer in zip(row, layers, strict=True):
            structures = data.structures_of(layer)
            points = data.of(flashes, layer).set_index(["structure_acronym", "cell_class"])
            found = 0
            for line in axes.lines:
                if line.get_marker() != "o":
                    continue
                (name,) = (each for each, colour in CLASS_COLOURS.items() if colour == line.get_color())
                is_filled = line.get_markerfacecolor() != "white"
                for x, y in zip(*line.get_data(), strict=True):
                    point = points.loc[structures[round(x)], name]
                    assert y == point["estimate"]
                    assert is_filled == (point["q_value"] <= 0.05)
                    found += 1
            assert found == len(points)
            bars = [each for of in axes.collections for each in of.get_segments() if len(each)]
            lengths = [each[1][1] - each[0][1] for each in bars]
            assert lengths == pytest.approx([] if n_mice == 1 else [2.0] * len(points))
    labels = [text.get_text() for text in panels[-1, 0].get_xticklabels()]
    assert labels == ["LGd", *CORTEX]
    notes = " ".join(text.get_text() for text in figure.texts).replace("\n", " ")
    assert ("49 mice, 98 sessions" if n_mice > 1 else "1 mouse, 2 sessions") in notes
    assert ("no atlas is entered" in notes) == (len(layers) == 1)
    assert ("no p with fewer than 6 mice" in notes) == (n_mice == 1)


def test_a_panel_without_points_says_so() -> None:
    data = make(8, (ALL_LAYERS,), ("RS",))
    data.table.loc[data.table["flashes"] == "change_nonshared_active", ["n_mice", "estimate"]] = [0, np.nan]
    figure = plot_novelty(data)
    assert ["too few" in text.get_text() for axes in figure.axes for text in axes.texts] == [True]
    assert [len(axes.lines) > 0 for axes in figure.axes] == [False, True, True]  # no line through the words
