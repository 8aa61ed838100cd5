"""Matrices come back from their files as they were, and others can read these, too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from vbn.errors import NotReadableError, SettingError
from vbn.interop.matrices import open_matrix, restored, save_matrix, storable
from vbn.interop.optional import OLDEST

SUFFIXES = {".nc": "h5netcdf", ".zarr": "zarr"}


def texts(*values: str | None) -> np.ndarray:
    return np.array([*values, None], dtype=object)[:-1]


@pytest.fixture
def matrix() -> xr.DataArray:
    """Coordinates and attributes of every type, most of which netCDF refuses or changes."""
    of_units: dict[str, Any] = {
        "structure": texts("VISp", None, ""),
        "layer": texts(None, None, None),
        "plain": np.array(["a", "", "b"]),
        "responsive": np.array([True, None, False], dtype=object),
        "valid": np.array([True, True, False]),
        "trial": pd.array([2**62 + 1, None, 3], "Int64"),
        "tagged": pd.array([True, None, False], "boolean"),
        "label": pd.Categorical(["Sst", None, "Vip"], ["Vip", "Sst"], ordered=True),
        "depth": np.array([0.1, np.nan, 3.0]),
    }
    return xr.DataArray(
        np.random.default_rng(3).random((3, 2), dtype=np.float32),
        dims=("unit", "time"),
        coords={
            "unit": [2**62 + 5, 2**62 + 4, 2**62 + 6],
            "time": [-0.005, 0.005],
            "session": 9,
            "genotype": ((), np.array(None, dtype=object)),
            **{name: ("unit", values) for name, values in of_units.items()},
        },
        name="firing_rate",
        attrs={
            "units": "Hz",
            "masked": True,
            "nothing": None,
            "mice": ["a", "b"],
            "sets": {"a": "x"},
        },
    )


def require_equal(one: xr.DataArray, other: xr.DataArray) -> None:
    """Types of coordinates, too, which xarray does not compare, as it does not know that NA equals NA."""
    xr.testing.assert_identical(
        one.drop_vars("tagged", errors="ignore"), other.drop_vars("tagged", errors="ignore")
    )
    assert set(one.coords) == set(other.coords)
    for name, coord in one.coords.items():
        assert coord.dtype == other[name].dtype, name
        found, expected = (
            pd.Series(np.ravel(each.data) if isinstance(each.data, np.ndarray) else each.data)
            for each in (other[name], coord)
        )
        pd.testing.assert_series_equal(found, expected)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_matrix_comes_back_equal(suffix: str, matrix: xr.DataArray, tmp_path: Path) -> None:
    pytest.importorskip(SUFFIXES[suffix], minversion=OLDEST[SUFFIXES[suffix]])
    path = tmp_path / f"rates{suffix}"
    before = matrix.copy(deep=True)
    save_matrix(matrix, path)
    require_equal(before, matrix)  # it is not changed
    found = open_matrix(path)
    require_equal(matrix, found)
    one = found.drop_vars(["tagged", "trial", "label"]).isel(unit=1)  # with scalars as coordinates
    save_matrix(one, tmp_path / f"unit{suffix}")
    xr.testing.assert_identical(open_matrix(tmp_path / f"unit{suffix}"), one)
    assert sorted(each.name for each in tmp_path.iterdir()) == [f"rates{suffix}", f"unit{suffix}"]


def test_other_programs_read_numbers_and_text(matrix: xr.DataArray, tmp_path: Path) -> None:
    import h5py

    pytest.importorskip("h5netcdf")
    save_matrix(matrix, tmp_path / "rates.nc")
    with h5py.File(tmp_path / "rates.nc") as file:
        np.testing.assert_array_equal(file["firing_rate"], matrix)
        assert file["plain"].asstr()[:].tolist() == ["a", "", "b"]
        assert file["unit"][:].tolist() == matrix["unit"].values.tolist()


@settings(max_examples=30)
@given(
    st.lists(
        st.none() | st.sampled_from(["", "missing", "missingmissing", "é"]) | st.text(max_size=2), max_size=4
    )
)
def test_text_that_looks_as_if_it_were_missing_is_not(values: list[str | None]) -> None:
    made = xr.DataArray(np.zeros(len(values)), dims="unit", coords={"name": ("unit", texts(*values))})
    require_equal(made, restored(storable(made)))


def test_what_no_file_can_hold_is_named(matrix: xr.DataArray, tmp_path: Path) -> None:
    pytest.importorskip("h5netcdf")
    odd = np.array([(1, 2), None, "a"], dtype=object)
    with pytest.raises(SettingError, match="Coordinate 'odd' has values of type str, tuple, which no"):
        save_matrix(matrix.assign_coords(odd=("unit", odd)), tmp_path / "rates.nc")
    with pytest.raises(SettingError, match=r"rates\.csv' must end in \.nc or \.zarr\."):
        save_matrix(matrix, tmp_path / "rates.csv")
    with pytest.raises(NotReadableError, match="there is no such file"):
        open_matrix(tmp_path / "rates.nc")
    assert list(tmp_path.iterdir()) == []
