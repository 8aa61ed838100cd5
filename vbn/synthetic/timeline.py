"""Timeline of a session: frames, the six stimulus blocks, and laser pulses.

Times are seconds on the session clock. A frame has three times: the *undelayed* one (the computer's), the
stored *stimulus timestamp* (undelayed + 0.02 s), and the time it was *on screen* (undelayed + the session's
display lag, with a little jitter). Presentations have the last, trials the first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from vbn.synthetic.settings import SyntheticSettings
from vbn.synthetic.task import (
    FLASH_FRAMES,
    FLASH_PERIOD_FRAMES,
    FRAME_PERIOD_S,
    IMAGES,
    SHARED_IMAGES,
    Flashes,
)

MONITOR_DELAY_S = 0.02
FIRST_FLASH_FRAME = 60
GABOR_POSITIONS = tuple(range(-40, 50, 10))
GABOR_ORIENTATIONS = (0.0, 45.0, 90.0)
LASER_LEVELS = ((0.685, 0.8, 0.95), (0.78, 1.0, 1.7))
LASER_CONDITIONS = (
    ("pulse", "a single square pulse", 0.01),
    ("raised_cosine", "half-period of a cosine wave", 1.0),
)
_FIRST_FRAME_S = 4.0
_AFTER_BEHAVIOR_FRAMES = 60
_FLASH_STIMULUS_FRAMES = 120
_MEAN_LASER_INTERVAL_S = 1.75


@dataclass(frozen=True)
class BlockSizes:
    """Sizes of the stimulus blocks; for 160 minutes they are those of the release."""

    active_flashes: int
    gray_frames: tuple[int, int]
    gabor_repeats: int
    flashes: int
    laser_repeats: int


def block_sizes(settings: SyntheticSettings) -> BlockSizes:
    """Divide the recording time among the blocks; active block and replay share what the others leave."""
    minutes = settings.minutes
    gray = (
        round(float(np.clip(1.25 * minutes, 2, 10)) * 60),
        round(float(np.clip(1.8 * minutes, 3, 289)) * 60),
    )
    repeats = int(np.clip(round(minutes * 45 / 120), 1, 45))
    flashes = 2 * int(np.clip(round(minutes * 5 / 8), 2, 75))
    laser = int(np.clip(round(minutes / 1.6), 2, 50)) if settings.laser else 0
    other_s = sum(gray) / 60 + 81 * repeats * 0.25 + flashes * 2 + _laser_seconds(laser) + 14
    active = int((minutes * 60 - other_s) / 2 / (FLASH_PERIOD_FRAMES * FRAME_PERIOD_S))
    return BlockSizes(active, gray, repeats, flashes, laser)


def _laser_seconds(repeats: int) -> float:
    pulses = sum(3 * repeats * (duration + _MEAN_LASER_INTERVAL_S) for _, _, duration in LASER_CONDITIONS)
    return pulses + (3.0 if repeats else 0.0)


@dataclass(frozen=True)
class Clock:
    """All frames of a session; each array is (n_frames,), seconds."""

    stimulus_timestamps: np.ndarray
    undelayed: np.ndarray
    on_screen: np.ndarray
    display_lag_s: float

    def lick_frame(self, lick_times_s: np.ndarray) -> np.ndarray:
        """Return the first frame at or after each time, int64."""
        return np.searchsorted(self.undelayed, lick_times_s, side="left").astype(np.int64)


def draw_clock(rng: np.random.Generator, n_frames: int) -> Clock:
    """Draw the frame times, rounded to the 1e-5 s resolution of the synchronisation signal."""
    jitter = rng.normal(0, 2e-5, size=n_frames)
    stamps = np.round(_FIRST_FRAME_S + MONITOR_DELAY_S + FRAME_PERIOD_S * np.arange(n_frames) + jitter, 5)
    undelayed = stamps - MONITOR_DELAY_S
    lag = round(float(rng.uniform(0.03, 0.046)), 4)
    on_screen = np.round(undelayed + lag + rng.normal(0, 1.2e-4, size=n_frames).clip(-5e-4, 5e-4), 5)
    return Clock(stamps, undelayed, on_screen, lag)


@dataclass(frozen=True)
class BlockFrames:
    """First frame of each block, end of the replay, and total number of frames."""

    starts: tuple[int, ...]
    replay_end: int
    n_frames: int


def block_frames(n_flashes: int, sizes: BlockSizes) -> BlockFrames:
    """Lay out the six blocks one after the other, in frames."""
    active_end = FIRST_FLASH_FRAME + n_flashes * FLASH_PERIOD_FRAMES
    gray_1 = active_end + _AFTER_BEHAVIOR_FRAMES
    gabors = gray_1 + sizes.gray_frames[0]
    gray_2 = gabors + 81 * sizes.gabor_repeats * FLASH_FRAMES
    flashes = gray_2 + sizes.gray_frames[1]
    replay = flashes + sizes.flashes * _FLASH_STIMULUS_FRAMES + FIRST_FLASH_FRAME
    end = replay + n_flashes * FLASH_PERIOD_FRAMES
    return BlockFrames((FIRST_FLASH_FRAME, gray_1, gabors, gray_2, flashes, replay), end, end + 120)


def presentation_tables(
    rng: np.random.Generator,
    flashes: Flashes,
    sizes: BlockSizes,
    clock: Clock,
    image_set: str,
    *,
    novel: bool,
) -> dict[str, pd.DataFrame]:
    """Return the stimulus tables of a file, by stimulus name.

    Columns and conventions (-99 for missing integers, 0/1/NaN for nullable booleans, NaN duration of
    omissions in the active block only) are those of the release.
    """
    blocks = block_frames(len(flashes), sizes)
    images = pd.concat(
        [
            _image_block(flashes, clock, blocks.starts[block], block, image_set, novel=novel)
            for block in (0, 5)
        ],
        ignore_index=True,
    )
    return {
        image_stimulus_name(image_set): images,
        "flash_250ms": _flash_block(rng, sizes, clock, blocks.starts[4]),
        "gabor_20_deg_250ms": _gabor_block(rng, sizes, clock, blocks.starts[2]),
        "spontaneous": _gray_blocks(sizes, clock, blocks),
    }


def image_stimulus_name(image_set: str) -> str:
    """Return the name of the image stimulus of set ``G`` or ``H``."""
    return f"Natural_Images_Lum_Matched_set_ophys_{image_set}_2019"


def _times(clock: Clock, start_frame: np.ndarray, end_frame: np.ndarray) -> dict[str, np.ndarray]:
    start, stop = clock.on_screen[start_frame], clock.on_screen[end_frame]
    return {
        "start_time": start,
        "stop_time": stop,
        "duration": np.round(stop - start, 5),
        "start_frame": start_frame.astype(np.int64),
        "end_frame": end_frame.astype(np.int64),
    }


def _without_task(block: int | np.ndarray, name: str, index: int, n: int) -> dict[str, object]:
    missing = np.full(n, -99, dtype=np.int64)
    return {
        "stimulus_block": np.broadcast_to(np.asarray(block, dtype=np.int64), n).copy(),
        "stimulus_name": np.full(n, name, dtype=object),
        "stimulus_index": np.full(n, index, dtype=np.int64),
        "active": np.zeros(n, dtype=bool),
        "flashes_since_change": missing,
        "trials_id": missing.copy(),
        "is_sham_change": np.zeros(n, dtype=bool),
    }


def _image_block(
    flashes: Flashes, clock: Clock, first_frame: int, block: int, image_set: str, *, novel: bool
) -> pd.DataFrame:
    n = len(flashes)
    start = first_frame + FLASH_PERIOD_FRAMES * np.arange(n)
    names = np.array(IMAGES[image_set], dtype=object)[flashes.image]
    is_novel = (novel & ~np.isin(names.astype(str), SHARED_IMAGES)).astype(np.float64)
    times = _times(clock, start, start + FLASH_FRAMES)
    if block == 0:
        times["duration"] = np.where(flashes.omitted, np.nan, times["duration"])
    return pd.DataFrame(
        {
            **times,
            **_without_task(block, image_stimulus_name(image_set), -99, n),
            "image_name": np.where(flashes.omitted, "omitted", names),
            "is_change": flashes.is_change.astype(np.float64),
            "is_image_novel": np.where(flashes.omitted, np.nan, is_novel),
            "omitted": flashes.omitted.astype(np.float64),
            "rewarded": flashes.rewarded.astype(np.float64),
            "active": np.full(n, block == 0),
            "flashes_since_change": flashes.flashes_since_change,
            "trials_id": flashes.trial,
            "is_sham_change": flashes.is_sham_change,
        }
    )


def _gabor_block(rng: np.random.Generator, sizes: BlockSizes, clock: Clock, first: int) -> pd.DataFrame:
    x, y = (grid.ravel() for grid in np.meshgrid(GABOR_POSITIONS, GABOR_POSITIONS))
    orders = [rng.permutation(81) for _ in range(sizes.gabor_repeats)]
    turns = [(np.arange(81) + repeat) % 3 for repeat in range(sizes.gabor_repeats)]
    position = np.concatenate(orders)
    orientation = np.concatenate([turn[order] for turn, order in zip(turns, orders, strict=True)])
    start = first + FLASH_FRAMES * np.arange(len(position))
    n = len(position)
    return pd.DataFrame(
        {
            **_times(clock, start, start + FLASH_FRAMES),
            **_without_task(2, "gabor_20_deg_250ms", 0, n),
            "position_x": x[position].astype(np.float64),
            "position_y": y[position].astype(np.float64),
            "orientation": np.array(GABOR_ORIENTATIONS)[orientation],
            "spatial_frequency": np.full(n, 0.08),
            "temporal_frequency": np.full(n, 4.0),
            "contrast": np.full(n, 0.8),
        }
    )


def _flash_block(rng: np.random.Generator, sizes: BlockSizes, clock: Clock, first: int) -> pd.DataFrame:
    n = sizes.flashes
    start = first + _FLASH_STIMULUS_FRAMES * np.arange(n)
    return pd.DataFrame(
        {
            **_times(clock, start, start + FLASH_FRAMES),
            **_without_task(4, "flash_250ms", 1, n),
            "color": rng.permutation(np.repeat([-1.0, 1.0], n // 2)),
            "contrast": np.full(n, 0.8),
        }
    )


def _gray_blocks(sizes: BlockSizes, clock: Clock, blocks: BlockFrames) -> pd.DataFrame:
    start = np.array([blocks.starts[1], blocks.starts[3]])
    end = start + np.array(sizes.gray_frames)
    columns = {**_times(clock, start, end), **_without_task(np.array([1, 3]), "spontaneous", -99, 2)}
    return pd.DataFrame(columns)


def laser_table(
    rng: np.random.Generator, repeats: int, first_s: float, levels: tuple[float, ...]
) -> pd.DataFrame:
    """Draw the laser pulses: 2 waveforms x 3 levels, ``repeats`` each, in random order.

    The gap after a pulse is 1.5 to 2 s. With 0 repeats the table is empty.
    """
    kinds = [(*condition, level) for condition in LASER_CONDITIONS for level in levels]
    order = rng.permutation(np.repeat(np.arange(len(kinds)), repeats))
    rows = pd.DataFrame(
        [kinds[k] for k in order], columns=["stimulus_name", "condition", "duration", "level"]
    )
    gaps = rng.uniform(1.5, 2.0, size=len(rows))
    step = rows["duration"].to_numpy(dtype=np.float64) + gaps
    start = np.round(first_s + np.concatenate([[0.0], np.cumsum(step)[:-1]])[: len(rows)], 5)
    rows.insert(0, "start_time", start)
    rows["stop_time"] = rows["start_time"] + rows["duration"]
    return rows[["start_time", "condition", "level", "stop_time", "stimulus_name", "duration"]]
