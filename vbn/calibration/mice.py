"""What contrasts over mice are worth: on simulated mice whose sessions differ, by novelty or by chance.

Responses of units are skewed (gamma), mice differ in their gain, and so do sessions of one mouse, by chance.
A *world* is a data set of such mice, each with a familiar and a novel session.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from scipy import stats

from vbn.analysis.contrasts import paired_contrast

N_MICE = (8, 20, 49)
"""49 mice of the release have both recordings, without abnormal ones."""
UNITS = (15, 60)
GAIN_SD, SESSION_SD = 0.35, 0.35
EFFECT = 0.3
"""Share by which novel images add to the response."""
_MEAN_HZ, _SHAPE, _N_RESAMPLES = 4.0, 0.7, 400
_LOWEST, _HIGHEST = 0.03, 0.07
WORLDS_PER_SESSION = 10

_COLUMNS = (
    "mice", "verdict", "p <= .05 without an effect", "of the index", "rank sum over units",
    "interval holds 0", "interval holds the effect", "power",
)  # fmt: skip


@dataclass(frozen=True)
class MiceScore:
    """What methods say of worlds with one number of mice.

    Attributes
    ----------
    n_mice, n_worlds : numbers of mice in a world, and of worlds.
    p_difference, p_index : share of worlds without an effect in which p is at most .05.
    rank_sum : the same of a rank sum over units as if independent.
    held_without, held_with : share of worlds whose interval holds the truth, without and with an effect.
    power : share of worlds with the effect in which p of the difference is at most .05.
    """

    n_mice: int
    n_worlds: int
    p_difference: float
    p_index: float
    rank_sum: float
    held_without: float
    held_with: float
    power: float

    @property
    def verdict(self) -> str:
        """Return whether p and intervals are right, as far as so many worlds can tell."""
        error = 2 * np.sqrt(0.05 * 0.95 / self.n_worlds)
        shares = (self.p_difference, self.p_index, 1 - self.held_without, 1 - self.held_with)
        return "holds" if all(share <= max(_HIGHEST, 0.05 + error) for share in shares) else "fails"


def draw_mice(rng: np.random.Generator, n_mice: int, effect: float) -> pd.DataFrame:
    """Draw a world: units with ``mouse_id``, ``session_id``, ``is_second`` (novel) and ``value`` (Hz)."""
    n_units = rng.integers(UNITS[0], UNITS[1] + 1, 2 * n_mice)
    session = np.repeat(np.arange(2 * n_mice), n_units)
    gains = np.exp(rng.normal(0, GAIN_SD, n_mice))[np.arange(2 * n_mice) // 2]
    gains = gains * np.exp(rng.normal(0, SESSION_SD, 2 * n_mice)) * (1 + effect * (np.arange(2 * n_mice) % 2))
    values = rng.gamma(_SHAPE, _MEAN_HZ / _SHAPE, session.size) * gains[session]
    return pd.DataFrame(
        {"mouse_id": session // 2, "session_id": session, "is_second": session % 2 == 1, "value": values}
    )


def true_difference(effect: float) -> float:
    """Return the difference in Hz between novel and familiar sessions, over all mice that might be drawn."""
    return float(_MEAN_HZ * np.exp((GAIN_SD**2 + SESSION_SD**2) / 2) * effect)


def score_mice(n_mice: int, n_worlds: int, seed: int) -> MiceScore:
    """Contrast so many worlds, without an effect and with it; equal seeds give equal results."""
    rng = np.random.default_rng([seed, n_mice])
    found: dict[str, list[bool]] = {}

    def note(**what: bool) -> None:
        for name, value in what.items():
            found.setdefault(name, []).append(bool(value))

    for world in range(n_worlds):
        without, with_effect = (draw_mice(rng, n_mice, effect) for effect in (0.0, EFFECT))
        null = paired_contrast(without, n_resamples=_N_RESAMPLES, seed=world)
        index = paired_contrast(without, index="bennett_2025", n_resamples=1, seed=world)
        effect = paired_contrast(with_effect, n_resamples=_N_RESAMPLES, seed=world)
        familiar, novel = (
            without.loc[without["is_second"] == each, "value"].to_numpy() for each in (False, True)
        )
        note(
            p_difference=null.p_value <= 0.05,
            p_index=index.p_value <= 0.05,
            rank_sum=float(stats.ranksums(familiar, novel).pvalue) <= 0.05,
            held_without=null.low <= 0 <= null.high,
            held_with=effect.low <= true_difference(EFFECT) <= effect.high,
            power=effect.p_value <= 0.05,
        )
    return MiceScore(n_mice, n_worlds, **{name: float(np.mean(values)) for name, values in found.items()})


def mice_section(n_worlds: int, seed: int) -> Iterator[str]:
    """Yield the lines of the page on contrasts over mice."""
    yield "## Contrasts over mice"
    yield ""
    yield "`queries.contrast` and `queries.novelty` take the mouse as the observation. Simulated mice have a"
    yield f"familiar and a novel session of {UNITS[0]} to {UNITS[1]} units; gains of mice, and of sessions of"
    yield f"a mouse, differ by chance (SD of their logarithm {GAIN_SD} and {SESSION_SD}). The effect is"
    yield f"{EFFECT:.0%} more in novel sessions. p comes from exchanged signs, intervals (95 %) from a"
    yield f"hierarchical bootstrap; {n_worlds} worlds each."
    yield ""
    yield "| " + " | ".join(_COLUMNS) + " |"
    yield "|---" * len(_COLUMNS) + "|"
    for n_mice in N_MICE:
        score = score_mice(n_mice, n_worlds, seed)
        shares = [value for name, value in asdict(score).items() if not name.startswith("n_")]
        yield f"| {n_mice} | {score.verdict} | {' | '.join(f'{share:.2f}' for share in shares)} |"
    yield ""
