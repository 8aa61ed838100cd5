"""A worker that works for long: its memory, descriptors and connections must not grow.

Whenever it has finished, rows are deleted, so that it makes them again.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from benchmarks.faults.content import start, vbn
from benchmarks.faults.world import World

TABLES = ("ChangeDetection", "Running", "Recording")
LOOK_S = 2.0
WARM_UP = 0.25  # of the time: libraries and caches are filled
MOST_GROWTH = 0.10


def run(world: World, minutes: float, progress: Callable[[str], Any]) -> dict[str, Any]:
    """Let a worker make the same rows for so many minutes; return what was measured."""
    prefix = world.new_database()
    environment = world.environment(prefix)
    log = world.folder / "watched.log"
    words = ["-m", "benchmarks.faults.worker", "worker", "--poll", "0.5", "--log", "json", "--tries", "1000"]
    process = start(words, environment, log)
    watched = psutil.Process(process.pid)
    looks, n_deleted, end = [], 0, time.monotonic() + 60 * minutes
    try:
        while time.monotonic() < end:
            time.sleep(LOOK_S)
            looks.append((watched.memory_info().rss / 1e6, watched.num_fds()))
            if _is_idle(log):
                table = TABLES[n_deleted % len(TABLES)]
                session = world.files[n_deleted % (len(world.files) - 1)].stem.rpartition("_")[2]
                vbn(environment, "delete", table, "--session", session, "--reason", "again", "--yes")
                n_deleted += 1
                progress(f"{looks[-1][0]:.0f} MB, {looks[-1][1]} descriptors after {n_deleted} deletions")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    events = [json.loads(line)["event"] for line in log.read_text().splitlines() if line.startswith("{")]
    world.drop(prefix)
    return {"minutes": minutes, "jobs": events.count("job_done"), **_growth(looks)}


def _is_idle(log: Path) -> bool:
    """Return whether the last that the worker says is that it waits."""
    lines = log.read_text().splitlines()
    return bool(lines) and '"idle"' in lines[-1]


def _growth(looks: list[tuple[float, int]]) -> dict[str, Any]:
    """Compare the first quarter after the warm-up with the last quarter."""
    warm = looks[int(len(looks) * WARM_UP) :]
    third = max(len(warm) // 3, 1)
    (memory, descriptors), (memory_then, descriptors_then) = (
        tuple(median(values) for values in zip(*part, strict=True)) for part in (warm[:third], warm[-third:])
    )
    grows = memory_then > memory * (1 + MOST_GROWTH) or descriptors_then > descriptors
    return {
        "memory_mb": [round(memory), round(memory_then)],
        "descriptors": [round(descriptors), round(descriptors_then)],
        "grows": grows,
    }
