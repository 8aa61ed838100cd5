"""The picture of the tables."""

from __future__ import annotations

import pytest

from vbn.plots import TableDiagram, plot_tables

GROUPS = {"Mouse": "session", "Session": "session", "Unit": "ecephys", "Psth": "psth", "Trial": "behavior"}
EDGES = (("Mouse", "Session"), ("Session", "Unit"), ("Unit", "Psth"), ("Trial", "Psth"), ("Session", "Trial"))


def test_a_table_stands_to_the_right_of_all_that_it_is_made_from() -> None:
    level = TableDiagram(GROUPS, EDGES).levels()
    assert level == {"Mouse": 0, "Session": 1, "Unit": 2, "Trial": 2, "Psth": 3}
    figure = plot_tables(TableDiagram(GROUPS, EDGES))
    places = {text.get_text(): text.get_position() for text in figure.axes[0].texts}
    assert all(places[upper][0] < places[lower][0] for upper, lower in EDGES)
    assert set(GROUPS) | set(GROUPS.values()) == set(places)
    assert len(figure.axes[0].lines) == len(EDGES)


def test_tables_that_refer_to_each_other_in_a_circle_are_refused() -> None:
    with pytest.raises(ValueError, match="circle"):
        TableDiagram({"A": "x", "B": "x"}, (("A", "B"), ("B", "A"))).levels()
