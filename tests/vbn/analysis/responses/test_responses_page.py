"""The page about responses names every column, and no column that there is not."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.vbn.analysis.flashes import flashes_of
from vbn.analysis.responses.change_response import change_response
from vbn.analysis.responses.first_spike import first_spike_latency
from vbn.analysis.responses.full_field_response import full_field_response
from vbn.analysis.responses.image_selectivity import image_selectivity
from vbn.analysis.responses.omission_response import omission_response
from vbn.analysis.responses.published_response import KINDS, published_response
from vbn.analysis.responses.receptive_field import receptive_field
from vbn.analysis.responses.reliability import reliability
from vbn.analysis.responses.running_modulation import running_modulation
from vbn.analysis.responses.variability import variability
from vbn.analysis.task.flash_behavior import flash_behavior
from vbn.calibration.events import simulate_events

PAGE = Path(__file__).parents[4] / "docs" / "responses.md"
PLACES = {
    "condition": ("active", "passive"),
    "kind": ("change", "omission"),
    "outcome": ("hit", "miss"),
    "color": ("white", "black"),
}


def presentations():
    columns = (
        "start_time",
        "image_name",
        "active",
        "is_change",
        "omitted",
        "color",
        "position_x",
        "position_y",
    )
    return pd.DataFrame(columns=list(columns), dtype=float).astype({"image_name": object})


def of_no_unit():
    events = simulate_events(0, 0, 20.0)
    flashes = flash_behavior(events.presentations, events.trials, events.lick_times_s)
    chosen = dict.fromkeys(KINDS, np.zeros(len(flashes), bool))
    return published_response([], [], [], flashes, events.trials, chosen)[0]


def chosen_flashes():
    return pd.DataFrame({"start_time": [], "image_name": [], "run": []})


def first_spikes_of_no_unit():
    events = simulate_events(0, 0, 20.0)
    return first_spike_latency([], [], [], events.presentations, events.trials)


TABLES = {
    "ChangeResponse": lambda: change_response([], [], [], presentations()),
    "FirstSpikeLatency": first_spikes_of_no_unit,
    "OmissionResponse": lambda: omission_response([], [], [], presentations(), []),
    "ImageSelectivity": lambda: image_selectivity([], [], [], flashes_of(presentations()))[0],
    "Reliability": lambda: reliability([], [], [], chosen_flashes()),
    "Variability": lambda: variability([], [], [], chosen_flashes()),
    "FullFieldResponse": lambda: full_field_response([], [], [], presentations()),
    "RunningModulation, PupilModulation": lambda: running_modulation([], [], [], presentations(), ([], [])),
    "ReceptiveField": lambda: receptive_field([], [], [], presentations(), seed=0)[0],
    "PublishedResponse": of_no_unit,
}


def named_columns(section):
    """First cells of the section's tables, with every place filled in."""
    text = PAGE.read_text(encoding="utf-8").split(f"## {section}\n")[1].split("\n## ")[0]
    names = [name for row in re.findall(r"^\| (`.*?) \|", text, re.M) for name in re.findall(r"`(.+?)`", row)]
    for place, values in PLACES.items():
        names = [name.replace(f"{{{place}}}", value) for name in names for value in values]
    return set(names)


@pytest.mark.parametrize("section", list(TABLES))
def test_the_page_names_all_columns(section):
    assert named_columns(section) == set(TABLES[section]().columns)
