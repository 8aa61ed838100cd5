"""Sessions of the task made up flash by flash, with what each flash is written down beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest

from vbn.analysis.task.events import SessionEvents

KINDS = ("hit", "miss", "false_alarm", "correct_reject", "auto_rewarded", "aborted")
FLASH_S, DISPLAY_LAG_S, REPLAY_S = 0.75, 0.044, 3000.0
IMAGES = ("im_a", "im_b", "im_c")
NOVEL = {"im_a": False, "im_b": True, "im_c": True}


@dataclass(frozen=True)
class MadeSession:
    """Tables, and the truth about each flash (a dict) and each lick and reward (time and trial's row)."""

    events: SessionEvents
    flashes: list[dict[str, Any]]
    bouts: list[tuple[float, int]]
    rewards: list[tuple[float, int]]
    kinds: list[str]

    @property
    def trials(self) -> pd.DataFrame:
        assert self.events.trials is not None
        return self.events.trials

    @property
    def presentations(self) -> pd.DataFrame:
        return self.events.presentations

    @property
    def lick_times(self) -> np.ndarray:
        assert self.events.licks is not None
        return self.events.licks["timestamps"].to_numpy()

    def engaged(self) -> list[bool]:
        """AllenSDK's, trial by trial: responses per minute in the trials i - 25 .. i + 24 above 2."""
        responded = [kind in ("hit", "false_alarm", "auto_rewarded") for kind in self.kinds]
        start, engaged = self.trials["start_time"].to_numpy(), []
        for trial in range(len(self.kinds)):
            window = range(max(0, trial - 25), min(trial + 25, len(self.kinds)))
            minutes = (start[window[-1]] - start[window[0]]) / 60
            engaged.append(trial >= 10 and sum(responded[other] for other in window) / minutes > 2)
        return engaged


class Maker:
    """Lays one flash after the other, 0.75 s apart."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.flashes: list[dict[str, Any]] = []
        self.trials: list[dict[str, Any]] = []
        self.bouts: list[tuple[float, int]] = []
        self.licks: list[float] = []
        self.rewards: list[tuple[float, int, bool]] = []
        self.image = IMAGES[0]
        self.since = 0

    @property
    def now(self) -> float:
        return 10.0 + FLASH_S * len(self.flashes)

    def flash(self, trial: int, outcome: str | None, **what: Any) -> float:
        """Add a flash; return its time on the clock without display lag."""
        undelayed = self.now
        omitted = what.pop("may_be_omitted", False) and self.rng.random() < 0.2
        if what.get("change"):
            self.since = 0
        elif self.flashes and not omitted:
            self.since += 1
        row = {"time": undelayed + DISPLAY_LAG_S, "trial": trial, "outcome": outcome, "image": self.image}
        row |= {"omitted": omitted, "since": self.since, "change": False, "sham": False, "pre_change": False}
        self.flashes.append({**row, **what})
        return undelayed

    def bout(self, first: float, trial: int) -> None:
        self.bouts.append((first, trial))
        self.licks += [first, first + 0.125, first + 0.25]

    def trial(self, kind: str) -> None:
        """5 to 8 flashes, the change, 3 more; or 3 flashes, in which a lick aborts."""
        number, begin, change = len(self.trials), self.now - 0.1, np.nan
        was = self.image
        n_before = 3 if kind == "aborted" else int(self.rng.integers(5, 9))
        for flash in range(n_before):
            last = flash == n_before - 1
            is_before_change = last and kind in ("hit", "miss", "auto_rewarded")
            self.flash(
                number, kind, pre_change=is_before_change, may_be_omitted=flash > 0 and not is_before_change
            )
        if kind == "aborted":
            self.bout(self.now - 0.4, number)
        else:
            sham = kind in ("false_alarm", "correct_reject")
            if not sham:
                self.image = str(self.rng.choice([name for name in IMAGES if name != self.image]))
            change = self.flash(number, kind, change=not sham, sham=sham)
            self.respond(kind, change, number)
            for _ in range(3):
                self.flash(number, kind, may_be_omitted=True)
        outcomes = {name: name == kind for name in KINDS}
        self.trials.append(
            {
                "trials_id": number,
                "start_time": begin,
                "stop_time": self.now - 0.3,
                "initial_image_name": was,
                "change_image_name": self.image,
                "change_time_no_display_delay": change,
                "go": kind in ("hit", "miss"),
                "catch": kind in ("false_alarm", "correct_reject"),
                "reward_volume": {"hit": 0.003, "auto_rewarded": 0.005}.get(kind, 0.0),
                **outcomes,
            }
        )

    def respond(self, kind: str, change: float, number: int) -> None:
        if kind == "auto_rewarded":
            self.rewards.append((change + 0.15, number, True))
        if kind in ("hit", "false_alarm", "auto_rewarded"):
            self.bout(change + 0.5, number)
        if kind == "hit":
            self.rewards.append((change + 0.5, number, False))

    def trials_table(self) -> pd.DataFrame:
        columns = ["trials_id", "start_time", "stop_time", "initial_image_name", "change_image_name"]
        columns += ["change_time_no_display_delay", "go", "catch", "reward_volume", *KINDS]
        table = pd.DataFrame(self.trials, columns=columns)
        numbers = [name for name in columns if "time" in name or name == "reward_volume"]
        flags = ["go", "catch", *KINDS]
        types = {"trials_id": "int64", **dict.fromkeys(numbers, "float64"), **dict.fromkeys(flags, "bool")}
        table = table.astype(types)
        cells = [np.empty(0) for _ in self.trials]
        for begin, number in self.bouts:
            cells[number] = begin + np.array([0.0, 0.125, 0.25])
        table["lick_times"] = pd.Series(cells, dtype=object)
        return table.set_index("trials_id")

    def presentations_table(self) -> pd.DataFrame:
        images = pd.concat([self._block(0, 0.0), self._block(5, REPLAY_S)])
        others = {"start_time": [2000.0, 2001.0, 2100.0, 2102.0], "stimulus_block": [2, 2, 4, 4]}
        mapping = pd.DataFrame({**others, "active": False, "trials_id": -99, "flashes_since_change": -99})
        mapping["position_x"], mapping["color"] = [0.0, -40.0, np.nan, np.nan], [np.nan, np.nan, 1.0, -1.0]
        mapping["is_sham_change"] = False
        for name in ("is_change", "omitted", "is_image_novel", "rewarded"):
            mapping[name] = pd.array([pd.NA] * 4, dtype="boolean")
        mapping["image_name"] = pd.Series([None] * 4, dtype=object)
        images["position_x"] = images["color"] = np.nan
        both = pd.concat([images, mapping[images.columns]]).sort_values("start_time", ignore_index=True)
        return both.rename_axis("stimulus_presentations_id")

    def _block(self, block: int, shift_s: float) -> pd.DataFrame:
        rows = pd.DataFrame(self.flashes, columns=[*FLASH_COLUMNS])
        omitted = rows["omitted"].astype(bool)
        times = {number: time for time, number, _ in self.rewards}
        columns = {
            "start_time": rows["time"].astype(float) + shift_s,
            "stimulus_block": np.full(len(rows), block),
            "active": np.full(len(rows), block == 0),
            "image_name": rows["image"].astype(object).mask(omitted, "omitted"),
            "is_change": rows["change"].astype("boolean"),
            "is_sham_change": rows["sham"].astype(bool),
            "omitted": omitted.astype("boolean"),
            "is_image_novel": rows["image"].map(NOVEL).astype("boolean").mask(omitted),
            "rewarded": (rows["change"].astype(bool) & rows["trial"].isin(times)).astype("boolean"),
            "flashes_since_change": rows["since"].astype("int64"),
            "trials_id": rows["trial"].astype("int64"),
        }
        return pd.DataFrame(columns)


FLASH_COLUMNS = (*("time", "trial", "outcome", "image", "omitted", "since", "change", "sham", "pre_change"),)


def make(kinds: list[str], seed: int = 0) -> MadeSession:
    maker = Maker(np.random.default_rng(seed))
    for kind in kinds:
        maker.trial(kind)
    if kinds:
        maker.flash(-99, None)  # after the last trial's end
    pulses = pd.DataFrame(
        {
            "start_time": 7000.0 + np.arange(12.0),
            "stimulus_name": ["pulse", "raised_cosine"] * 6,
            "level": [0.95, 1.7, 0.8, 1.0, 0.685, 0.78] * 2,
        }
    )
    rewards = {
        "timestamps": [time for time, _, _ in maker.rewards],
        "auto_rewarded": [auto for _, _, auto in maker.rewards],
    }
    events = SessionEvents(
        presentations=maker.presentations_table(),
        trials=maker.trials_table(),
        pulses=pulses,
        licks=pd.DataFrame({"timestamps": np.array(maker.licks, dtype=float)}),
        rewards=pd.DataFrame(rewards).astype({"timestamps": float, "auto_rewarded": bool}),
    )
    flashes = [{**row, "active": True} for row in maker.flashes]
    flashes += [{**row, "active": False, "time": row["time"] + REPLAY_S} for row in maker.flashes]
    flashes = [{**row, "novel": NOVEL[row["image"]]} for row in flashes]
    rewarded = [(time, number) for time, number, _ in maker.rewards]
    return MadeSession(events, flashes, maker.bouts, rewarded, kinds)


@pytest.fixture(scope="session")
def make_session() -> Callable[..., MadeSession]:
    return make
