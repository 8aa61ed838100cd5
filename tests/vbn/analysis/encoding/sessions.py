"""Small sessions for encoding models, and the same models computed the plain way."""

from __future__ import annotations

import numpy as np
import pandas as pd

from vbn.analysis.encoding.design import Design, SessionTraces
from vbn.analysis.encoding.parameters import BIN_S, BINS_PER_FLASH
from vbn.calibration.columns import as_spikes

PERIOD_S = 0.7506
IMAGES = ("im005_r", "im024_r", "im083_r")


def flash_frame(n_flashes=240, *, seed=0, start_s=20.0, active=True, run=10):
    """Flashes of three images in runs; every 17th is omitted; four of five changes are rewarded."""
    rng = np.random.default_rng(seed)
    shown = (np.arange(n_flashes) // run + rng.integers(3)) % 3
    change = (np.arange(n_flashes) % run == 0) & (np.arange(n_flashes) > 0)
    omitted = np.arange(n_flashes) % 17 == 5
    omitted &= ~change
    return pd.DataFrame(
        {
            "start_time": start_s + PERIOD_S * np.arange(n_flashes),
            "image_name": np.where(omitted, "omitted", np.array(IMAGES)[shown]),
            "active": active,
            "omitted": omitted,
            "is_change": change,
            "rewarded": change & (np.arange(n_flashes) // run % 5 > 1),
            "engaged_bennett_2025": np.arange(n_flashes) < 0.7 * n_flashes,
        }
    )


def session(n_flashes=240, *, seed=0, pupil=True):
    """Flashes, licks after rewards and at random, running that stops at rewards, pupil that follows it."""
    rng = np.random.default_rng([seed, 1])
    flashes = flash_frame(n_flashes, seed=seed)
    end = flashes["start_time"].iloc[-1] + 1.0 if n_flashes else 20.0
    rewards = flashes.loc[flashes["rewarded"], "start_time"].to_numpy() + 0.4
    licks = np.concatenate([rewards + 0.12 * step for step in range(5)])
    licks = np.sort(np.concatenate([licks, rng.uniform(20.0, end, n_flashes // 20)]))
    times = np.arange(10.0, end + 10.0, 0.05)
    slow = np.convolve(rng.normal(size=times.size + 199), np.ones(200) / 14, "valid")
    speed = 20 + 8 * slow
    for reward in rewards:
        speed *= 1 - 0.9 * np.exp(-(((times - reward - 0.8) / 0.6) ** 2))
    radius = 30 + 0.3 * speed + rng.normal(size=times.size)
    blink = rng.random(times.size) < 0.03
    eye = (times, np.pi * radius**2, blink) if pupil else None
    return SessionTraces(flashes, licks, (times, speed), eye)


def spikes_of(counts, design: Design) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Trains that have these counts, (n_rows, n_units), in the bins of a design."""
    trains = []
    for unit in counts.T:
        places = [(np.arange(n) + 0.5) / n * BIN_S for n in unit]
        trains.append(
            np.concatenate([start + at for start, at in zip(design.bin_starts, places, strict=True)])
        )
    return as_spikes(trains)


def poisson_counts(design: Design, weights, seed=0):
    """Counts whose means are the design times weights (n_columns, n_units)."""
    means = np.clip(design.rows(slice(None)) @ weights, 0.001, None)
    return np.random.default_rng([seed, 2]).poisson(means)


def explicit_design(traces: SessionTraces, design: Design):
    """The design's matrix by loops over events, with nothing of the product but names, order and z-scores."""
    starts = design.bin_starts
    n = starts.size
    table = traces.flashes
    last = starts[-1] + BIN_S

    def bins(times):
        found = set()
        for time in times:
            if starts[0] <= time < last:
                found.add(max(row for row in range(n) if starts[row] <= time))
        return sorted(found)

    start = table["start_time"].to_numpy()
    change, rewarded, omitted = (table[name].to_numpy() for name in ("is_change", "rewarded", "omitted"))
    licks = traces.lick_times_s
    bouts = [lick for lick, before in zip(licks, [-np.inf, *licks[:-1]], strict=True) if lick - before > 0.7]
    times = {
        "omissions": start[omitted],
        "hits": start[change & rewarded],
        "misses": start[change & ~rewarded],
        "changes": start[change],
        "licks": licks,
        "lick_bouts": bouts,
        **{name: start[table["image_name"] == name] for name in IMAGES},
    }
    matrix = np.zeros((n, design.n_columns))
    matrix[:, 0] = 1.0
    for columns in design.columns:
        if columns.events in ("running", "pupil"):
            centres = starts + BIN_S / 2
            if columns.events == "running":
                assert traces.running is not None
                trace = np.interp(centres, *map(np.asarray, traces.running))
            else:
                assert traces.pupil is not None
                at, area, blink = map(np.asarray, traces.pupil)
                trace = np.interp(centres, at[~blink], np.sqrt(area[~blink] / np.pi))
            signal = (trace - trace.mean()) / trace.std()
        else:
            signal = np.zeros(n)
            signal[bins(times[columns.name])] = 1.0
        for lag in range(columns.n):
            for row in range(n):
                source = row - lag - columns.first_lag
                if 0 <= source < n:
                    matrix[row, columns.first + lag] = signal[source]
    return matrix


def explicit_ridge(x, y, penalty):
    """Weights of a ridge regression, straight from its definition."""
    return np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T @ y)


def explicit_scores(x, y, fold, penalty, removed, base, fit=explicit_ridge, threshold=0.005):
    """Everything that is measured of one dropout, with predictions of every row; one value for each unit."""
    full, reduced, single = (
        np.arange(x.shape[1]),
        np.setdiff1d(np.arange(x.shape[1]), removed),
        [*base, *removed],
    )
    kept = {"full": full, "reduced": reduced, "single": np.array(single), "base": np.array(base)}
    plain: dict[str, list] = {name: [] for name in kept}
    adjusted: dict[str, list] = {name: [] for name in kept}
    support = (x[:, removed] != 0).any(axis=1)
    for number in np.unique(fold):
        test, train = fold == number, fold != number
        left = {
            name: y[test] - x[test][:, index] @ fit(x[train][:, index], y[train], penalty)
            for name, index in kept.items()
        }
        masked = support[test]
        for name in ("full", "reduced", "single"):
            plain[name].append(1 - left[name].var(axis=0) / left["base"].var(axis=0))
            around = [((left[each] - left[each].mean(axis=0)) ** 2)[masked] for each in (name, "base")]
            if masked.any():
                adjusted[name].append(1 - around[0].mean(axis=0) / around[1].mean(axis=0))
    clipped = [{k: np.maximum(np.mean(v, axis=0), 0) for k, v in of.items() if v} for of in (plain, adjusted)]

    def score(of):
        share = -(1 - of["reduced"] / of["full"])
        return np.where((of["reduced"] > of["full"]) | (of["full"] < threshold), 0, share)

    def single_score(of):
        found = np.where(of["single"] > of["full"], -1, -of["single"] / of["full"])
        return np.where((of["full"] < threshold) | (of["single"] < threshold), 0, found)

    return {
        "explained_raw": np.mean(plain["full"], axis=0),
        "variance_explained": clipped[0]["reduced"],
        "change": clipped[0]["reduced"] - clipped[0]["full"],
        "score": score(clipped[0]),
        "adjusted_score": score(clipped[1]),
        "single_variance_explained": clipped[0]["single"],
        "single_score": single_score(clipped[0]),
        "adjusted_single_score": single_score(clipped[1]),
    }


N_BINS = BINS_PER_FLASH
