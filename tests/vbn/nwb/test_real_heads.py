"""The first rows of the tables of a real recording: no column is unknown, and every value is read as it is.

``VBN_REAL_HEADS`` names a folder with one CSV table for each table of the file, as somebody printed them.
"""

from __future__ import annotations

import ast
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from vbn import nwb
from vbn.nwb.checks.layout import find_unknown_parts

pytestmark = pytest.mark.corpus
HEADS = os.environ.get("VBN_REAL_HEADS")
ELECTRODES = "general/extracellular_ephys/electrodes"
TABLES = {
    "trials": "intervals/trials",
    "natural_images": "intervals/Natural_Images_Lum_Matched_set_ophys_H_2019_presentations",
    "spontaneous": "intervals/spontaneous_presentations",
    "gabor": "intervals/gabor_20_deg_250ms_presentations",
    "flash": "intervals/flash_250ms_presentations",
    "optotagging": "processing/optotagging/optogenetic_stimulation",
    "units": "units",
    "electrodes": ELECTRODES,
}
RAGGED = ("lick_times", "spike_times", "spike_amplitudes")
NOT_SHOWN = ("group",)
PRESENTATIONS = ("natural_images", "spontaneous", "gabor", "flash")


@pytest.fixture(scope="module")
def heads() -> dict[str, pd.DataFrame]:
    """Table -> its rows, with the ragged columns as lists, and the channels of the units beside the first."""
    if not HEADS:
        pytest.skip("VBN_REAL_HEADS names no folder with the first rows of real tables")
    found = {name: pd.read_csv(Path(HEADS) / f"{name}.csv") for name in TABLES}
    for table in found.values():
        for name in set(RAGGED) & set(table):
            table[name] = table[name].map(listed)
    channels = found["electrodes"].drop(columns=list(NOT_SHOWN))
    of_units = channels.assign(id=found["units"]["peak_channel_id"])
    found["electrodes"] = pd.concat([channels, of_units], ignore_index=True)
    return found


def listed(text: str) -> list[float]:
    """Parse a list; a long one was printed with ``...`` for its end."""
    return [value for value in ast.literal_eval(text) if value is not ...]


def columns_of(path: str, table: pd.DataFrame) -> dict[str, object]:
    """What the file holds of a table: pandas finds the types that are stored."""
    contents: dict[str, object] = {}
    for name, column in table.items():
        if name in RAGGED:
            contents[f"{path}/{name}"] = np.concatenate(column.tolist())
            contents[f"{path}/{name}_index"] = np.cumsum(column.map(len)).astype(np.uint32)
        else:
            is_text = column.dtype.kind not in "biuf"
            contents[f"{path}/{name}"] = column.astype(str).tolist() if is_text else column.to_numpy()
    return contents


@pytest.fixture
def real(heads, make_recording, root):
    """A file that holds these tables, and of the rest what their readers ask for."""
    probe = "general/extracellular_ephys/probeA"
    contents = {
        **root,
        f"{probe}@probe_id": int(heads["electrodes"]["probe_id"][0]),
        "general/devices/probeA@sampling_rate": 29999.9954832704,
    }
    for name, path in TABLES.items():
        contents |= columns_of(path, heads[name])
    return make_recording(contents)


def assert_equal(found: pd.DataFrame, stored: pd.DataFrame, but: tuple[str, ...] = ()) -> None:
    """Of the columns of both, every value is alike; -99 and NaN are missing in each."""
    names = [name for name in stored if name in found and name not in (*RAGGED, *but)]
    assert len(names) > len(stored.columns) / 2
    for name in names:
        missing = stored[name].isna() | (stored[name] == -99)
        assert found[name].isna().tolist() == missing.tolist(), name
        assert found[name][~missing].tolist() == stored[name][~missing].tolist(), name


def test_no_column_of_a_real_file_is_unknown(real):
    """Of what these tables hold; the rest of the file is not there."""
    assert find_unknown_parts(real) == []


def test_trials_are_read_as_they_are(real, heads):
    found = nwb.read_trials(real)
    assert_equal(found, heads["trials"])
    assert [licks.tolist() for licks in found["lick_times"]] == heads["trials"]["lick_times"].tolist()


@pytest.mark.parametrize("name", PRESENTATIONS)
def test_presentations_are_read_as_they_are(real, heads, name):
    found, stored = nwb.read_stimulus_presentations(real), heads[name]
    of_table = found[found["stimulus_block"].isin(stored["stimulus_block"])].reset_index(drop=True)
    assert_equal(of_table, stored)
    assert (of_table["end_time"] == stored["stop_time"]).all()
    assert of_table["image_name"].notna().all() == (name == "natural_images")


def test_pulses_are_read_as_they_are(real, heads):
    assert_equal(nwb.read_optotagging(real), heads["optotagging"])


def test_channels_and_units_are_read_as_they_are(real, heads):
    channels, electrodes = nwb.read_channels(real), heads["electrodes"]
    assert channels["channel_id"].tolist() == electrodes["id"].tolist()
    assert channels["structure_acronym"].tolist() == electrodes["location"].tolist()
    assert channels["left_right_ccf_coordinate"].tolist() == electrodes["z"].tolist()
    assert_equal(channels.drop(columns="probe_name"), electrodes[["probe_id", "valid_data", "filtering"]])
    units = nwb.read_units(real)
    assert units["unit_id"].tolist() == heads["units"]["id"].tolist()
    assert_equal(units, heads["units"])


def test_spikes_are_read_as_they_are(real, heads):
    wanted = dict(zip(heads["units"]["id"], heads["units"]["spike_times"], strict=True))
    for _, rows, times in nwb.iterate_spike_times(real, nwb.read_units(real)):
        for row in rows.itertuples():
            own = times[row.spike_offset : row.spike_offset + row.n_spikes]
            assert own.tolist() == wanted.pop(row.unit_id)
    assert not wanted
