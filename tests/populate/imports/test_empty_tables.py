"""Files whose tables have no rows: all of them are imported, computed to nothing, and exit code 0."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

pytestmark = [pytest.mark.files, pytest.mark.slow]

ELECTRODES = "general/extracellular_ephys/electrodes"
UNITS = "units"
EPHYS_TABLES = ("units", ELECTRODES)
GABORS = "intervals/gabor_20_deg_250ms_presentations"


def empty(file: h5py.File, path: str) -> None:
    """Take all rows from a table, or all samples from a series; columns and their announcement stay."""
    group = file[path]
    targets = {}
    for name in list(group):
        column, attributes = group[name], dict(group[name].attrs)
        if (
            not isinstance(column, h5py.Dataset)
            or column.shape == ()
            or group.get(name, getlink=True).__class__ is h5py.SoftLink
        ):
            continue
        kind, shape = column.dtype, (0, *column.shape[1:])
        targets[name] = attributes.pop("target", None)
        del group[name]
        group.create_dataset(name, shape, kind).attrs.update(attributes)
    for name, target in targets.items():
        if target is not None:
            group[name].attrs["target"] = group[name.removesuffix("_index")].ref


def no_units(file: h5py.File) -> None:
    empty(file, UNITS)


def units_without_columns(file: h5py.File) -> None:
    """As pynwb writes a table to which no row was added: only the ids, of which there are none."""
    attributes = dict(file[UNITS].attrs)
    del file[UNITS]
    file.create_group(UNITS).attrs.update({**attributes, "colnames": np.empty(0, h5py.string_dtype())})
    ids = file[UNITS].create_dataset("id", (0,), "i8")
    ids.attrs.update({"neurodata_type": "ElementIdentifiers", "namespace": "hdmf-common"})


def units_of_null_space(file: h5py.File) -> None:
    """Data sets without a data space, which MATLAB writes for an empty array."""
    no_units(file)
    for name in list(file[UNITS]):
        attributes = {k: v for k, v in file[UNITS][name].attrs.items() if k != "target"}
        del file[UNITS][name]
        file[UNITS].create_dataset(name, data=h5py.Empty("f8")).attrs.update(attributes)
    for name in list(file[UNITS]):
        if name.removesuffix("_index") != name and name.removesuffix("_index") in file[UNITS]:
            file[UNITS][name].attrs["target"] = file[UNITS][name.removesuffix("_index")].ref


def neither_units_nor_electrodes(file: h5py.File) -> None:
    for path in EPHYS_TABLES:
        empty(file, path)


def no_trials(file: h5py.File) -> None:
    empty(file, "intervals/trials")


def no_gabors_licks_rewards_or_pulses(file: h5py.File) -> None:
    empty(file, GABORS)
    empty(file, "processing/licking/licks")
    for name in ("volume", "autorewarded"):
        empty(file, f"processing/rewards/{name}")
    empty(file, "processing/optotagging/optogenetic_stimulation")


def no_running_and_no_eye(file: h5py.File) -> None:
    for name in file["processing/running"]:
        empty(file, f"processing/running/{name}")
    for name in file["acquisition/EyeTracking"]:
        empty(file, f"acquisition/EyeTracking/{name}")


def no_images(file: h5py.File) -> None:
    name = next(name for name in file["intervals"] if name.startswith("Natural"))
    empty(file, f"intervals/{name}")


def no_presentations_at_all(file: h5py.File) -> None:
    for name in file["intervals"]:
        if name.endswith("_presentations"):
            empty(file, f"intervals/{name}")


def silent_units(file: h5py.File) -> None:
    """Units without a single spike among them."""
    for name in ("spike_times", "spike_amplitudes"):
        if name not in file[UNITS]:
            continue
        attributes = dict(file[UNITS][name].attrs)
        del file[UNITS][name]
        file[UNITS].create_dataset(name, (0,), "f8").attrs.update(attributes)
        file[UNITS][f"{name}_index"][...] = 0
        file[UNITS][f"{name}_index"].attrs["target"] = file[UNITS][name].ref


def nothing_at_all(file: h5py.File) -> None:
    for change in CHANGES[:-1]:
        if change not in (units_without_columns, units_of_null_space, silent_units):
            change(file)


CHANGES: tuple[Callable[[h5py.File], None], ...] = (
    no_units,
    units_without_columns,
    units_of_null_space,
    neither_units_nor_electrodes,
    no_trials,
    no_gabors_licks_rewards_or_pulses,
    no_running_and_no_eye,
    no_images,
    no_presentations_at_all,
    silent_units,
    nothing_at_all,
)
EACH = pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
WITHOUT_UNITS = (no_units, units_without_columns, units_of_null_space, neither_units_nor_electrodes)


@dataclass(frozen=True)
class Populated:
    """What ``vbn register`` and ``vbn populate`` made of the copies."""

    database: Any
    ids: dict[str, int]
    registered: list[dict[str, Any]]
    done: subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def populated(make_database: Callable[..., Any], damaged_copy: Callable[..., Path]) -> Populated:
    database = make_database().keep_few_sets()
    paths = {change.__name__: damaged_copy(change) for change in CHANGES}
    registered = database.json_lines("register", *paths.values(), check=False)
    done = database.call("populate", check=False)
    return Populated(
        database, {name: int(path.stem.rsplit("_")[-1]) for name, path in paths.items()}, registered, done
    )


def test_all_are_registered(populated: Populated) -> None:
    assert [line for line in populated.registered if line["status"] != "registered"] == []


@EACH
def test_nothing_fails(populated: Populated, change: Callable[..., None]) -> None:
    session_id = populated.ids[change.__name__]
    failed = [
        (row["table"], row["message"])
        for row in populated.database.json("errors")
        if row["key"]["session_id"] == session_id
    ]
    assert failed == []


def test_populate_ends_well_and_leaves_nothing_to_do(populated: Populated) -> None:
    assert (populated.done.returncode, populated.done.stderr) == (0, "")
    for state in populated.database.json("status"):
        assert (state["done"], state["errors"], state["reserved"]) == (state["total"], 0, 0), state


@pytest.mark.parametrize("change", WITHOUT_UNITS, ids=lambda change: change.__name__)
def test_a_session_without_units_has_a_row_in_every_table_and_none_of_units(
    populated: Populated, change: Callable[..., None]
) -> None:
    counts = populated.database.row_counts(populated.ids[change.__name__])
    assert {name: n for name, n in counts.items() if name.endswith("__unit") and n} == {}
    whole = populated.database.row_counts(populated.ids["silent_units"])
    masters = {name for name, n in whole.items() if "__" not in name and n}
    assert {name for name in masters if not counts[name]} == set()


def test_trials_and_presentations_without_rows_are_none(populated: Populated) -> None:
    def counts_of(change: Callable[..., None]) -> dict[str, int]:
        return populated.database.row_counts(populated.ids[change.__name__])

    assert counts_of(no_trials)["behavior._change_detection__trial"] == 0
    assert counts_of(no_trials)["stimulus._stimulus__change"] == 0
    assert counts_of(no_presentations_at_all)["stimulus._stimulus__presentation"] == 0
    whole = counts_of(no_units)["stimulus._stimulus__presentation"]
    assert 0 < counts_of(no_images)["stimulus._stimulus__presentation"] < whole
