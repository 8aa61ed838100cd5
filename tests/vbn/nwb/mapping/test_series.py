"""Licks, rewards, running and pupil of another rig: in the release's units, or one line that says why not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest

import vbn.nwb
from tests.fixtures.rig import MAPPING, SERIES_MAPPING, RigFile, with_series
from vbn.errors import SettingError, VbnError
from vbn.nwb.mapping import MappedReading, parse_mapping

PLACE = "processing/behavior"


def behavior(path: Path, series: str = SERIES_MAPPING, with_pynwb: bool = True) -> dict[str, Any]:
    """Read what an import reads of the mouse; the second one does so without pynwb."""
    mapping = MappedReading(parse_mapping(MAPPING + series))
    with vbn.nwb.open_session(path, with_pynwb=with_pynwb, mapping=mapping) as file:
        return {
            "licks": vbn.nwb.read_licks(file),
            "rewards": vbn.nwb.read_rewards(file),
            "running": vbn.nwb.read_running(file),
            "eye": vbn.nwb.read_eye_tracking(file),
        }


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return RigFile(add=with_series).write(tmp_path_factory.mktemp("rig") / "our.nwb")


@pytest.fixture
def changed(original: Path, tmp_path: Path) -> Callable[..., Path]:
    def change_copy(change: Callable[[h5py.File], Any]) -> Path:
        path = tmp_path / "our.nwb"
        path.write_bytes(original.read_bytes())
        with h5py.File(path, "r+") as file:
            change(file)
        return path

    return change_copy


def test_series_have_the_releases_units_and_times(original: Path) -> None:
    found = behavior(original)
    assert found["licks"].to_dict("list") == {"timestamps": [6.0, 6.2, 41.1, 50.0], "frame": [-1] * 4}
    assert found["rewards"].to_dict("list") == {
        "timestamps": [6.3, 41.3], "volume": [0.004, 0.005], "auto_rewarded": [False] * 2,
    }  # fmt: skip
    speed = 100 * (np.sin(np.arange(4200) / 300) + 1.0)
    np.testing.assert_allclose(found["running"]["speed"], speed, rtol=1e-15)
    np.testing.assert_allclose(found["running"]["timestamps"], 2.0 + np.arange(4200) / 50)
    assert found["running"]["raw_speed"].isna().all()
    pupil = found["eye"]
    assert pupil.columns.tolist() == ["timestamps", "pupil_area", "likely_blink", "pupil_area_raw"]
    diameter = 20.0 + np.sin(np.arange(2400) / 100)
    diameter[100:110] = np.nan
    np.testing.assert_allclose(pupil["pupil_area_raw"], np.pi * (diameter / 2) ** 2, rtol=1e-12)
    assert np.flatnonzero(pupil["likely_blink"]).tolist() == list(range(98, 112))
    assert pupil["pupil_area"].isna().sum() == 14


def test_without_these_sections_there_are_none(original: Path) -> None:
    found = behavior(original, "")
    assert [len(found[name]) for name in ("licks", "rewards", "running")] == [0, 0, 0]
    assert found["eye"] is None


def test_values_may_stand_in_other_data_sets(changed: Callable[..., Path]) -> None:
    def move(file: h5py.File) -> None:
        file[f"{PLACE}/water"].create_dataset("when", data=[1.0, 2.0, 3.0])
        file[f"{PLACE}/water"].create_dataset("free", data=np.array([1, 0, 1], np.int8))
        file[f"{PLACE}/tongue/timestamps"].attrs["note"] = "as it is"

    rewards = '[rewards]\nseries = "/processing/behavior/water/"\ntimes = "when"\n'
    found = behavior(changed(move), rewards + 'volume = 0.007\nauto_rewarded = "free"')["rewards"]
    assert found.to_dict("list") == {
        "timestamps": [1.0, 2.0, 3.0], "volume": [0.007] * 3, "auto_rewarded": [True, False, True],
    }  # fmt: skip


def test_frames_of_licks_are_the_first_ones_at_or_after_them(changed: Callable[..., Path]) -> None:
    def add_frames(file: h5py.File) -> None:
        group = file.create_group("processing/stimulus/timestamps")
        group.create_dataset("timestamps", data=np.arange(0, 60, 0.5))
        group.create_dataset("data", data=np.arange(120))

    licks = behavior(changed(add_frames), with_pynwb=False)["licks"]
    assert licks["frame"].tolist() == [12, 13, 83, 100]


def test_a_unit_of_the_mapping_may_not_contradict_the_file(
    original: Path, changed: Callable[..., Path]
) -> None:
    running = '[running]\nseries = "processing/behavior/wheel"\nunit = "cm/s"'
    with pytest.raises(VbnError, match=r"is in m/s, and the mapping's \[running\] says cm/s"):
        behavior(original, running)
    unknown = changed(setting(f"{WHEEL}/data", unit="n/a"))
    speed = behavior(unknown, running)["running"]["speed"]
    np.testing.assert_array_equal(speed, np.sin(np.arange(4200) / 300) + 1.0)


def test_volumes_are_multiplied_by_their_conversion(changed: Callable[..., Path]) -> None:
    microlitres = changed(setting(f"{PLACE}/water/data", conversion=0.001))
    assert behavior(microlitres)["rewards"]["volume"].tolist() == pytest.approx([4e-6, 5e-6])


def claiming(path: str) -> Callable[[h5py.File], None]:
    """Let a data set claim far more than any machine holds."""

    def change(file: h5py.File) -> None:
        attributes = dict(file[path].attrs)
        del file[path]
        claim = file.create_dataset(path, shape=(10**12,), dtype="f8", chunks=(10**6,), compression="gzip")
        claim.attrs.update(attributes)

    return change


def replaced(path: str, values: Any) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        attributes = dict(file[path].attrs)
        del file[path]
        file[path] = values
        file[path].attrs.update(attributes)

    return change


def setting(path: str, **attributes: Any) -> Callable[[h5py.File], None]:
    return lambda file: file[path].attrs.update(attributes)


WHEEL, PUPIL, TONGUE = f"{PLACE}/wheel", f"{PLACE}/pupil", f"{PLACE}/tongue"
REFUSED = {
    "no series": (
        lambda file: file.move(TONGUE, f"{PLACE}/tonge"), "reads a table /processing/behavior/tongue.*tonge"
    ),
    "no times": (lambda file: file.__delitem__(f"{TONGUE}/timestamps"), "neither timestamps nor starting_time"
    ),
    "unit": (setting(f"{WHEEL}/data", unit="furlongs"), "file says 'furlongs'. Write it into the mapping"),
    "rate of zero": (setting(f"{WHEEL}/starting_time", rate=0.0), "which gives no times"),
    "rate of NaN": (setting(f"{WHEEL}/starting_time", rate=np.nan), "which gives no times"),
    "a claim": (claiming(f"{WHEEL}/data"), "claims|unpack"),
    "a claim of times": (claiming(f"{PUPIL}/timestamps"), "claims|unpack"),
    "conversion": (setting(f"{PUPIL}/data", conversion=np.inf), "conversion is inf"),
    "lengths": (replaced(f"{PUPIL}/data", np.zeros(7)), "has 7 samples, and there are 2400 times"),
    "two dimensions": (replaced(f"{PUPIL}/data", np.zeros((2400, 2))), r"has shape \(2400, 2\)"),
    "text": (replaced(f"{PUPIL}/data", ["x"] * 2400), "number|real"),
    "volumes": (replaced(f"{PLACE}/water/data", [0.1]), "2 entries .* 1|has shape|and the table has"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_series_that_does_not_fit_is_refused_in_one_line(name: str, changed: Callable[..., Path]) -> None:
    change, problem = REFUSED[name]
    with pytest.raises(VbnError, match=problem) as refused:
        behavior(changed(change), with_pynwb=False)
    assert "\n" not in str(refused.value)
    assert "our.nwb" in str(refused.value)


INVALID = {
    '[licks]\ntimes = "x"': r"\[licks\]: series is missing",
    '[licks]\nseries = "x"\nunit = "s"': r"\[licks\]: 'unit' is not known here",
    '[licks]\nseries = "x"\ntimes = "a/b"': "must be the name of a data set of the series, not a path",
    '[rewards]\nseries = "x"\nauto_rewarded = true': "volume is missing; it must be a volume of 0 to 1 mL",
    '[rewards]\nseries = "x"\nvolume = 5': "volume is 5; it must be a volume",
    '[rewards]\nseries = "x"\nvolume = 0.005': "auto_rewarded is missing; it must be true, false",
    '[running]\nseries = "x"\nunit = "km/h"': r"\[running\]: unit must be 'cm/s' or 'm/s' or 'mm/s'",
    '[pupil]\nseries = "x"\nmeasure = "size"': "measure must be 'area' or 'diameter' or 'radius'",
}


@pytest.mark.parametrize("section", INVALID)
def test_a_section_that_is_wrong_is_refused_with_its_key(section: str) -> None:
    with pytest.raises(SettingError, match=INVALID[section]):
        parse_mapping(f"{MAPPING}\n{section}\n", "rig.toml")


def test_a_pupil_of_a_constant_area_has_no_blinks(changed: Callable[..., Path]) -> None:
    found = behavior(changed(replaced(f"{PUPIL}/data", np.full(2400, 3.0))))["eye"]
    assert isinstance(found, pd.DataFrame)
    assert not found["likely_blink"].any()
