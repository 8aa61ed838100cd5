"""Substitutes for the natural images; an image of a given name is the same in every session."""

from __future__ import annotations

import zlib

import numpy as np
from scipy.ndimage import gaussian_filter

MEAN_GRAY = 127


def warped_image(name: str, shape: tuple[int, int]) -> np.ndarray:
    """Draw the image called ``name``: a smooth random pattern, ``shape`` uint8, with the common mean."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    size = max(shape)
    pattern = sum(
        weight * _standardised(gaussian_filter(rng.normal(size=shape), size / scale, mode="wrap"))
        for scale, weight in ((12, 1.0), (30, 0.7), (80, 0.4))
    )
    return np.clip(np.round(MEAN_GRAY + 40 * np.asarray(pattern)), 0, 255).astype(np.uint8)


def unwarped_image(warped: np.ndarray) -> np.ndarray:
    """Return the image as float64, with NaN in the corners that are off screen."""
    rows, columns = (np.linspace(-1, 1, n) for n in warped.shape)
    on_screen = rows[:, None] ** 2 * 0.55 + columns[None, :] ** 2 * 0.75 <= 1
    return np.where(on_screen, warped.astype(np.float64), np.nan)


def _standardised(pattern: np.ndarray) -> np.ndarray:
    return np.asarray((pattern - pattern.mean()) / max(float(pattern.std()), 1e-12))
