"""The change detection task: sequence of flashes, and behavior of the mouse.

A *flash* is one slot of 45 frames (0.75 s) in which an image is shown for 15 frames, or *omitted*. A trial
starts with a flash, the image changes (or, in a *catch* trial, could have changed) 5 to 11 flashes later, and
the next trial starts 6 flashes after that. A lick before the change aborts the trial. Latencies are seconds
after the change frame, without display delay.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

FLASH_PERIOD_FRAMES = 45
FLASH_FRAMES = 15
FRAME_PERIOD_S = 0.0166806
FLASHES_AFTER_CHANGE = 6
STOP_AFTER_CHANGE_FRAMES = 256
RESPONSE_WINDOW_S = (0.15, 0.75)
CHANGE_FLASHES = (5, 11)
OMISSION_PROBABILITY = 0.05
TRIAL_KINDS = ("hit", "miss", "fa", "cr", "auto", "aborted")
_ABORT_STOP_AFTER_LICK_S = 0.45
IMAGES = {
    "G": ("im012_r", "im036_r", "im044_r", "im047_r", "im078_r", "im083_r", "im111_r", "im115_r"),
    "H": ("im005_r", "im024_r", "im034_r", "im083_r", "im087_r", "im104_r", "im111_r", "im114_r"),
}
SHARED_IMAGES = ("im083_r", "im111_r")


@dataclass(frozen=True)
class SimulatedMouse:
    """Behavior of a mouse: probabilities per trial."""

    hit: float
    false_alarm: float
    abort: float


@dataclass(frozen=True)
class TrialPlan:
    """One trial in units of flashes; lick times are seconds after the first frame of ``anchor_flash``."""

    kind: str
    start_flash: int
    change_flash: int | None
    initial_image: int
    change_image: int
    licks_s: tuple[float, ...] = field(default=())

    @property
    def anchor_flash(self) -> int:
        """The flash to which lick times are relative: the change, or the start of an aborted trial."""
        return self.start_flash if self.change_flash is None else self.change_flash

    @property
    def next_flash(self) -> int:
        """The first flash of the next trial."""
        if self.change_flash is not None:
            return self.change_flash + FLASHES_AFTER_CHANGE
        stop_frames = (self.licks_s[0] + _ABORT_STOP_AFTER_LICK_S) / FRAME_PERIOD_S
        return self.start_flash + int(np.ceil((stop_frames + 1) / FLASH_PERIOD_FRAMES))

    @property
    def stop_frames_after_anchor(self) -> int:
        """Frames from the first frame of the anchor flash to the end of the trial."""
        if self.change_flash is not None:
            return STOP_AFTER_CHANGE_FRAMES
        return round((self.licks_s[0] + _ABORT_STOP_AFTER_LICK_S) / FRAME_PERIOD_S)


def draw_mouse(rng: np.random.Generator, *, novel: bool) -> SimulatedMouse:
    """Draw a mouse's probabilities; with novel images the hit rate is a little lower."""
    hit = rng.uniform(0.70, 0.85) - (0.08 if novel else 0.0)
    return SimulatedMouse(hit=hit, false_alarm=rng.uniform(0.08, 0.16), abort=rng.uniform(0.25, 0.33))


def change_wait(rng: np.random.Generator) -> int:
    """Draw the flashes before a trial's change: 5 to 11, geometric with p = 0.3, redrawn if larger."""
    low, high = CHANGE_FLASHES
    while True:
        wait = low - 1 + int(rng.geometric(0.3))
        if wait <= high:
            return wait


def lick_bout(rng: np.random.Generator, first_s: float, n_licks: int) -> tuple[float, ...]:
    """Draw ``n_licks`` lick times at about 7 Hz from ``first_s`` on, seconds, ascending."""
    gaps = rng.normal(0.14, 0.012, size=max(n_licks - 1, 0)).clip(0.1, 0.19)
    return tuple(float(t) for t in first_s + np.concatenate([[0.0], np.cumsum(gaps)]))


def response_latency(rng: np.random.Generator) -> float:
    """Draw the latency of a response in seconds: log-normal around 0.4 s, inside the response window."""
    return float(np.clip(np.exp(rng.normal(np.log(0.4), 0.22)), 0.18, 0.71))


def change_licks(rng: np.random.Generator, kind: str) -> tuple[float, ...]:
    """Draw the licks of a trial, in seconds after the change or sham change; none for a correct reject."""
    if kind == "hit":
        early = (float(rng.uniform(0.08, 0.12)),) if rng.random() < 0.04 else ()
        return early + lick_bout(rng, response_latency(rng), int(rng.integers(7, 16)))
    if kind == "fa":
        return lick_bout(rng, response_latency(rng), int(rng.integers(2, 5)))
    if kind == "auto":
        return lick_bout(rng, float(rng.uniform(0.3, 0.6)), int(rng.integers(5, 12)))
    late = kind == "miss" and rng.random() < 0.18
    return lick_bout(rng, float(rng.uniform(0.8, 2.0)), int(rng.integers(1, 4))) if late else ()


def spread_outcomes(
    rng: np.random.Generator, share: float, n: int, phase: float, block: int = 6
) -> np.ndarray:
    """Draw ``n`` outcomes with an almost exact share of True, (n,) bool.

    True is spaced evenly (the first after about ``(1 - phase) / share`` draws, 0 <= phase < 1), then shuffled
    within blocks, so that short sessions have the intended rate without an obvious regularity.
    """
    even: np.ndarray = np.diff(np.floor(phase + share * np.arange(n + 1))) > 0
    for start in range(0, n, block):
        rng.shuffle(even[start : start + block])
    return even


def change_kinds(
    rng: np.random.Generator, mouse: SimulatedMouse, n: int, n_auto: int, catch_every: int
) -> list[str]:
    """Draw the kinds of ``n`` trials that reach their change time.

    The first ``n_auto`` are auto-rewarded. Of every ``catch_every`` after them, one is a catch trial, at a
    random position but not the first; in the task, one in eight pairs of images has equal images.
    """
    hits = spread_outcomes(rng, mouse.hit, n, phase=float(rng.random()))
    alarms = spread_outcomes(rng, mouse.false_alarm, n, phase=0.5 * float(rng.random()), block=1)
    positions = [
        group * catch_every + int(rng.integers(1, catch_every)) for group in range(n // catch_every + 1)
    ]
    kinds = ["hit" if hit else "miss" for hit in hits]
    for position, alarm in zip(positions, alarms[: len(positions)], strict=True):
        if position < n:
            kinds[position] = "fa" if alarm else "cr"
    return (["auto"] * n_auto + kinds)[:n]


def plan_trials(
    rng: np.random.Generator, mouse: SimulatedMouse, n_flashes: int, *, n_auto: int, catch_every: int
) -> list[TrialPlan]:
    """Plan consecutive trials on at most ``n_flashes`` flashes.

    Aborted trials are inserted with the mouse's probability, but not before the auto-rewarded ones.
    """
    kinds = change_kinds(
        rng, mouse, n_flashes // (CHANGE_FLASHES[0] + FLASHES_AFTER_CHANGE) + 1, n_auto, catch_every
    )
    plans: list[TrialPlan] = []
    start, image, done = 0, int(rng.integers(8)), 0
    while True:
        if done >= n_auto and rng.random() < mouse.abort:
            plan = _aborted(rng, start, image)
        else:
            new = image if kinds[done] in ("fa", "cr") else (image + int(rng.integers(1, 8))) % 8
            licks = change_licks(rng, kinds[done])
            plan = TrialPlan(kinds[done], start, start + change_wait(rng), image, new, licks)
        if plan.next_flash > n_flashes:
            return plans
        plans.append(plan)
        done += plan.change_flash is not None
        start, image = plan.next_flash, plan.change_image


def _aborted(rng: np.random.Generator, start: int, image: int) -> TrialPlan:
    change_s = change_wait(rng) * FLASH_PERIOD_FRAMES * FRAME_PERIOD_S
    first = float(rng.uniform(0.4, change_s - 0.3))
    return TrialPlan("aborted", start, None, image, image, lick_bout(rng, first, int(rng.integers(1, 4))))


@dataclass(frozen=True)
class Flashes:
    """The flashes of the active block, one entry each; the replay repeats them.

    ``image`` is the index into the image set (of the omitted image where ``omitted``), ``trial`` the index of
    the last trial started, ``flashes_since_change`` is 0 at a change and at the first flash.
    """

    image: np.ndarray
    omitted: np.ndarray
    is_change: np.ndarray
    is_sham_change: np.ndarray
    rewarded: np.ndarray
    trial: np.ndarray
    flashes_since_change: np.ndarray

    def __len__(self) -> int:
        return len(self.image)


def lay_flashes(rng: np.random.Generator, plans: list[TrialPlan]) -> Flashes:
    """Return all flashes up to the end of the last trial; raises ValueError without trials."""
    if not plans:
        raise ValueError("There must be at least one trial to lay flashes for.")
    n = plans[-1].next_flash
    image = np.full(n, plans[0].initial_image)
    trial = np.zeros(n, dtype=np.int64)
    is_change, is_sham, rewarded = np.zeros((3, n), dtype=bool)
    for number, plan in enumerate(plans):
        trial[plan.start_flash :] = number
        if plan.change_flash is None:
            continue
        image[plan.change_flash :] = plan.change_image
        is_change[plan.change_flash] = plan.kind not in ("fa", "cr")
        is_sham[plan.change_flash] = plan.kind in ("fa", "cr")
        rewarded[plan.change_flash] = plan.kind in ("hit", "auto")
    omitted = draw_omissions(rng, is_change | is_sham)
    return Flashes(
        image, omitted, is_change, is_sham, rewarded, trial, count_since_change(is_change, omitted)
    )


def draw_omissions(rng: np.random.Generator, keep: np.ndarray) -> np.ndarray:
    """Draw omitted flashes: never in ``keep`` or directly before, never the first, never two in a row.

    Parameters
    ----------
    keep : (n_flashes,) bool, flashes with a real or sham change.

    Returns
    -------
    (n_flashes,) bool; at least one is True if any may be, so that short sessions have an omission, too.
    """
    allowed = ~keep
    allowed[:-1] &= ~keep[1:]
    allowed[:1] = False
    drawn = allowed & (rng.random(len(keep)) < OMISSION_PROBABILITY)
    for flash in np.flatnonzero(drawn):
        drawn[flash] = not drawn[flash - 1]
    if not drawn.any() and allowed.any():
        drawn[rng.choice(np.flatnonzero(allowed))] = True
    return drawn


def count_since_change(is_change: np.ndarray, omitted: np.ndarray) -> np.ndarray:
    """Count the images shown since the last change, (n_flashes,) int64; unchanged at an omission."""
    counts = np.zeros(len(is_change), dtype=np.int64)
    for flash in range(1, len(counts)):
        step = 0 if omitted[flash] else 1
        counts[flash] = 0 if is_change[flash] else counts[flash - 1] + step
    return counts
