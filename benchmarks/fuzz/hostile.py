"""Named ways to make an NWB file harmful: each changes an open copy of a good one.

A way is a function of the open file and of a folder that holds `SECRET`, a file that nobody may read into
the database, and `OTHER`, another recording. `HOSTILE` has them by name, with words of the refusal.
"""
# ruff: noqa: ARG001, ARG005

from __future__ import annotations

import ctypes
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from h5py import h5f, h5p, h5s

SECRET = "secret.txt"
SECRET_TEXT = b"TopSecret1" * 1000
OTHER = "other.nwb"
ACRONYMS = "general/extracellular_ephys/electrodes/location"
DEEP = 10_000
MANY_GROUPS = 11_000
MANY_ATTRIBUTES = 20_001
HUGE = 2**32
ZEROS_BYTES = 2**26

Damage = Callable[[h5py.File, Path], None]


def external(name: str, segments: list[tuple[str, int, int]], dtype: str = "S10") -> Damage:
    """Store a column's values in other files: (name, offset, bytes) each, relative to the folder."""

    def damage(file: h5py.File, folder: Path) -> None:
        n = len(file[name]) if name in file else 10
        files = [(str(folder / one), offset, size) for one, offset, size in segments]
        with replacing(file, name):
            file.create_dataset(name, shape=(n,), dtype=dtype, external=files)

    return damage


def external_beside(file: h5py.File, folder: Path) -> None:
    """Name the other file relative to the working folder, or to HDF5_EXTFILE_PREFIX."""
    n = len(file[ACRONYMS])
    with replacing(file, ACRONYMS):
        file.create_dataset(ACRONYMS, shape=(n,), dtype="S10", external=[(SECRET, 0, h5f.UNLIMITED)])


def external_without_a_name(file: h5py.File, folder: Path) -> None:
    """Refer to a data set that no group holds, and whose values lie in another file."""
    with nameless_data(file, folder) as reference:
        file["general/subject"].attrs["more"] = reference


def external_behind_a_column_of_references(file: h5py.File, folder: Path) -> None:
    with nameless_data(file, folder) as reference:
        file["general/subject"].create_dataset("more", data=[reference], dtype=h5py.ref_dtype)


def external_behind_what_has_no_name(file: h5py.File, folder: Path) -> None:
    """Refer to a column of references that no group holds either."""
    with nameless_data(file, folder) as reference:
        column = file.create_dataset("between", data=[reference], dtype=h5py.ref_dtype)
        file["general/subject"].attrs["more"] = column.ref
        keep_without_a_name(column)
        del file["between"]


def external_behind_a_field(file: h5py.File, folder: Path) -> None:
    """As the time series that a trial belongs to: a compound with a reference in it."""
    kind = np.dtype([("start", "i4"), ("series", h5py.ref_dtype)])
    with nameless_data(file, folder) as reference:
        rows = np.zeros(3, kind)
        rows["series"] = reference
        file.create_dataset("intervals/trials/more", data=rows, dtype=kind)


@contextmanager
def nameless_data(file: h5py.File, folder: Path) -> Iterator[h5py.Reference]:
    """Make a data set in another file that references alone lead to."""
    made = file.create_dataset("lost", (10,), "S10", external=[(str(folder / SECRET), 0, 100)])
    yield made.ref
    keep_without_a_name(made)
    del file["lost"]


def keep_without_a_name(found: Any) -> None:
    """Keep an object when its last link is deleted; h5py has no function for that."""
    (library,) = (Path(h5py.__file__).parents[1] / "h5py.libs").glob("libhdf5-*")
    ctypes.CDLL(str(library)).H5Oincr_refcount(ctypes.c_int64(found.id.id))


def virtual(source: Callable[[Path], str], name: str = "units/firing_rate", dataset: str = "/data") -> Damage:
    """Map a column onto a data set of another file."""

    def damage(file: h5py.File, folder: Path) -> None:
        n = len(file[name])
        with replacing(file, name):
            map_onto(file, name, n, source(folder), dataset)

    return damage


def map_onto(file: h5py.File, name: str, n: int, filename: str, dataset: str) -> None:
    space, shown = (h5s.create_simple((n,), (h5s.UNLIMITED,)) for _ in range(2))
    made = h5p.create(h5p.DATASET_CREATE)
    if "%" in filename + dataset:
        shown.select_hyperslab((0,), (h5s.UNLIMITED,), (n,), (n,))
    made.set_virtual(shown, filename.encode(), dataset.encode(), h5s.create_simple((n,)))
    h5py.h5d.create(file.id, name.encode(), h5py.h5t.IEEE_F64LE, space, made)


def virtual_of_itself(file: h5py.File, folder: Path) -> None:
    """Two virtual data sets, each over the other."""
    for name, other in (("a", "b"), ("b", "a")):
        map_onto(file, name, 5, ".", f"/{other}")


def external_link(name: str, filename: Callable[[Path], str], target: str) -> Damage:
    """Move a part of the file to another file."""

    def damage(file: h5py.File, folder: Path) -> None:
        if name in file:
            del file[name]
        file[name] = h5py.ExternalLink(filename(folder), target)

    return damage


def soft_link_that_leaves(file: h5py.File, folder: Path) -> None:
    file["scratch/door"] = h5py.ExternalLink(str(folder / OTHER), "/")
    del file["intervals/trials"]
    file["intervals/trials"] = h5py.SoftLink("/scratch/door/intervals/trials")


def deep_external_link(file: h5py.File, folder: Path) -> None:
    file["scratch/a/b/c/d/e/f/door"] = h5py.ExternalLink(str(folder / OTHER), "/units")


def link_in_a_group_without_a_name(file: h5py.File, folder: Path) -> None:
    file["lost/door"] = h5py.ExternalLink(str(folder / OTHER), "/units")
    file["units"].attrs["more"] = file["lost"].ref
    keep_without_a_name(file["lost"])
    del file["lost"]


def group_in_itself(file: h5py.File, folder: Path) -> None:
    file["acquisition/round/again"] = file.create_group("acquisition/round")


def root_in_itself(file: h5py.File, folder: Path) -> None:
    file["acquisition/root"] = file["/"]


def cycle_of_three(file: h5py.File, folder: Path) -> None:
    file.create_group("processing/a/b/c")
    file["processing/a/b/c/a"] = file["processing/a"]


def diamonds(file: h5py.File, folder: Path) -> None:
    """Two ways from each group to the next: 2 ** 40 paths."""
    here = file.create_group("analysis/diamonds")
    for _ in range(40):
        inner = here.create_group("left")
        here["right"] = inner
        here = inner


def soft_link_to_the_root(file: h5py.File, folder: Path) -> None:
    file["acquisition/root"] = h5py.SoftLink("/")


def soft_link_to_itself(file: h5py.File, folder: Path) -> None:
    file["acquisition/a"] = h5py.SoftLink("/acquisition/b")
    file["acquisition/b"] = h5py.SoftLink("/acquisition/a")


def deep_nesting(file: h5py.File, folder: Path) -> None:
    here = file.create_group("scratch").id
    for _ in range(DEEP):
        here = h5py.h5g.create(here, b"g")


def many_groups(file: h5py.File, folder: Path) -> None:
    here = file.create_group("scratch").id
    for number in range(MANY_GROUPS):
        h5py.h5g.create(here, b"%d" % number)


def many_attributes(file: h5py.File, folder: Path) -> None:
    here = file.create_group("scratch", track_order=True)
    for number in range(MANY_ATTRIBUTES):
        here.attrs.create(str(number), 0, dtype="i1")


def long_attribute(file: h5py.File, folder: Path) -> None:
    here = file.create_group("scratch", track_order=True)
    here.attrs["long"] = np.zeros(2**22)


def claim(name: str, n: int = HUGE, **how: Any) -> Damage:
    """Make a data set claim `n` rows, none of which are stored."""

    def damage(file: h5py.File, folder: Path) -> None:
        old = file.get(name)
        kind = how.get("dtype") or (old.dtype if old is not None else "f8")
        rest = old.shape[1:] if old is not None else ()
        layout = how.get("layout", {"chunks": (min(n, 2**10), *rest)})
        with replacing(file, name):
            file.create_dataset(name, shape=(n, *rest), dtype=kind, **layout)

    return damage


def bomb(name: str, n_chunks: int, filters: int = 1) -> Damage:
    """Fill a data set with zeros, compressed a thousandfold (by two filters, a millionfold)."""

    def damage(file: h5py.File, folder: Path) -> None:
        made = h5p.create(h5p.DATASET_CREATE)
        n = ZEROS_BYTES // 8
        made.set_chunk((n,))
        packed = bytes(ZEROS_BYTES)
        for _ in range(filters):
            made.set_deflate(9)
            packed = zlib.compress(packed, 9)
        space = h5s.create_simple((n * n_chunks,))
        with replacing(file, name):
            dataset = h5py.h5d.create(file.id, name.encode(), h5py.h5t.IEEE_F64LE, space, made)
        for number in range(n_chunks):
            dataset.write_direct_chunk((n * number,), packed)

    return damage


def long_fixed_text(file: h5py.File, folder: Path) -> None:
    """A text of two billion characters, of which none is stored."""
    kind = h5py.h5t.C_S1.copy()
    kind.set_size(2**31 - 1)
    with replacing(file, "session_description"):
        h5py.h5d.create(file.id, b"session_description", kind, h5s.create(h5s.SCALAR))


def large_chunk(file: h5py.File, folder: Path) -> None:
    """Three values, in a chunk of 300 MB that unpacks to zeros."""
    name, n = "units/firing_rate", 300 * 2**17
    with replacing(file, name):
        file.create_dataset(name, shape=(3,), maxshape=(None,), dtype="f8", chunks=(n,), compression=1)
    pack = zlib.compressobj(1)
    packed = b"".join([*(pack.compress(bytes(2**20)) for _ in range(300)), pack.flush()])
    file[name].id.write_direct_chunk((0,), packed)


def one_text_many_times(how: dict[str, Any]) -> Damage:
    """Make all rows of a column refer to the same long text, which is stored once."""

    def damage(file: h5py.File, folder: Path) -> None:
        name, n = "stimulus/templates/more/control_description", 20_000
        with replacing(file, name):
            made = file.create_dataset(name, shape=(n,), dtype=h5py.string_dtype(), **how)
            made[0] = "a" * 2**20
        made = file[name]
        packed = "compression" in how
        if packed:
            stored = zlib.decompress(made.id.read_direct_chunk((0,))[1])
            made.id.write_direct_chunk((0,), zlib.compress(stored[:16] * n))
            return
        file.flush()
        start = made.id.get_offset() if not how.get("chunks") else made.id.get_chunk_info(0).byte_offset
        with Path(file.filename).open("r+b") as raw:
            raw.seek(start)
            first = raw.read(16)
            raw.seek(start)
            raw.write(first * n)

    return damage


@contextmanager
def replacing(file: h5py.File, name: str) -> Iterator[None]:
    """Remove the object of a name; the one that the block creates gets its attributes and index."""
    found = file.get(name)
    attributes = {} if found is None else dict(found.attrs)
    if found is not None:
        del file[name]
    yield
    file[name].attrs.update(attributes)
    if f"{name}_index" in file:
        file[f"{name}_index"].attrs["target"] = file[name].ref


OTHER_FILE = r"another file"
CLAIMED = r"claims? "
EXTERNAL = [
    ("absolute", external(ACRONYMS, [(SECRET, 0, h5f.UNLIMITED)])),
    ("beside", external_beside),
    ("in segments", external(ACRONYMS, [(SECRET, 0, 50), (SECRET, 100, h5f.UNLIMITED)])),
    ("of zeros", external("units/firing_rate", [("/dev/zero", 0, h5f.UNLIMITED)], "f8")),
    ("in an unknown group", external("scratch/deep/column", [(SECRET, 0, 1000)])),
    ("in the specifications", external("specifications/more", [(SECRET, 0, 1000)])),
    ("without a name", external_without_a_name),
    ("behind a column of references", external_behind_a_column_of_references),
    ("behind what has no name", external_behind_what_has_no_name),
    ("behind a field", external_behind_a_field),
]
VIRTUAL = [
    ("absolute", virtual(lambda folder: str(folder / OTHER), dataset="/units/snr")),
    ("relative", virtual(lambda folder: OTHER, dataset="/units/snr")),
    ("absent", virtual(lambda folder: "nowhere.h5")),
    ("pattern", virtual(lambda folder: str(folder / "other-%b.nwb"), dataset="/units/snr")),
    ("of itself", virtual_of_itself),
]
LINKS = [
    ("absolute", external_link("intervals/trials", lambda folder: str(folder / OTHER), "/intervals/trials")),
    ("relative", external_link("units", lambda folder: OTHER, "/units")),
    ("to nowhere", external_link("scratch", lambda folder: "nowhere.h5", "/")),
    ("to a device", external_link("acquisition/more", lambda folder: "/dev/zero", "/")),
    ("of a column", external_link("units/snr", lambda folder: str(folder / OTHER), "/units/snr")),
    (
        "in the specifications",
        external_link("specifications/core", lambda folder: OTHER, "/specifications/core"),
    ),
    ("soft", soft_link_that_leaves),
    ("deep", deep_external_link),
    ("without a name", link_in_a_group_without_a_name),
]
NESTED = [
    ("itself", group_in_itself),
    ("root", root_in_itself),
    ("three", cycle_of_three),
    ("diamonds", diamonds),
    ("deep", deep_nesting),
    ("many groups", many_groups),
    ("many attributes", many_attributes),
    ("long attribute", long_attribute),
]
CLAIMS = [
    ("spikes", claim("units/spike_times")),
    ("spikes 2**60", claim("units/spike_times", 2**60)),
    ("contiguous", claim("units/spike_times", layout={})),
    ("waveforms", claim("units/waveform_mean", 2**40)),
    ("ids", claim("units/id")),
    ("texts", claim("units/quality", 2**40)),
    ("running", claim("processing/running/speed/data")),
    ("unknown", claim("scratch/more")),
    ("fixed texts", claim("scratch/more", 3, dtype="S100000000")),
    ("packed", claim("units/spike_times", layout={"compression": 1, "chunks": (1024,)})),
    ("one text", long_fixed_text),
    ("chunk", large_chunk),
    ("bomb", bomb("units/spike_times", 48)),
    ("bomb of two filters", bomb("units/spike_times", 48, 2)),
    ("same text", one_text_many_times({})),
    ("same text in chunks", one_text_many_times({"chunks": (20_000,)})),
    ("same text, packed", one_text_many_times({"chunks": (20_000,), "compression": 9})),
]
HOSTILE: dict[str, tuple[Damage, str]] = {
    **{f"external storage, {name}": (damage, OTHER_FILE) for name, damage in EXTERNAL},
    **{f"virtual, {name}": (damage, "virtual") for name, damage in VIRTUAL},
    **{f"external link, {name}": (damage, OTHER_FILE) for name, damage in LINKS},
    **{f"nested, {name}": (damage, r"more than") for name, damage in NESTED},
    **{f"claim, {name}": (damage, CLAIMED) for name, damage in CLAIMS},
}
"""Name -> what makes a file harmful, and a pattern of the words with which it is to be refused."""


def make(name: str, source: Path, folder: Path) -> Path:
    """Copy a recording and make it harmful; the copy lies in the folder."""
    path = folder / f"{name.replace(' ', '_').replace(',', '').replace('*', '')}.nwb"
    path.write_bytes(source.read_bytes())
    (folder / SECRET).write_bytes(SECRET_TEXT)
    if not (folder / OTHER).exists():
        (folder / OTHER).write_bytes(source.read_bytes())
    with h5py.File(path, "r+") as file:
        HOSTILE[name][0](file, folder)
    return path
