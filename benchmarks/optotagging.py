"""How well each optotagging method finds units with the opsin, in simulated sessions.

python benchmarks/optotagging.py             # 40 sessions of 200 units
python benchmarks/optotagging.py --write     # and put the table into docs/optotagging.md
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.measure import with_table
from vbn.analysis.optotagging import METHODS, label_units_by_method, laser_evidence_by_condition
from vbn.synthetic.settings import GENOTYPES
from vbn.synthetic.spikes import background, drop_refractory, raised_cosine_delays
from vbn.synthetic.timeline import LASER_LEVELS, laser_table

Floats = NDArray[np.float64]
PAGE = Path(__file__).resolve().parents[1] / "docs" / "optotagging.md"
FIRST_PULSE_S, TAIL_S, REFRACTORY_S = 20.0, 10.0, 0.0015
# Of the release's mice about two in five are Sst, one in five Vip, the others wild types.
MICE = ("sst", "vip", "wt", "sst", "wt")
REPEATS = (50, 50, 10, 25)
# What a unit is, and its share; those with an opsin (or driven by cells with one) are untuned in wild types.
SHARES = {
    "opto": 0.07,
    "weak_opto": 0.02,
    "follower": 0.03,
    "suppressed": 0.12,
    "artifact": 0.06,
    "wide_artifact": 0.02,
    "sees_light": 0.14,
    "fast": 0.08,
    "bursting": 0.08,
    "rare": 0.05,
    "drift": 0.05,
    "untuned": 0.28,
}
OF_THE_OPSIN = ("opto", "weak_opto", "follower", "suppressed")
TRUE_ROLES = ("opto", "weak_opto")


class Laser:
    """A session's pulses: all ``starts``; ``rank`` of the level 0 to 2; ``is_cosine``."""

    def __init__(self, table: pd.DataFrame) -> None:
        self.table = table
        self.starts = table["start_time"].to_numpy(np.float64)
        self.stops = table["stop_time"].to_numpy(np.float64)
        self.is_cosine = (table["stimulus_name"] == "raised_cosine").to_numpy()
        self.rank = np.unique(table["level"].to_numpy(), return_inverse=True)[1]
        self.pulses, self.waves = self.starts[~self.is_cosine], self.starts[self.is_cosine]
        self.end_s = float(self.stops[-1]) + TAIL_S

    def by_level(self, values: tuple[float, float, float], *, cosine: bool) -> Floats:
        return np.array(values)[self.rank[self.is_cosine == cosine]]


def answers(rng: np.random.Generator, times: Floats, probability: Floats | float, delay: Floats) -> Floats:
    return (times + delay)[rng.random(times.size) < probability]


def opto(rng: np.random.Generator, laser: Laser, strength: float) -> Floats:
    """One spike, often two, a few ms after a pulse; a rate that follows the raised cosine."""
    n = laser.pulses.size
    probability = laser.by_level((0.55 * strength, 0.8 * strength, strength), cosine=False)
    latency, jitter = np.clip(rng.normal(0.0038, 0.0008), 0.0024, 0.0065), rng.uniform(0.0003, 0.001)
    first = latency + jitter * rng.standard_normal(n).clip(-2.5, 2.5)
    peak_hz = strength * rng.uniform(25, 80)
    n_wave = rng.poisson(laser.by_level((0.2 * peak_hz, 0.35 * peak_hz, 0.5 * peak_hz), cosine=True))
    waves = np.repeat(laser.waves, n_wave)
    return np.concatenate(
        [
            answers(rng, laser.pulses, probability, first),
            answers(rng, laser.pulses, 0.4 * probability, first + rng.uniform(0.003, 0.005)),
            waves + raised_cosine_delays(1.0)(rng, waves.size),
        ]
    )


def follower(rng: np.random.Generator, laser: Laser) -> Floats:
    """Driven by cells with the opsin, later and less precisely."""
    delay = rng.uniform(0.008, 0.014) + 0.003 * rng.standard_normal(laser.pulses.size)
    return answers(rng, laser.pulses, rng.uniform(0.2, 0.7), np.maximum(delay, 0.004))


def artifact(rng: np.random.Generator, laser: Laser, reach_s: float) -> Floats:
    """Spikes at both edges of the pulses, from a little before to ``reach_s`` after."""
    edges = np.concatenate([laser.pulses, laser.pulses + 0.010])
    return answers(rng, edges, rng.uniform(0.3, 1.0), rng.uniform(-0.0003, reach_s, edges.size))


def sees_light(rng: np.random.Generator, laser: Laser) -> Floats:
    """Sees the laser's blue light as any other: from 40 ms on, and throughout a raised cosine."""
    counts = rng.poisson(rng.uniform(0.3, 3), laser.pulses.size)
    seen = np.repeat(laser.pulses, counts)
    waves = np.repeat(laser.waves, rng.poisson(rng.uniform(2, 25), laser.waves.size))
    return np.concatenate(
        [seen + 0.04 + 0.1 * rng.beta(1.4, 2.6, seen.size), waves + rng.uniform(0.1, 1.1, waves.size)]
    )


def silenced(train: Floats, laser: Laser) -> Floats:
    """Without its spikes from 5 ms after an onset to 50 ms after the light."""
    pulse = np.searchsorted(laser.starts, train) - 1
    since, left = train - laser.starts[pulse], train - laser.stops[pulse]
    return train[(pulse < 0) | (since < 0.005) | (left > 0.05)]


EXTRA: dict[str, Callable[[np.random.Generator, Laser], Floats]] = {
    "opto": lambda rng, laser: opto(rng, laser, rng.uniform(0.6, 1.0)),
    "weak_opto": lambda rng, laser: opto(rng, laser, rng.uniform(0.15, 0.4)),
    "follower": follower,
    "artifact": lambda rng, laser: artifact(rng, laser, 0.0013),
    "wide_artifact": lambda rng, laser: artifact(rng, laser, 0.0025),
    "sees_light": sees_light,
}


def simulate_train(rng: np.random.Generator, role: str, laser: Laser) -> Floats:
    """One unit's spikes around the laser: rates spread as in recordings, 0.05 to 60 Hz."""
    rate = float(np.clip(np.exp(rng.normal(np.log(3.5), 1.1)), 0.05, 60))
    start, stop = 0.0, laser.end_s
    if role == "rare":
        return np.sort(rng.uniform(start, stop, rng.integers(0, 5)))
    if role == "fast":
        rate = rng.uniform(25, 70)
    if role == "drift":
        start, stop = (start, stop / 2) if rng.random() < 0.5 else (stop / 2, stop)
    train = background(rng, rate, start, stop)
    if role == "bursting":
        again = train[rng.random(train.size) < 0.4]
        train = np.sort(np.concatenate([train, again + rng.uniform(0.003, 0.006, again.size)]))
    if role == "suppressed":
        train = silenced(train, laser)
    if role in EXTRA:
        train = np.sort(np.concatenate([train, EXTRA[role](rng, laser)]))
    return train if "artifact" in role else drop_refractory(train, REFRACTORY_S)


def simulate(index: int, n_units: int, seed: int) -> tuple[str, NDArray[np.str_], Laser, list[Floats]]:
    """Mouse, what each unit is, the laser's pulses, spike trains."""
    rng = np.random.default_rng([seed, index])
    mouse, repeats = MICE[index % len(MICE)], REPEATS[index % len(REPEATS)]
    laser = Laser(laser_table(rng, repeats, FIRST_PULSE_S, LASER_LEVELS[index % 2]))
    share = np.array(list(SHARES.values()))
    roles = rng.choice(list(SHARES), n_units, p=share / share.sum())
    if mouse == "vip":  # fewer cells are of this class
        roles[np.isin(roles, TRUE_ROLES) & (rng.random(n_units) < 0.6)] = "untuned"
    if mouse == "wt":
        roles[np.isin(roles, OF_THE_OPSIN)] = "untuned"
    return mouse, roles, laser, [simulate_train(rng, role, laser) for role in roles]


def label_session(index: int, n_units: int, seed: int) -> pd.DataFrame:
    """Label the units of one simulated session by every method: one row per unit and method."""
    mouse, roles, laser, trains = simulate(index, n_units, seed)
    n_spikes = np.array([len(train) for train in trains])
    offsets = np.cumsum(n_spikes) - n_spikes
    evidence = laser_evidence_by_condition(
        np.concatenate(trains), offsets, n_spikes, laser.table, seed=seed + index
    )
    frames = [
        label_units_by_method(evidence, method, GENOTYPES[mouse]).assign(method=name, role=roles)
        for name, method in METHODS.items()
    ]
    repeats = REPEATS[index % len(REPEATS)]
    return pd.concat(frames).assign(session_id=index, genotype=GENOTYPES[mouse], mouse=mouse, repeats=repeats)


def summarise(labels: pd.DataFrame) -> pd.DataFrame:
    """Precision and recall in Cre mice, recall with ten pulses, and what passes in wild types: per method."""
    rows = {}
    for method, of_method in labels.groupby("method", sort=False):
        cre, wild = of_method[of_method["mouse"] != "wt"], of_method[of_method["mouse"] == "wt"]
        tagged, true = cre["label"] == "tagged", cre["role"].isin(TRUE_ROLES)
        few = cre["repeats"] == min(REPEATS)
        weak = cre["role"] == "weak_opto"
        rows[method] = {
            "precision": mean(true[tagged]),
            "recall": mean(tagged[true]),
            "recall, clear answers": mean(tagged[true & ~weak]),
            "recall, clear answers, 10 pulses": mean(tagged[true & ~weak & few]),
            "false-positive rate (wild types)": mean(wild["passes"]),
            "not labelled (Cre mice)": mean(cre["label"] == "unlabelled"),
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def mean(values: pd.Series) -> float:
    return float(values.mean()) if len(values) else float("nan")


def as_markdown(table: pd.DataFrame) -> str:
    head = "| method | " + " | ".join(table.columns) + " |\n|---|" + "---:|" * len(table.columns) + "\n"
    lines = [
        f"| `{method}` | "
        + " | ".join(f"{value:.4f}" if "rate" in name else f"{value:.3f}" for name, value in row.items())
        + " |\n"
        for method, row in table.iterrows()
    ]
    return head + "".join(lines)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sessions", type=int, default=40)
    parser.add_argument("--units", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--roles", action="store_true", help="show also which units pass, by what they are")
    parser.add_argument("--write", action="store_true", help="put the table into docs/optotagging.md")
    options = parser.parse_args(arguments)
    begin = time.perf_counter()
    labels = pd.concat(label_session(i, options.units, options.seed) for i in range(options.sessions))
    table = as_markdown(summarise(labels))
    units = len(labels) // len(METHODS)
    print(f"{options.sessions} sessions, {units} units, {time.perf_counter() - begin:.0f} s\n\n{table}")
    if options.roles:
        print(labels.pivot_table(index="role", columns="method", values="passes").round(4).to_string())
    if options.write:
        PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8"), table), encoding="utf-8")


if __name__ == "__main__":
    main()
