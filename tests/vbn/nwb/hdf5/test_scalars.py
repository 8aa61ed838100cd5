"""One value in all the ways that a file may hold it, and what is no such value."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vbn import nwb
from vbn.errors import InvalidContentError
from vbn.nwb.hdf5 import scalars
from vbn.nwb.hdf5.recording import open_recording
from vbn.nwb.hdf5.scalars import decoded, flag, flat, length_of, number, single, text, texts, whole
from vbn.nwb.readers import columns
from vbn.nwb.readers.probes import read_channels
from vbn.nwb.readers.session import read_session
from vbn.nwb.readers.units import read_units

SHAPES = ((), (1,), (1, 1), (1, 1, 1))


@pytest.fixture
def stored(tmp_path: Path) -> Any:
    """A function that writes a data set and gives it back as read."""
    file = h5py.File(tmp_path / "values.h5", "w")

    def write(data: Any, **options: Any) -> h5py.Dataset:
        if "value" in file:
            del file["value"]
        return file.create_dataset("value", data=data, **options)

    yield write
    file.close()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    "value", [np.array("wt/wt", object), np.array(b"wt/wt"), np.array(b"wt/wt   "), np.array(b"wt/wt\0\0\0")]
)
def test_a_text_is_read_in_any_shape_and_filling(stored: Any, value: np.ndarray, shape: tuple) -> None:
    dataset = stored(value.reshape(shape), dtype=h5py.string_dtype() if value.dtype == object else None)
    dataset.attrs["same"] = dataset[()]
    assert text(dataset) == text(dataset.attrs["same"]) == "wt/wt"
    assert texts(dataset.attrs["same"]) == ["wt/wt"]


def test_a_text_of_matlab_is_an_array_of_codes(stored: Any) -> None:
    codes = np.frombuffer("Sst-µ😀".encode("utf-16-le"), "<u2")
    dataset = stored(codes.reshape(1, -1))
    with pytest.raises(ValueError, match="one value is expected, and there are 7"):
        text(dataset)
    dataset.attrs["MATLAB_class"] = np.bytes_("char")
    assert text(dataset) == "Sst-µ😀"
    long = stored(np.zeros(scalars.MOST_CHARACTERS + 1, "u2"))
    long.attrs["MATLAB_class"] = "char"
    with pytest.raises(ValueError, match="character codes"):
        text(long)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", ["i1", "u1", "i8", "u8", "f4", "f8"])
def test_a_number_is_read_in_any_shape_and_kind(stored: Any, shape: tuple, kind: str) -> None:
    dataset = stored(np.full(shape, 60, kind))
    assert (number(dataset), whole(dataset), text(dataset)) == (60.0, 60, "60")
    assert flag(stored(np.full(shape, 1, kind))) is True


@given(st.integers(-(2**63), 2**63 - 1))
def test_every_whole_number_of_64_bits_is_kept(value: int) -> None:
    assert whole(value) == whole(str(value)) == whole(np.array([value])) == value


@given(st.floats())
def test_every_float_is_kept(value: float) -> None:
    assert np.array_equal(number(np.array([[value]])), value, equal_nan=True)
    assert np.array_equal(number(repr(value)), value, equal_nan=True)


@pytest.mark.parametrize(
    ("convert", "value", "words"),
    [
        (single, np.empty(0), "one value is expected, and there are 0"),
        (single, h5py.Empty("f8"), "there is none"),
        (text, np.array(["a", "b"], object), "there are 2"),
        (text, np.bool_(True), "text is expected"),
        (number, "fast", "a number is expected, and it is 'fast'"),
        (number, np.complex128(1), "expected"),
        (whole, 7.5, "a whole number is expected, and it is '7.5'"),
        (whole, float("nan"), "a whole number is expected"),
        (whole, float("inf"), "a whole number is expected"),
        (whole, "1,053", "a number is expected"),
        (whole, 2**63, "64 bits"),
        (whole, 1e300, "64 bits"),
        (flag, 2, "0 or 1 is expected"),
        (flag, "yes", "0 or 1 is expected"),
        (flag, float("nan"), "0 or 1 is expected"),
    ],
)
def test_what_is_no_such_value_is_refused_in_words(convert: Any, value: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        convert(value)


@given(st.binary())
def test_bytes_are_text_in_utf8_or_written_out(raw: bytes) -> None:
    found = decoded(raw)
    assert found == decoded(raw.decode(errors="surrogateescape"))
    assert found.encode().decode() == found  # can be stored
    if raw == raw.decode(errors="replace").encode():
        assert found == raw.decode()


@pytest.mark.parametrize(
    ("stored", "expected"), [(b"Sst-\xb5", r"Sst-\xb5"), ("Sst-\udcb5", r"Sst-\xb5"), ("a\ud800", r"a\ud800")]
)
def test_what_is_not_utf8_is_written_out(stored: Any, expected: str) -> None:
    assert text(stored) == decoded(stored) == expected


@pytest.mark.parametrize("shape", [(3,), (3, 1), (1, 3), (1, 3, 1)])
def test_a_column_is_read_in_any_shape(stored: Any, shape: tuple) -> None:
    dataset = stored(np.arange(3).reshape(shape))
    assert (length_of(dataset), flat(dataset).tolist()) == (3, [0, 1, 2])


def test_text_of_fixed_length_in_a_column_is_without_its_filling(stored: Any) -> None:
    padded = stored(np.array([b"VISp  ", b"root  ", b"a b   "]))
    assert columns.texts(flat(padded)).tolist() == ["VISp", "root", "a b"]
    free = stored(np.array(["VISp ", "root"], object), dtype=h5py.string_dtype())
    assert columns.texts(flat(free)).tolist() == ["VISp ", "root"]


def test_a_column_of_one_row_or_of_none_and_what_is_no_column(stored: Any) -> None:
    assert (length_of(stored(5.0)), flat(stored(5.0)).tolist()) == (1, [5.0])
    assert (length_of(stored(h5py.Empty("f8"))), flat(stored(h5py.Empty("f8"))).size) == (0, 0)
    assert length_of(stored(np.empty((0, 1)))) == 0
    assert length_of(stored(np.empty((2, 2)))) is None
    with pytest.raises(ValueError, match=r"the shape is \(2, 2\)"):
        flat(stored(np.empty((2, 2))))


def as_array(value: Any, shape: tuple[int, ...]) -> np.ndarray:
    return np.full(shape, value, object if isinstance(value, str) else None)


def as_arrays_of_one(shape: tuple[int, ...], *, attributes: bool) -> Any:
    """Give a change of a file that stores every scalar as an array of one element."""

    def change(file: h5py.File) -> None:
        items: list[tuple[str, Any]] = [("/", file)]
        file.visititems(lambda name, item: items.append((name, item)))
        for name, item in items:
            if name.startswith("specifications"):
                continue
            kept = {key: value for key, value in item.attrs.items() if not isinstance(value, h5py.Reference)}
            if isinstance(item, h5py.Dataset) and item.shape == ():
                kind, value = item.dtype, np.empty(shape, item.dtype if item.dtype.kind != "O" else object)
                value[...] = item[()]
                del file[name]
                item = file.create_dataset(name, data=value, dtype=kind)
            for key, value in kept.items():
                item.attrs[key] = as_array(value, shape) if attributes and np.ndim(value) == 0 else value

    return change


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small synthetic recording."""
    from vbn.synthetic import SyntheticSettings, write_sessions

    folder = tmp_path_factory.mktemp("plain")
    write_sessions(folder, SyntheticSettings(sessions=1, seed=1, minutes=2, units_per_probe=3))
    return next(folder.rglob("ecephys*.nwb"))


@pytest.fixture
def changed(plain: Path, tmp_path: Path) -> Any:
    def change(how: Any) -> Path:
        path = Path(shutil.copyfile(plain, tmp_path / "changed.nwb"))
        with h5py.File(path, "r+") as file:
            how(file)
        return path

    return change


def metadata_of(path: Path) -> list[Any]:
    readers = (nwb.read_session, nwb.read_task_parameters, nwb.read_rig_geometry)
    with nwb.open_session(path) as file:
        return [*(read(file) for read in readers), nwb.read_probes(file).fillna(-1).to_dict()]


@pytest.fixture(scope="module")
def of_plain(plain: Path) -> list[Any]:
    return metadata_of(plain)


@pytest.mark.parametrize(("shape", "attributes"), [((1,), True), ((1, 1), False)])
def test_a_file_with_arrays_of_one_says_the_same(
    of_plain: list[Any], changed: Any, shape: tuple, attributes: bool
) -> None:
    path = changed(as_arrays_of_one(shape, attributes=attributes))
    assert metadata_of(path) == of_plain
    with nwb.open_session(path) as file:
        assert (file.nwbfile is None) == bool(file.unchecked)
        if attributes:
            assert file.unchecked.startswith("it holds arrays in the place of scalars: ")


def lose_all(file: h5py.File) -> None:
    del file["specifications"], file.attrs[".specloc"]


def lose_extensions(file: h5py.File) -> None:
    for name in [name for name in file["specifications"] if name.startswith("ndx")]:
        del file[f"specifications/{name}"]


@pytest.mark.parametrize("lose", [lose_all, lose_extensions])
def test_a_file_without_cached_specifications_is_read_and_says_so(
    of_plain: list[Any], changed: Any, lose: Any
) -> None:
    path = changed(lose)
    assert metadata_of(path) == of_plain
    with nwb.open_session(path) as file:
        assert file.nwbfile is None
        assert file.unchecked.startswith("it holds no cached specifications of ")
        assert "ndx-ellipse-eye-tracking" in file.unchecked


def test_a_lost_column_is_named_without_specifications_too(changed: Any) -> None:
    def lose(file: h5py.File) -> None:
        lose_all(file)
        del file["units/peak_channel_id"]

    with pytest.raises(InvalidContentError, match="/units/peak_channel_id missing from the file"):
        metadata_of(changed(lose))


def test_a_type_that_numpy_has_not_is_refused_in_words(changed: Any) -> None:
    def spoil(file: h5py.File) -> None:
        lose_all(file)
        attributes = file["general/metadata"].attrs
        del attributes["equipment_name"]
        space = h5py.h5s.create(h5py.h5s.SCALAR)
        h5py.h5a.create(attributes._id, b"equipment_name", h5py.h5t.UNIX_D64LE, space)

    with pytest.raises(InvalidContentError, match="/general/metadata@equipment_name: "):
        metadata_of(changed(spoil))


@pytest.mark.parametrize(
    "place",
    ["general/subject/genotype", "session_description", "general/metadata@equipment_name",
     "general/extracellular_ephys/electrodes/location", "units/quality"],
)  # fmt: skip
def test_a_text_that_is_not_utf8_is_read_written_out(changed: Any, place: str) -> None:
    name, _, attribute = place.partition("@")

    def spoil(file: h5py.File) -> None:
        if attribute:
            file[name].attrs[attribute] = np.bytes_(b"P\xb5")
        elif file[name].shape:
            file[name][0] = b"P\xb5"
        else:
            del file[name]
            file[name] = np.bytes_(b"P\xb5")

    with open_recording(changed(spoil)) as recording:
        found = {
            "general/subject/genotype": lambda: read_session(recording).genotype,
            "session_description": lambda: recording.scalar(name, text),
            "general/metadata@equipment_name": lambda: read_session(recording).equipment_name,
            "general/extracellular_ephys/electrodes/location": lambda: read_channels(recording)[
                "structure_acronym"
            ][0],
            "units/quality": lambda: read_units(recording)["quality"][0],
        }[place]()
        assert found == r"P\xb5"
