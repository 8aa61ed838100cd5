"""Vectors that are decoded here are what DataJoint decodes; it decodes all else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from schemas.server.datajoint import by_columns, dj

RNG = np.random.default_rng(0)
VECTORS = [
    *(RNG.normal(size=n).astype(kind) for n in (0, 2, 7, 250, 5000) for kind in ("float32", "float64")),
    *(np.arange(n, dtype=kind) for n in (0, 300, 3000) for kind in ("int32", "int64", "uint8")),
    np.array([np.nan, -0.0, np.inf]),
]
OTHERS = [
    np.zeros((3, 2)), np.zeros((0, 2), np.float32), np.array(1.5), np.ones(1), np.ones(4, bool),
    np.ones(2000, np.complex128), np.array(["a", "bc"]), "text", 1.5, 7, None, [1, 2], {"a": np.arange(3)},
    b"mYm",
]  # fmt: skip


@pytest.mark.parametrize("packed_in", [bytes, memoryview])
@pytest.mark.parametrize("compress", [True, False])
def test_a_vector_is_what_datajoint_decodes(compress: bool, packed_in: Any) -> None:
    for vector in VECTORS:
        stored = packed_in(dj.blob.pack(vector, compress=compress))
        mine, its = by_columns._vector(stored), dj.blob.unpack(stored, squeeze=False)
        assert mine is not None
        assert mine.dtype == its.dtype == vector.dtype
        assert mine.tobytes() == its.tobytes() == vector.tobytes()
        assert mine.shape == its.shape == vector.shape
        assert mine.flags.writeable == its.flags.writeable


@pytest.mark.parametrize("compress", [True, False])
def test_all_else_is_left_to_datajoint(compress: bool) -> None:
    for other in OTHERS:
        assert by_columns._vector(dj.blob.pack(other, compress=compress)) is None
    packed = bytes(dj.blob.pack(np.arange(300.0), compress=False))
    for broken in (b"", packed[:20], packed[:-1], packed + b"x", b"ZL123\0" + b"\x01" * 8):
        assert by_columns._vector(broken) is None
    assert by_columns._vector(None) is None
