"""Every kind of event under every condition: as many as a plain count over the tables finds."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest

from schemas import behavior, performance, psth, stimulus
from vbn.errors import ConflictError, NotFoundError, SettingError

pytestmark = pytest.mark.files

Row = dict[str, Any]
Chooser = Callable[..., int]  # of the facts

OF_IMAGES = ("change", "omission", "pre_change", "flash", "sham_change")
OUTCOMES = ("hit", "miss", "false_alarm", "correct_reject", "auto_rewarded", "aborted")
NEEDED = ("Recording", "ChangeDetection", "Licks", "Stimulus", "OptoStimulation", "RollingPerformance")


@dataclass
class Facts:
    """One session's rows, in order of time, and what is known of its trials."""

    presentations: list[Row] = field(default_factory=list)
    outcome: dict[int, str] = field(default_factory=dict)
    engaged: dict[int, bool] = field(default_factory=dict)
    trial_starts: list[float] = field(default_factory=list)
    last_stop: float = 0.0
    licks: list[float] = field(default_factory=list)
    rewards: list[Row] = field(default_factory=list)
    pulses: list[Row] = field(default_factory=list)

    def images(self, active: bool | None = None) -> list[Row]:
        shown = [row for row in self.presentations if row["is_change"] is not None]
        return [row for row in shown if active is None or bool(row["active"]) == active]

    def of(self, event: str, **conditions: Any) -> list[Row]:
        """Return the presentations that are the event, under conditions of their columns."""
        return [
            row
            for row in EVENTS[event](self)
            if all(row[name] == value for name, value in conditions.items())
        ]

    def outcome_of(self, event: str, outcome: str) -> list[Row]:
        return [row for row in EVENTS[event](self) if self.outcome.get(row["trial"]) == outcome]

    def trial_at(self, time: float) -> int | None:
        """Trials have gaps between them, which belong to the trial before."""
        place = bisect_right(self.trial_starts, time) - 1
        return place if place >= 0 and time < self.last_stop else None

    def bouts(self, gap_s: float) -> list[float]:
        return [
            lick
            for number, lick in enumerate(self.licks)
            if number == 0 or lick - self.licks[number - 1] > gap_s
        ]


def _before_changes(facts: Facts) -> list[Row]:
    """The flash before a change belongs to the change's trial."""
    return [
        {**flash, "trial": change["trial"]}
        for active in (True, False)
        for flash, change in pairwise(facts.images(active))
        if change["is_change"] and not flash["omitted"]
    ]


EVENTS: dict[str, Callable[[Facts], list[Row]]] = {
    "change": lambda facts: [row for row in facts.images() if row["is_change"]],
    "omission": lambda facts: [row for row in facts.images() if row["omitted"]],
    "pre_change": _before_changes,
    "flash": lambda facts: [row for row in facts.images() if not row["omitted"]],
    "sham_change": lambda facts: [row for row in facts.images() if row["is_sham_change"]],
}


def cases() -> Iterator[tuple[dict[str, Any], Chooser]]:
    """Yield the fields of a set that are not those of change_active, and the plain count."""
    for event in OF_IMAGES:
        yield {"event": event}, lambda facts, event=event: len(EVENTS[event](facts))
        yield from _of_blocks(event)
        yield from _of_outcomes(event)
        yield from _of_engagement(event)
    for event in ("omission", "pre_change", "flash", "sham_change"):
        yield from _of_repeats(event)
    yield from _of_images("flash")
    yield from _of_images("omission")
    yield from _of_other_stimuli()
    yield from _of_the_laser()
    yield from _of_the_mouse()


def _of_blocks(event: str) -> Iterator[tuple[dict[str, Any], Chooser]]:
    for block in ("active", "passive"):
        yield (
            {"event": event, "block_condition": block},
            lambda facts, event=event, block=block: len(facts.of(event, active=block == "active")),
        )


def _of_outcomes(event: str) -> Iterator[tuple[dict[str, Any], Chooser]]:
    possible = {
        "change": ("hit", "miss", "auto_rewarded"),
        "pre_change": ("hit", "miss", "auto_rewarded"),
        "sham_change": ("false_alarm", "correct_reject"),
    }
    for outcome in possible.get(event, OUTCOMES):
        yield (
            {"event": event, "outcome_condition": outcome},
            lambda facts, event=event, outcome=outcome: len(facts.outcome_of(event, outcome)),
        )


def _of_engagement(event: str) -> Iterator[tuple[dict[str, Any], Chooser]]:
    """There is none in the replay."""
    for name, state in (("engaged", True), ("disengaged", False)):
        yield (
            {"event": event, "engagement_condition": name},
            lambda facts, event=event, state=state: sum(
                facts.engaged.get(row["trial"]) is state for row in facts.of(event, active=True)
            ),
        )


def _of_repeats(event: str) -> Iterator[tuple[dict[str, Any], Chooser]]:
    for repeat, number in (("first", 0), ("3", 3)):
        yield (
            {"event": event, "repeat_condition": f'"{repeat}"'},
            lambda facts, event=event, number=number: len(facts.of(event, flashes_since_change=number)),
        )
    yield (
        {"event": event, "repeat_condition": "later"},
        lambda facts, event=event: sum(row["flashes_since_change"] > 0 for row in EVENTS[event](facts)),
    )


def _of_images(event: str) -> Iterator[tuple[dict[str, Any], Chooser]]:
    """``image`` stands for the first image by name; of an omission it is the image left out."""
    yield (
        {"event": event, "image_condition": "{image}"},
        lambda facts, event=event: sum(row["seen"] == first_image(facts) for row in EVENTS[event](facts)),
    )
    for name, state in (("novel", True), ("familiar", False)):
        yield (
            {"event": event, "novelty_condition": name},
            lambda facts, event=event, state=state: sum(
                row["seen_is_novel"] is state for row in EVENTS[event](facts)
            ),
        )


def first_image(facts: Facts) -> str:
    return min(row["image_name"] for row in EVENTS["flash"](facts))


def _of_other_stimuli() -> Iterator[tuple[dict[str, Any], Chooser]]:
    yield {"event": "flash_on"}, lambda facts: sum(row["color"] == 1 for row in facts.presentations)
    yield {"event": "flash_off"}, lambda facts: sum(row["color"] == -1 for row in facts.presentations)
    yield (
        {"event": "gabor"},
        lambda facts: sum(row["position_x"] is not None for row in facts.presentations),
    )


def _of_the_laser() -> Iterator[tuple[dict[str, Any], Chooser]]:
    yield {"event": "laser_pulse"}, lambda facts: len(facts.pulses)
    for waveform in ("pulse", "raised_cosine"):
        for level, place in (("low", 0), ("medium", 1), ("high", 2)):
            yield (
                {"event": "laser_pulse", "waveform_condition": waveform, "level_condition": level},
                lambda facts, waveform=waveform, place=place: n_pulses(facts, waveform, place),
            )


def n_pulses(facts: Facts, waveform: str, place: int) -> int:
    of_waveform = [row["level"] for row in facts.pulses if row["waveform"] == waveform]
    return of_waveform.count(sorted(set(of_waveform))[place])


def _of_the_mouse() -> Iterator[tuple[dict[str, Any], Chooser]]:
    yield {"event": "lick_bout"}, lambda facts: len(facts.bouts(0.7))
    yield {"event": "lick_bout", "bout_gap": 0.1}, lambda facts: len(facts.bouts(0.1))
    yield {"event": "reward"}, lambda facts: len(facts.rewards)
    for outcome in OUTCOMES:
        yield (
            {"event": "lick_bout", "outcome_condition": outcome},
            lambda facts, outcome=outcome: sum(
                facts.outcome.get(facts.trial_at(lick)) == outcome for lick in facts.bouts(0.7)
            ),
        )
    for outcome in ("hit", "auto_rewarded"):
        yield (
            {"event": "reward", "outcome_condition": outcome},
            lambda facts, outcome=outcome: sum(
                facts.outcome.get(facts.trial_at(row["reward_timestamp"])) == outcome for row in facts.rewards
            ),
        )
    for name, state in (("engaged", True), ("disengaged", False)):
        yield (
            {"event": "lick_bout", "engagement_condition": name},
            lambda facts, state=state: sum(
                facts.engaged.get(facts.trial_at(lick)) is state for lick in facts.bouts(0.7)
            ),
        )


def name_of(fields: dict[str, Any]) -> str:
    return "all_" + "_".join(str(value).strip('"{}') for value in fields.values())


CASES = {name_of(fields): (fields, count) for fields, count in cases()}
# Narrower than the defaults', so that no set has the same content as one of these.
SHARED = {"block_condition": "null", "window_stop": 0.5}


@pytest.fixture(scope="module")
def aligned(make_database: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One session of novel images, long enough for all outcomes, with a set of parameters for each case."""
    from vbn.synthetic import SyntheticSettings, write_sessions

    folder = tmp_path_factory.mktemp("aligned")
    settings = SyntheticSettings(
        sessions=2, seed=5, minutes=16, probes=1, units_per_probe=1, waveforms=False, eye_tracking=False
    )
    write_sessions(folder, settings)
    database = make_database()
    database.call("register", sorted(folder.rglob("*.nwb"))[-1])
    database.call("populate", *(word for name in NEEDED for word in ("--table", name)))
    facts = read_facts()
    for name, (fields, _) in CASES.items():
        add_alignment(database, name, fields, first_image(facts))
    database.call("populate", "--table", "Psth")
    return database, facts


def add_alignment(database: Any, name: str, fields: dict[str, Any], image: str) -> None:
    words = [f"{key}={value}".replace("{image}", image) for key, value in {**SHARED, **fields}.items()]
    sets = [word for text in words for word in ("--set", text)]
    database.call("params", "add", "Alignment", name, "--like", "change_active", *sets)


def read_facts() -> Facts:
    trials = behavior.ChangeDetection.Trial.to_dicts(order_by="trial_id")
    rolling = performance.RollingPerformance.Trial.to_dicts()
    facts = Facts(
        presentations=stimulus.Stimulus.Presentation.to_dicts(order_by="presentation_start_time"),
        outcome={row["trial_id"]: next(name for name in OUTCOMES if row[name]) for row in trials},
        engaged={row["trial_id"]: bool(row["is_engaged"]) for row in rolling},
        trial_starts=[row["trial_start_time"] for row in trials],
        last_stop=trials[-1]["trial_stop_time"],
        licks=sorted(behavior.Licks.fetch1("lick_timestamps").tolist()),
        rewards=behavior.ChangeDetection.Reward.to_dicts(),
        pulses=stimulus.OptoStimulation.Pulse.to_dicts(),
    )
    assert [row["trial_id"] for row in trials] == list(range(len(trials)))
    for active in (True, False):
        seen, is_novel = None, None
        for row in facts.images(active):
            if not row["omitted"]:
                seen, is_novel = row["image_name"], bool(row["is_image_novel"])
            row |= {"seen": seen, "seen_is_novel": is_novel, "trial": row["trial_id"]}
    return facts


@pytest.mark.parametrize("name", CASES)
def test_the_events_are_as_many_as_a_plain_count_finds(aligned: Any, name: str) -> None:
    database, facts = aligned
    database.connect()
    _, count = CASES[name]
    assert (psth.Psth & {"alignment": name}).fetch1("n_events") == count(facts)


def test_the_session_has_events_of_almost_every_kind(aligned: Any) -> None:
    """The counts above would agree as well if there was nothing to find."""
    _, facts = aligned
    empty = {name for name, (_, count) in CASES.items() if count(facts) == 0}
    assert len(empty) <= len(CASES) / 4, empty
    kinds = (*OF_IMAGES, "flash_on", "flash_off", "gabor", "laser_pulse", "lick_bout", "reward")
    assert not empty & {name_of({"event": event}) for event in kinds}


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        (("event=chang",), "Near to it: change"),
        (("event=gabor", "block_condition=active"), "takes no block"),
        (("outcome_condition=correct_reject",), "correct_reject"),
        (("block_condition=passive", "engagement_condition=engaged"), "no engagement in the passive block"),
        (("event=laser_pulse", "block_condition=null", "level_condition=top"), "Unknown level 'top'"),
        (("window_stop=-2",), "stop_s > start_s"),
        (("bin_width=0.3",), "bin_s"),
        (("response_stop=-0.1",), "response must be (start, stop) in seconds"),
        (("bout_gap=0.5",), "takes no bout_gap"),
    ],
)
def test_an_alignment_that_cannot_be_is_refused_in_a_line(
    populated_synthetic: Any, fields: tuple[str, ...], problem: str
) -> None:
    sets = [word for text in fields for word in ("--set", text)]
    words = ("params", "add", "Alignment", "mine", "--like", "change_active", *sets)
    done = populated_synthetic.call(*words, check=False)
    assert done.returncode == 1
    assert problem in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_defaults_of_the_gap_are_the_same_set(aligned: Any) -> None:
    """A bout set without a gap is one with 0.7 s, so that no second set of the same content can be made."""
    database, _ = aligned
    database.connect()
    assert psth.Alignment.get("all_lick_bout").bout_gap == 0.7
    with pytest.raises(ConflictError, match="has the same content as 'all_lick_bout'"):
        psth.Alignment.add("mine", {**content_of("all_lick_bout"), "bout_gap": None})
    with pytest.raises(SettingError, match=r"bout_gap_s|positive"):
        psth.Alignment.add("mine", {**content_of("all_lick_bout"), "bout_gap": -1.0})


def test_a_set_without_windows_has_those_of_its_event() -> None:
    settings = psth.AlignmentSettings("laser_pulse", -0.05, 0.1, 0.001, level_condition="high")
    assert (settings.baseline_window_s, settings.response_window_s) == ((-0.05, -0.002), (0.0015, 0.0085))
    cosine = psth.AlignmentSettings("laser_pulse", -0.1, 1.1, 0.01, waveform_condition="raised_cosine")
    assert cosine.response_window_s == (0.0015, 0.9985)
    own = psth.AlignmentSettings("flash", -1.0, 1.0, 0.01, baseline_start=-0.1, response_stop=0.1)
    assert (own.baseline_window_s, own.response_window_s) == ((-0.1, 0.0), (0.0, 0.1))


def content_of(name: str) -> dict[str, Any]:
    from schemas.bases.parameter_table import as_json

    found: dict[str, Any] = as_json(psth.Alignment.get(name))
    return found


def test_behavior_around_the_laser_waits_for_its_pulses(database: Any, synthetic_files: list[Any]) -> None:
    """A worker may come to it before they are imported, or after they were deleted: around none, for ever."""
    tables = ("ChangeDetection", "Licks", "Running", "EyeTracking", "Stimulus", "AlignedBehavior")
    database.call("register", synthetic_files[0])
    database.call("populate", *(f"--table={name}" for name in tables))
    made = set(psth.AlignedBehavior.to_arrays("alignment"))
    assert made == set(psth.Alignment.to_arrays("alignment")) - {"laser_pulse_high"}
    key = {**stimulus.Stimulus.fetch1("KEY"), "alignment": "laser_pulse_high"}
    with pytest.raises(NotFoundError, match="vbn populate --table OptoStimulation"):
        psth.AlignedBehavior().make_fetch(key)
    database.call("populate", "--table=OptoStimulation", "--table=AlignedBehavior")
    assert stimulus.OptoStimulation.Pulse()
    assert (psth.AlignedBehavior & key).fetch1("n_aligned_events") > 0
