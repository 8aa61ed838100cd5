"""Arrays in the store that xarray reads when their values are asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
from xarray.backends import BackendArray
from xarray.core.indexing import IndexingSupport, LazilyIndexedArray, explicit_indexing_adapter


class _StoredCounts(BackendArray):
    """A memory map of counts, as int32: differences of the file's unsigned integers would wrap around."""

    dtype = np.dtype(np.int32)

    def __init__(self, counts: np.ndarray) -> None:
        self._counts = counts
        self.shape = counts.shape

    def __getitem__(self, key: Any) -> Any:
        return explicit_indexing_adapter(key, self.shape, IndexingSupport.OUTER, self._read)

    def _read(self, key: tuple[Any, ...]) -> np.ndarray:
        rows, columns = key
        return np.asarray(self._counts[rows][..., columns], dtype=self.dtype)


def lazy_counts(counts: np.ndarray) -> Any:
    """Return (n_rows, n_columns) counts, of any integer type, as a lazily read array of int32 for xarray."""
    return LazilyIndexedArray(_StoredCounts(counts))
