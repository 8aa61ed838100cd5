"""Spikes counted by compiled loops: the numbers of the NumPy paths, and what becomes of a broken numba."""

from __future__ import annotations

import importlib.util
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import platformdirs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vbn.analysis import TimeAxis, count_spikes
from vbn.analysis.spikes import compiled, kernels, window_counts
from vbn.analysis.spikes.presentation_counts import COUNT_WINDOWS, CountWindow, count_presentations
from vbn.analysis.spikes.trains import SpikePieces
from vbn.analysis.spikes.windows import count_in_windows

Spikes = tuple[Any, Any, Any]
AXES = [TimeAxis(-1.0, 1.5, 0.01), TimeAxis(-0.3, 0.3, 0.1), TimeAxis(0.05, 0.25, 0.05)]
WINDOW = (-0.3, 0.2)
EDGES_S = sorted({edge for window in COUNT_WINDOWS for edge in window.window_s} | {0.749, 0.75, *WINDOW})
# Events on a grid of 1e-5 s, and spikes on, or a rounding beside, the edges of their windows and bins, in
# bursts within a bin.
EVENTS = st.lists(st.integers(0, 300_000).map(lambda k: k * 1e-5 + 2), min_size=1, max_size=6)
ON_EDGES = st.lists(
    st.tuples(st.integers(0, 5), st.sampled_from(EDGES_S), st.integers(-2, 2), st.integers(1, 4)), max_size=30
)
TRAINS = st.lists(ON_EDGES, max_size=3)


@pytest.fixture(scope="module", autouse=True)
def compiled_whatever_the_size() -> Iterator[None]:
    pytest.importorskip("numba")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "FIRST_PAYS_FROM", 0)
        yield


def train_of(events: list[float], spikes: list[tuple[int, float, int, int]]) -> np.ndarray:
    times = []
    for which, edge, steps, n in spikes:
        time = events[which % len(events)] + edge
        times += [time + steps * np.spacing(time) + 3e-4 * k for k in range(n)]
    return np.sort(np.array(times, dtype=np.float64))


def session_of(trains: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    n_spikes = np.array([train.size for train in trains], dtype=np.int64)
    return np.concatenate([np.empty(0), *trains]), np.cumsum(n_spikes) - n_spikes, n_spikes


def all_counts(spikes: Spikes, events: Any, n_threads: int = 1) -> list[np.ndarray]:
    tables = [count_spikes(*spikes, events, axis, n_threads) for axis in AXES]
    return [
        *count_presentations(*spikes, events, COUNT_WINDOWS),
        count_in_windows(*spikes, events, WINDOW),
        *(table.total for table in tables),
        *(table.sum_of_squares for table in tables),
    ]


def assert_equal_to_numpy(spikes: Spikes, events: Any, n_threads: int = 1) -> list[np.ndarray]:
    used: set[str] = set()

    def noted(name: str, kernel: Any, *arguments: Any) -> Any:
        used.add(name)
        return kernel(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        loops = {name: partial(noted, name, loop) for name, loop in compiled.loops(1).items()}
        patch.setattr(compiled, "_found", loops)
        found = all_counts(spikes, events, n_threads)
    assert {"count_around", "take_differences"} < used, "NumPy was compared with itself"
    with compiled.without():
        expected = all_counts(spikes, events)
    for here, there in zip(found, expected, strict=True):
        assert here.dtype == there.dtype
        np.testing.assert_array_equal(here, there)
    return found


@given(EVENTS, TRAINS, st.integers(1, 3), st.sampled_from([0, 10**9]))
def test_spikes_on_edges_and_a_rounding_beside_them_are_counted_alike(events, spikes, n_threads, per_edge):
    trains = [train_of(events, each) for each in [*spikes, []]]  # with a unit without spikes
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(window_counts, "SPIKES_PER_EDGE", per_edge)  # edges searched for, and spikes placed
        assert_equal_to_numpy(session_of(trains), events, n_threads)


@pytest.fixture
def session() -> tuple[Spikes, np.ndarray]:
    """Three units, one silent, one with 2,000 spikes in a window; presentations overlap, in no order."""
    rng = np.random.default_rng(0)
    events = rng.permutation(np.round(rng.uniform(0, 40, 60), 3))
    busy = np.concatenate([rng.uniform(-5, 45, 3000), 20 + np.arange(2000) * 1e-4])
    trains = [np.sort(busy), np.empty(0), np.sort(rng.uniform(0, 41, 300))]
    return session_of(trains), events


def test_windows_beyond_a_byte_beyond_the_recording_and_beyond_each_other(
    session: tuple[Spikes, np.ndarray],
) -> None:
    spikes, events = session
    found = assert_equal_to_numpy(spikes, np.append(events, [20.0, -100.0, 1e6]), n_threads=2)
    assert {str(counts.dtype) for counts in found} == {"uint8", "uint16", "int32", "int64"}
    few = [CountWindow("one", 0.0, 0.25), CountWindow("ten seconds", -5.0, 5.0)]
    count = partial(count_presentations, *spikes, events, few)
    counts = count()
    with compiled.without():
        expected = count()
    for here, there in zip(counts, expected, strict=True):
        np.testing.assert_array_equal(here, there)


@pytest.mark.parametrize("n", [255, 256, 65535, 65536])
def test_counts_that_fill_one_byte_or_two(n):
    times = np.concatenate([np.linspace(1.01, 1.2, n), [2.1]])
    spikes = times, [0, n], [n, 1]
    assert_equal_to_numpy(spikes, [1.0, 2.0])
    assert count_in_windows(*spikes, [1.0, 2.0], (0.0, 0.25)).tolist() == [[n, 0], [0, 1]]


@pytest.mark.parametrize(
    "kind", ["big-endian", "float32", "with gaps", "not aligned", "list", "read-only map", "pieces"]
)
def test_spikes_of_every_kind_of_array(session, tmp_path, kind):
    (times, offsets, n_spikes), events = session
    times.tofile(tmp_path / "spikes")
    other: Any = {
        "big-endian": lambda: times.astype(">f8"),
        "float32": lambda: np.sort(times.astype(np.float32)),
        "with gaps": lambda: np.stack([times, times], axis=1)[:, 0],
        "not aligned": lambda: np.frombuffer(b"." + times.tobytes(), offset=1),
        "list": times.tolist,
        "read-only map": lambda: np.memmap(tmp_path / "spikes", mode="r", dtype=np.float64),
        "pieces": lambda: SpikePieces([times[: n_spikes[0]], times[n_spikes[0] :]]),
    }[kind]()
    with compiled.without():
        expected = all_counts((other, offsets, n_spikes), events)
    for here, there in zip(all_counts((other, offsets, n_spikes), events), expected, strict=True):
        np.testing.assert_array_equal(here, there)


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint32", "Int64"])
def test_offsets_and_numbers_as_the_columns_of_a_table(
    session: tuple[Spikes, np.ndarray], dtype: str
) -> None:
    (times, offsets, n_spikes), events = session
    rows = pd.DataFrame({"offset": offsets, "n": n_spikes}, index=[7, 3, 5]).astype(dtype)
    for here, there in zip(
        assert_equal_to_numpy((times, rows["offset"], rows["n"]), events),
        all_counts((times, offsets, n_spikes), events),
        strict=True,
    ):
        np.testing.assert_array_equal(here, there)


def test_units_that_begin_after_the_first_two_thousand_million_spikes(tmp_path):
    """A sparse file of 17 GB, of which the last page is written and read."""
    n, train = 2**31 + 1000, np.array([0.5, 0.9, 1.0, 1.1])
    with (tmp_path / "spikes").open("wb") as file:
        try:
            file.seek((n - 4) * 8)
            file.write(train.tobytes())
        except OSError:
            pytest.skip("this file system has no sparse files of this size")
    times = np.memmap(tmp_path / "spikes", mode="r", dtype=np.float64)
    spikes = times, [n - 4], [4]
    assert_equal_to_numpy(spikes, [1.0, 2.0])
    assert count_in_windows(*spikes, [1.0, 2.0], (0.0, 0.25)).tolist() == [[2, 0]]


@pytest.mark.parametrize(
    ("offsets", "n_spikes", "match"),
    [([0], [4], "1 units do not, the first at row 0"), ([-1], [1], "lie inside"), ([0, 1], [1], "n_units")],
)
def test_offsets_that_fit_no_spikes_never_reach_a_kernel(offsets, n_spikes, match):
    for count in (
        lambda: count_spikes([1.0, 2.0, 3.0], offsets, n_spikes, [1.0], AXES[0]),
        lambda: count_in_windows([1.0, 2.0, 3.0], offsets, n_spikes, [1.0], WINDOW),
        lambda: count_presentations([1.0, 2.0, 3.0], offsets, n_spikes, [1.0]),
    ):
        with pytest.raises(ValueError, match=match):
            count()
    with pytest.raises(ValueError, match="do not lie in one piece"):
        count_spikes(SpikePieces([[1.0], [2.0]]), [0], [2], [1.0], AXES[0])


class Fenced:
    """An array that refuses places outside it, which a compiled loop would not notice."""

    def __init__(self, array: np.ndarray) -> None:
        self.array, self.size, self.shape = array, array.size, array.shape

    def reshape(self, *shape: int) -> Fenced:
        return Fenced(self.array.reshape(*shape))

    def _checked(self, place: Any) -> Any:
        places = place if isinstance(place, tuple) else (place,)
        for index, length in zip(places, self.shape, strict=True):
            assert isinstance(index, slice) or 0 <= index < length, f"{place} of {self.shape}"
        return place

    def __getitem__(self, place: Any) -> Any:
        return self.array[self._checked(place)]

    def __setitem__(self, place: Any, value: Any) -> None:
        self.array[self._checked(place)] = value


HOSTILE = st.one_of(st.floats(), st.floats(1.5, 6), st.sampled_from(EDGES_S).map(lambda edge: 2 + edge))


@given(
    st.lists(HOSTILE, max_size=40),
    EVENTS,
    st.sampled_from([1e-310, 1e-3, 0.25, 1e300]),
    st.sampled_from([0, 10**9]),
)
def test_no_index_leaves_its_array_whatever_the_spikes_are(times, events, bin_s, per_edge):
    """The same source, interpreted, on spikes in no order, not numbers, infinite."""
    fenced: dict[str, Any] = {}
    for name in kernels.SIGNATURES:
        function = getattr(kernels, name)

        def run(*arguments: Any, function: Any = function) -> Any:
            with np.errstate(all="ignore"):
                return function(
                    *(Fenced(each) if isinstance(each, np.ndarray) else each for each in arguments)
                )

        fenced[name] = run
    spikes = (
        np.array(times, dtype=np.float64),
        [0, len(times) // 2],
        [len(times) // 2, len(times) - len(times) // 2],
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "_found", fenced)
        patch.setattr(window_counts, "SPIKES_PER_EDGE", per_edge)
        count_presentations(*spikes, events)
        count_in_windows(*spikes, events, WINDOW)
        count_spikes(*spikes, events, TimeAxis(0.0, 3 * bin_s, bin_s))


# --- What is not as it should be


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Nothing found yet, one tiny kernel to compile, and an empty cache folder."""

    def tiny(number: int) -> int:
        return number + 1

    monkeypatch.setattr(compiled, "_found", None)
    monkeypatch.setattr(kernels, "SIGNATURES", {"tiny": "int64(int64)"})
    monkeypatch.setattr(kernels, "tiny", tiny, raising=False)
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda *_names, **_options: tmp_path / "cache")
    return tmp_path / "cache"


def found() -> int:
    return int(compiled.loops(1)["tiny"](1))


def files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_what_is_compiled_is_kept_for_this_user_alone(fresh, monkeypatch):
    assert found() == 2
    kept = files_in(fresh)
    assert {path.suffix for path in kept} == {".nbi", ".nbc"}
    assert stat.S_IMODE((fresh / "kernels").stat().st_mode) == 0o700
    before = [path.stat().st_mtime_ns for path in kept]
    monkeypatch.setattr(compiled, "_found", None)
    assert found() == 2
    assert [path.stat().st_mtime_ns for path in kept] == before, "compiled again"


@pytest.mark.parametrize("content", [b"", b"\x80\x04nonsense", None])
def test_a_damaged_cache_is_made_anew(fresh, monkeypatch, content):
    assert found() == 2
    for path in files_in(fresh):
        path.write_bytes(path.read_bytes()[:-20] if content is None else content)
    monkeypatch.setattr(compiled, "_found", None)
    assert found() == 2
    assert all(path.stat().st_size > 100 for path in files_in(fresh))


def nowhere(fresh: Path) -> None:
    fresh.write_text("a file where the folder should be")


def for_everybody(fresh: Path) -> None:
    (fresh / "kernels").mkdir(parents=True)
    (fresh / "kernels").chmod(0o777)


def somewhere_else(fresh: Path) -> None:
    (fresh.parent / "elsewhere").mkdir()
    fresh.mkdir()
    (fresh / "kernels").symlink_to(fresh.parent / "elsewhere")


@pytest.mark.parametrize("spoil", [nowhere, for_everybody, somewhere_else])
def test_without_a_folder_of_its_own_numba_compiles_and_writes_nothing(fresh, spoil):
    spoil(fresh)
    assert found() == 2
    assert [path for path in files_in(fresh.parent) if path.suffix.startswith(".nb")] == []


def test_nothing_is_written_into_the_folder_of_another_user(fresh, monkeypatch):
    fresh.mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: fresh.stat().st_uid + 1)
    assert found() == 2
    assert files_in(fresh.parent) == []


def test_a_full_disk_costs_the_cache_only(fresh, monkeypatch):
    def full(*_args: Any, **_options: Any) -> None:
        raise OSError(28, "No space left on device")

    caching = pytest.importorskip("numba.core.caching")
    monkeypatch.setattr(caching.IndexDataCacheFile, "_save_data", full)
    assert found() == 2


def test_numba_that_is_not_installed_unwanted_or_told_not_to_compile_is_no_event(fresh, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    assert compiled.loops(1) == {}
    assert compiled.state() == (
        "spikes are counted by NumPy; the extra 'fast' (numba) is not installed",
        True,
    )
    monkeypatch.undo()
    monkeypatch.setattr(compiled, "_found", None)
    monkeypatch.setenv("VBN_FAST", "0")
    assert compiled.loops(10**9) == {}
    assert compiled.state() == ("spikes are counted by NumPy: VBN_FAST is 0", True)
    monkeypatch.delenv("VBN_FAST")
    monkeypatch.setattr(compiled, "_found", None)
    monkeypatch.setattr(pytest.importorskip("numba").config, "DISABLE_JIT", 1)
    assert compiled.loops(10**9) == {}


@pytest.mark.parametrize(
    "problem",
    ["ImportError('Numba needs NumPy 2.3 or less')", "AttributeError('no _ARRAY_API')", "OSError('libllvm')"],
)
def test_a_broken_numba_leads_to_numpy_with_one_warning(tmp_path, problem):
    (tmp_path / "numba").mkdir()
    (tmp_path / "numba" / "__init__.py").write_text(f"raise {problem}\n")
    lines = (
        "from vbn.analysis.spikes import compiled",
        "compiled.FIRST_PAYS_FROM = 0",
        "from vbn.analysis.spikes.windows import count_in_windows",
        "for _ in range(2): print(count_in_windows([1.1, 1.2], [0], [2], [1.0], (0.0, 0.25)).tolist())",
        "print(compiled.state())",
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    ended = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True, env=env
    )
    *counts, state = ended.stdout.splitlines()
    assert counts == ["[[2]]", "[[2]]"]
    assert "counted by NumPy: numba fails" in state
    assert ended.stderr.count("numba is installed, but cannot be used") == 1
    assert problem.split("'")[1] in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_numba_that_cannot_compile_leads_to_numpy(fresh, monkeypatch):
    monkeypatch.setattr(kernels, "SIGNATURES", {"tiny": "int64(nonsense)"})
    with pytest.warns(UserWarning, match="counted by NumPy"):
        assert compiled.loops(1) == {}
    assert compiled.loops(1) == {}


def test_few_spikes_do_not_wait_for_numba() -> None:
    lines = (
        "import sys, populate.cli, schemas, vbn.analysis",
        "vbn.analysis.count_in_windows([1.1, 1.2], [0], [2], [1.0], (0.0, 0.25))",
        "print('numba' in sys.modules)",
    )
    ended = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True
    )
    assert ended.stdout == "False\n"
