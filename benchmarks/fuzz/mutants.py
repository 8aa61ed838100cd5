"""Changed copies of good files, by number: number 7 is always the same.

`mutate` loses objects, or gives them other attributes, types, shapes or values; `distort` does what people
who mean harm would do to texts, names, references, dimensions, types and links.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from vbn.synthetic import SyntheticSettings, write_sessions

FIRST_ID = 9_500_000_000
ID_STEP = 10**10
"""Between the ids of two copies; an id's last ten digits are those of the original."""
SMALL = SyntheticSettings(sessions=1, seed=5, minutes=2, probes=1, units_per_probe=3, template_shape=(8, 8))
Change = Callable[[h5py.File, np.random.Generator], str]

TEXTS = {
    "nothing": b"",
    "a null": b"im0\x0012",
    "nulls": b"\x00" * 8,
    "half a surrogate": b"\xed\xa0\x80",
    "no UTF-8": b"\xff\xfe\xe9",
    "Latin-1": "Ren\u00e9".encode("latin-1"),
    "another direction": "\u202egpj.exe\u202c".encode(),
    "an escape": b"\x1b]0;title\x07\x1b[31mred",
    "lines": b"one\ntwo\r\nthree",
    "a formula": b'=HYPERLINK("http://example.org")',
    "a statement": b"'); DROP TABLE session; --",
    "a template": b"{0} %s %(name)s {key!r}",
    "a path": b"../../../../etc/passwd",
    "a very long text": b"long " * 20_000,
    "a number": b"1e400",
    "many digits": b"9" * 30,
    "a plane of its own": "\U0001f42d\U000e0041".encode(),
}
"""What texts and names of a file may turn out to be, in bytes."""
NUMBERS = (0, -1, 2**31, 2**63 - 1, -(2**63), 1e308, -1e308, 5e-324, float("nan"), float("inf"))
CLAIMED = (2**24, 2**32, 2**48, 2**60)


def other_values(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Values of another shape or type, or with another content."""
    n = len(values)
    numbers = values.dtype.kind in "iuf"
    some = rng.integers(0, max(n, 1), size=3)

    def put(value: float) -> np.ndarray:
        changed = values.astype(float) if numbers else np.zeros(n)
        if n:
            changed[some] = value
        return changed

    choices: list[Callable[[], np.ndarray]] = [
        lambda: np.zeros((0, *values.shape[1:])),
        lambda: np.full(values.shape, "text", dtype=object),
        lambda: np.full(values.shape, "", dtype=object),
        lambda: np.full(values.shape, "long " * 400, dtype=object),
        lambda: np.full(values.shape, np.nan),
        lambda: np.full(values.shape, np.inf),
        lambda: np.full(values.shape, 7),
        lambda: np.full(values.shape, 2**62),
        lambda: np.full(values.shape, -(2**31) - 5),
        lambda: np.zeros((n, 2, *values.shape[1:])),
        lambda: np.zeros(max(n - 1, 0)),
        lambda: np.zeros(n + 3),
        lambda: np.zeros(values.shape, dtype=bool),
        lambda: -values if numbers and values.dtype.kind != "u" else np.zeros(values.shape),
        lambda: values[::-1] if values.dtype.kind in "iufb" else np.ones(values.shape),
        lambda: values.astype(np.float32) if numbers else np.zeros(values.shape, np.int8),
        lambda: values.astype(np.uint16) if values.dtype.kind in "iu" else np.ones(values.shape),
        lambda: put(np.nan),
        lambda: put(np.inf),
        lambda: put(-1.0),
        lambda: put(1e300),
    ]
    with np.errstate(all="ignore"):
        return choices[rng.integers(len(choices))]()


def change_attribute(found: Any, rng: np.random.Generator) -> str:
    names = list(found.attrs)
    attribute = names[rng.integers(len(names))]
    values = (
        np.nan,
        "text",
        "",
        "long " * 400,
        np.array([1.0, 2.0]),
        -1,
        np.inf,
        np.array([], dtype=float),
        None,
    )
    value = values[rng.integers(len(values))]
    if value is None:
        del found.attrs[attribute]
    else:
        found.attrs[attribute] = value
    return f"{found.name}@{attribute} = {value!r}"


def mutate(file: h5py.File, rng: np.random.Generator) -> str:
    """Change one object of a file; return what was changed."""
    names: list[str] = []
    file.visit(lambda name: None if name.startswith("specifications") else names.append(name))
    name = names[rng.integers(len(names))]
    found = file[name]
    if len(found.attrs) and rng.random() < 0.3:
        return change_attribute(found, rng)
    is_column = isinstance(found, h5py.Dataset) and found.shape not in (None, ())
    values = other_values(found[()], rng) if is_column and found.dtype.names is None else None
    attributes = dict(found.attrs)
    del file[name]
    if values is None or rng.random() < 0.2:
        return f"{name} {lose(file, name, rng)}"
    made = file.create_dataset(
        name, data=values, dtype=h5py.string_dtype() if values.dtype == object else None
    )
    if rng.random() < 0.7:
        made.attrs.update(attributes)
    return f"{name} has shape {values.shape} and type {values.dtype}"


def lose(file: h5py.File, name: str, rng: np.random.Generator) -> str:
    """Replace or remove an object."""
    kind = rng.integers(6)
    if kind == 0:
        file.create_group(name)
        return "is an empty group"
    if kind == 1:
        file[name] = h5py.SoftLink("/nowhere")
        return "is a link to nowhere"
    if kind == 2:
        file[name] = "text"
        return "is a text"
    return "is lost"


def damage_bytes(path: Path, rng: np.random.Generator) -> str:
    """Overwrite a stretch of the file, or cut its end off."""
    size = path.stat().st_size
    if rng.random() < 0.5:
        os.truncate(path, int(size * rng.random()))
        return "cut"
    start = int(size * rng.random())
    with path.open("r+b") as file:
        file.seek(start)
        file.write(rng.bytes(min(2000, size - start)))
    return f"bytes from {start} on are random"


def distort(file: h5py.File, rng: np.random.Generator) -> str:
    """Change one object of a file maliciously; return what was changed."""
    harms = (
        _other_text, _other_text, _other_name, _other_attribute_type, _other_reference, _other_dimensions,
        _other_number, _other_type, _other_link, _other_layout,
    )  # fmt: skip
    return str(harms[rng.integers(len(harms))](file, rng))


def names_of(file: h5py.File, wanted: Callable[[Any], bool] = lambda _: True) -> list[str]:
    """List the objects of a file, except the specifications."""
    names: list[str] = []

    def note(name: str, found: Any) -> None:
        if not name.startswith("specifications") and wanted(found):
            names.append(name)

    file.visititems(note)
    return names


def _pick(rng: np.random.Generator, choices: Any) -> Any:
    listed = list(choices)
    return listed[rng.integers(len(listed))]


def _is_column(found: Any) -> bool:
    return isinstance(found, h5py.Dataset) and bool(found.shape) and found.dtype.names is None


def _is_text(found: Any) -> bool:
    return isinstance(found, h5py.Dataset) and found.shape is not None and found.dtype.kind in "OS"


def _put(file: h5py.File, name: str, values: Any, **how: Any) -> None:
    """Replace a data set by another, and keep its attributes."""
    attributes = dict(file[name].attrs)
    del file[name]
    file.create_dataset(name, data=values, **how).attrs.update(attributes)


def _other_text(file: h5py.File, rng: np.random.Generator) -> str:
    """Let one row of a text, or all, be something else, in one of the two ways to store it."""
    name, said = _pick(rng, names_of(file, _is_text)), _pick(rng, TEXTS)
    values = np.array(file[name][()], dtype=object)
    rows = ... if not values.shape or rng.random() < 0.5 else rng.integers(max(len(values), 1))
    is_fixed = rng.random() < 0.3 and h5py.check_ref_dtype(file[name].dtype) is None
    if values.size:
        values[rows] = np.bytes_(TEXTS[said]) if is_fixed else TEXTS[said]
    # A text of variable length ends at its first null, one of fixed length may hold some.
    if is_fixed:
        kind = np.dtype(f"S{max(len(TEXTS[said]), 1)}")
        _put(file, name, np.array(values, dtype=kind))
    else:
        cut = np.array([_before_null(value) for value in values.ravel()], dtype=object).reshape(values.shape)
        _put(
            file, name, cut if cut.shape else cut[()], dtype=h5py.string_dtype(_pick(rng, ("utf-8", "ascii")))
        )
    return f"{name} holds {said}{' of fixed length' * is_fixed}"


def _before_null(value: Any) -> bytes:
    text = value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogateescape")
    return text.split(b"\x00")[0]


def _other_name(file: h5py.File, rng: np.random.Generator) -> str:
    """Give an object another name."""
    name, said = _pick(rng, names_of(file)), _pick(rng, TEXTS)
    parent, _, _ = name.rpartition("/")
    renamed = TEXTS[said].split(b"\x00")[0].replace(b"/", b"_")[:10_000] or b"."
    group = file[parent or "/"].id
    if renamed == b"." or group.links.exists(renamed):
        return f"{name} keeps its name"
    group.links.move(name.rpartition("/")[2].encode(), group, renamed)
    return f"{name} is named {said}"


def _other_attribute_type(file: h5py.File, rng: np.random.Generator) -> str:
    """Change the type of an attribute."""
    name = _pick(rng, names_of(file, lambda found: len(found.attrs) > 0))
    attribute = _pick(rng, file[name].attrs)
    values: dict[str, Any] = {
        "a record": np.array((1, b"a"), dtype=[("a", "i4"), ("b", "S4")]),
        "a reference": file.ref,
        "a region": file["units/id"].regionref[:1] if "units/id" in file else file.ref,
        "references": np.array([file.ref, h5py.Reference()], dtype=h5py.ref_dtype),
        "nothing": h5py.Empty("f8"),
        "no text": h5py.Empty("S4"),
        "many numbers": np.arange(4000.0),
        "a matrix": np.zeros((3, 4, 5)),
        "bytes": np.void(b"\x00\xff\x00"),
        "a choice": np.array([1], dtype=h5py.enum_dtype({"NO": 0, "YES": 1}, "i1")),
        "a complex number": np.complex128(1 + 2j),
        "a text": np.bytes_(TEXTS[_pick(rng, TEXTS)]),
        "a number": _pick(rng, NUMBERS),
    }
    said = _pick(rng, values)
    value = values[said]
    file[name].attrs[attribute] = float(value) if said == "a number" else value
    return f"{name}@{attribute} is {said}"


def _other_reference(file: h5py.File, rng: np.random.Generator) -> str:
    """Let the reference of an index, or of a column, lead elsewhere."""
    holders = names_of(file, lambda found: any(isinstance(v, h5py.Reference) for v in found.attrs.values()))
    if not holders:
        return "no reference to change"
    name = _pick(rng, holders)
    attribute = _pick(rng, [key for key, v in file[name].attrs.items() if isinstance(v, h5py.Reference)])
    target = _pick(rng, [*names_of(file), None])
    value = np.array(h5py.Reference(), dtype=h5py.ref_dtype) if target is None else file[target].ref
    file[name].attrs[attribute] = value
    return f"{name}@{attribute} refers to {target}"


def _other_dimensions(file: h5py.File, rng: np.random.Generator) -> str:
    """Let a column be of more or fewer dimensions, or claim far more rows than it has."""
    name = _pick(rng, names_of(file, _is_column))
    shape, kind = file[name].shape, file[name].dtype
    if rng.random() < 0.5:
        claimed = (int(_pick(rng, CLAIMED)), *shape[1:])
        attributes = dict(file[name].attrs)
        del file[name]
        how = {"chunks": tuple(min(n, 64) for n in claimed)} if rng.random() < 0.7 else {}
        if np.prod([float(n) for n in claimed]) * kind.itemsize >= 2.0**63:
            claimed, how = (2**40, *shape[1:]), {"chunks": tuple(min(n, 64) for n in (64, *shape[1:]))}
        file.create_dataset(name, claimed, kind, **how).attrs.update(attributes)
        return f"{name} claims {claimed}"
    values = file[name][()]
    other = _pick(rng, (values[..., np.newaxis], values.ravel(), values[:0], values[:1], np.array(values.T)))
    if rng.random() < 0.2 and values.size:
        other = values.ravel()[0]
    _put(file, name, other, dtype=kind)
    return f"{name} has shape {np.shape(other)} in place of {shape}"


def _other_number(file: h5py.File, rng: np.random.Generator) -> str:
    """Let some rows of a column of numbers be the largest, the smallest, or none."""
    name = _pick(rng, names_of(file, lambda found: _is_column(found) and found.dtype.kind in "iufb"))
    values, number = file[name][()], _pick(rng, NUMBERS)
    kind = np.float64 if isinstance(number, float) else np.int64 if abs(number) < 2**63 else np.float64
    with np.errstate(all="ignore"):
        changed = values.astype(kind)
    if changed.size:
        rows = rng.integers(len(changed), size=3) if rng.random() < 0.7 else ...
        changed[rows] = number
    _put(file, name, changed)
    return f"{name} holds {number}"


def _other_type(file: h5py.File, rng: np.random.Generator) -> str:
    """Let a column be of a type that no table of numbers or texts has."""
    name = _pick(rng, names_of(file, _is_column))
    n = len(file[name])
    values: dict[str, Any] = {
        "records": np.zeros(n, dtype=[("a", "i4"), ("b", "S4")]),
        "references": np.full(n, file.ref, dtype=h5py.ref_dtype),
        "bytes": np.zeros(n, dtype="V8"),
        "choices": np.zeros(n, dtype=h5py.enum_dtype({"NO": 0, "YES": 1}, "i1")),
        "complex numbers": np.zeros(n, dtype=np.complex64),
        "half numbers": np.zeros(n, dtype=np.float16),
        "large numbers": np.full(n, 2**64 - 1, dtype=np.uint64),
        "big-endian numbers": np.arange(n, dtype=">i8"),
        "arrays": np.zeros(n, dtype=[("a", "f8", (3,))]),
    }
    said = _pick(rng, [*values, "lists"])
    if said == "lists":
        _put(file, name, None, shape=(n,), dtype=h5py.vlen_dtype(np.float64))
    else:
        _put(file, name, values[said], dtype=values[said].dtype)
    return f"{name} holds {said}"


def _other_link(file: h5py.File, rng: np.random.Generator) -> str:
    """Change the target of a link."""
    name, other = _pick(rng, names_of(file)), _pick(rng, names_of(file))
    ways: dict[str, Any] = {
        "itself": lambda: h5py.SoftLink(f"/{name}"),
        "the root": lambda: h5py.SoftLink("/"),
        "its parent": lambda: h5py.SoftLink(f"/{name.rpartition('/')[0]}"),
        other: lambda: h5py.SoftLink(f"/{other}"),
        "another file": lambda: h5py.ExternalLink("/etc/hostname", "/"),
        f"{other}, as its own": lambda: file[other],
    }
    said = _pick(rng, ways)
    link = ways[said]()
    del file[name]
    try:
        file[name] = link
    except (KeyError, ValueError, RuntimeError):  # what was to be linked was a part of what is gone
        return f"{name} is lost"
    return f"{name} leads to {said}"


def _other_layout(file: h5py.File, rng: np.random.Generator) -> str:
    """Let a column be stored otherwise, which changes nothing, or by a filter that is not there."""
    name = _pick(rng, names_of(file, _is_column))
    values, kind = file[name][()], file[name].dtype
    ways: dict[str, dict[str, Any]] = {
        "packed": {"compression": 9, "chunks": True},
        "shuffled": {"compression": "lzf", "shuffle": True, "chunks": True},
        "summed": {"fletcher32": True, "chunks": True},
        "resizable": {"maxshape": (None,) * values.ndim, "chunks": True},
        "packed by nobody": {"compression": 32_004, "allow_unknown_filter": True, "chunks": True},
    }
    said = _pick(rng, ways)
    if not values.size:
        return f"{name} has no rows to be {said}"
    if said == "packed by nobody":
        attributes = dict(file[name].attrs)
        del file[name]
        file.create_dataset(name, values.shape, kind, **ways[said]).attrs.update(attributes)
        file[name].id.write_direct_chunk((0,) * values.ndim, b"packed")
    else:
        _put(file, name, values, dtype=kind, **ways[said])
    return f"{name} is {said}"


@dataclass(frozen=True)
class Sources:
    """What mutants are copies of: a recording of one probe; with the corpus a training session, an LFP file.

    The LFP file comes with its recording, which is copied unchanged.
    """

    recording: Path
    training: Path | None = None
    lfp: Path | None = None
    recording_of_lfp: Path | None = None

    def of(self, number: int) -> Path:
        other = {4: self.training, 2: self.lfp}.get(number % 5)
        return other or self.recording


def find_sources(folder: Path) -> Sources:
    """Write a small recording, and look for the other kinds in the corpus."""
    (recording,) = write_sessions(folder, SMALL)
    if "VBN_CORPUS" not in os.environ:
        return Sources(recording)
    corpus = Path(os.environ["VBN_CORPUS"])
    lfp = next(iter(sorted(corpus.rglob("probe_*_lfp.nwb"))), None)
    training = next(iter(sorted(corpus.rglob("behavior_session_*.nwb"))), None)
    return Sources(recording, training, lfp, next(lfp.parent.glob("ecephys_session_*.nwb")) if lfp else None)


def make_mutant(
    number: int, sources: Sources, folder: Path, change: Change = mutate, damaged: Collection[int] = (19,)
) -> tuple[list[Path], list[str]]:
    """Make a mutant; return the files to register, the mutant last, and what was changed.

    Parameters
    ----------
    number : of the mutant, which makes it always the same.
    sources : what it is a copy of.
    folder : where it is written.
    change : changes one object of an open file.
    damaged : which of each twenty have damaged bytes instead.
    """
    rng = np.random.default_rng(number)
    source, session_id = sources.of(number), FIRST_ID + number
    paths = [folder / f"mutant_{number}.nwb"]
    shutil.copyfile(source, paths[0])
    if source == sources.lfp:
        paths.insert(0, unchanged_recording(number, sources, folder))
    with h5py.File(paths[-1], "r+") as file:
        if source != sources.lfp:  # which is numbered by its probe
            replace_text(file, "identifier", str(session_id))
        with_own_ids(file, number)
        if source != sources.recording:
            file["general/metadata"].attrs["behavior_session_id"] = session_id
        is_damaged = number % 20 in damaged
        changes = [] if is_damaged else [change(file, rng) for _ in range(1 + number % 2)]
    return paths, changes or [damage_bytes(paths[-1], rng)]


def unchanged_recording(number: int, sources: Sources, folder: Path) -> Path:
    """Copy the LFP file's recording."""
    session_id = FIRST_ID + number
    path = folder / f"recording_{session_id}.nwb"
    shutil.copyfile(sources.recording_of_lfp, path)
    with h5py.File(path, "r+") as file:
        replace_text(file, "identifier", str(session_id))
        file["general/metadata"].attrs["behavior_session_id"] = session_id
        with_own_ids(file, number)
    return path


def with_own_ids(file: h5py.File, number: int) -> None:
    """Give the probes, channels and units of a recording or an LFP file ids that no other copy has."""
    electrodes = "general/extracellular_ephys/electrodes"
    columns = (f"{electrodes}/id", f"{electrodes}/probe_id", "units/id", "units/peak_channel_id")
    for column in columns:
        if column in file:
            file[column][...] += number * ID_STEP
    for place in ("general/extracellular_ephys", "general/devices"):
        for item in file.get(place, {}).values():
            if "probe_id" in item.attrs:
                item.attrs["probe_id"] += number * ID_STEP
    for group in [name for name in file.get("acquisition", ()) if name.endswith("_lfp")]:
        rename_lfp(file, group.removeprefix("probe_").removesuffix("_lfp"), number)


def rename_lfp(file: h5py.File, old: str, number: int) -> None:
    """Give the series of an LFP file the name that its probe's new id asks for."""
    new = str(int(old) + number * ID_STEP)
    replace_text(file, "identifier", new)
    acquisition = file["acquisition"]
    del acquisition[f"probe_{old}_lfp_data"]
    acquisition.move(f"probe_{old}_lfp", f"probe_{new}_lfp")
    acquisition[f"probe_{new}_lfp"].move(f"probe_{old}_lfp_data", f"probe_{new}_lfp_data")
    acquisition[f"probe_{new}_lfp_data"] = h5py.SoftLink(f"/acquisition/probe_{new}_lfp/probe_{new}_lfp_data")


def replace_text(file: h5py.File, name: str, text: str) -> None:
    """Replace a scalar text by another."""
    del file[name]
    file[name] = text
