from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vbn.analysis.task.events import (
    CONDITION_VALUES,
    EVENT_CONDITIONS,
    EVENT_OUTCOMES,
    EventSelection,
    SessionEvents,
    find_events,
    level_names,
)
from vbn.analysis.task.presentations import TRIAL_OUTCOMES, trial_rows

KINDS = st.lists(st.sampled_from(TRIAL_OUTCOMES), max_size=25)
SEEDS = st.integers(0, 2**32 - 1)
SCREEN_EVENTS = ("change", "omission", "pre_change", "flash", "sham_change")
REPEATED = ("omission", "pre_change", "flash", "sham_change")


def selections(events=SCREEN_EVENTS):
    """Every combination that is no error."""

    def of(event: str):
        takes = EVENT_CONDITIONS[event]
        values = {
            "outcome": EVENT_OUTCOMES.get(event, TRIAL_OUTCOMES),
            "image": ("im_a", "im_b", "im_c", "im_not_shown"),
            "repeat": ("first", "later", 0, 1, 5),
        }
        chosen = {
            name: st.one_of(st.none(), st.sampled_from(values.get(name) or CONDITION_VALUES[name]))
            for name in takes
            if name != "bout_gap_s"
        }
        return st.fixed_dictionaries({"event": st.just(event), **chosen})

    def is_allowed(content) -> bool:
        return not (content.get("block") == "passive" and content.get("engagement"))

    return (
        st.sampled_from(events).flatmap(of).filter(is_allowed).map(lambda content: EventSelection(**content))
    )


def wanted_repeat(since: int, repeat: str | int | None) -> bool:
    return {None: True, "first": since == 0, "later": since > 0}.get(repeat, since == repeat)


def expected_times(session, selection: EventSelection) -> list[float]:
    """Filter the flashes as they were laid, one by one."""
    engaged = session.engaged()
    kinds = {"change": "change", "pre_change": "pre_change", "sham_change": "sham", "omission": "omitted"}
    times = []
    for flash in session.flashes:
        is_event = not flash["omitted"] if selection.event == "flash" else flash[kinds[selection.event]]
        in_trial = flash["trial"] >= 0
        fits = (
            is_event
            and selection.block in (None, "active" if flash["active"] else "passive")
            and selection.outcome in (None, flash["outcome"])
            and selection.image in (None, flash["image"])
            and selection.novelty in (None, "novel" if flash["novel"] else "familiar")
            and wanted_repeat(flash["since"], selection.repeat)
        )
        if fits and selection.engagement is not None:
            state = in_trial and ("engaged" if engaged[flash["trial"]] else "disengaged")
            fits = flash["active"] and state == selection.engagement
        if fits:
            times.append(flash["time"])
    return sorted(times)


class TestFindEvents:
    @given(KINDS, SEEDS, st.lists(selections(), min_size=1, max_size=5))
    @settings(max_examples=60)
    def test_finds_what_was_laid(self, make_session, kinds, seed, chosen):
        session = make_session(kinds, seed)
        for selection in chosen:
            np.testing.assert_array_equal(
                find_events(session.events, selection), expected_times(session, selection), str(selection)
            )

    @given(KINDS, SEEDS, selections())
    @settings(max_examples=40)
    def test_order_and_index_of_the_rows_do_not_matter(self, make_session, kinds, seed, selection):
        events = make_session(kinds, seed).events
        shuffled = SessionEvents(
            events.presentations.sample(frac=1, random_state=seed).reset_index(drop=True),
            events.trials.reset_index().sample(frac=1, random_state=seed),
            events.pulses,
            events.licks.sample(frac=1, random_state=seed),
            events.rewards.sample(frac=1, random_state=seed),
        )
        np.testing.assert_array_equal(find_events(shuffled, selection), find_events(events, selection))

    @given(KINDS, SEEDS, selections())
    @settings(max_examples=40)
    def test_without_trial_ids_the_trials_are_found_by_time(self, make_session, kinds, seed, selection):
        """Older files; the flash after the last trial's stop has no trial either way."""
        events = make_session(kinds, seed).events
        for without in (
            events.presentations.drop(columns="trials_id"),
            events.presentations.assign(trials_id=-99),
            events.presentations.assign(trials_id=pd.array([pd.NA] * len(events.presentations), "Int64")),
        ):
            np.testing.assert_array_equal(
                find_events(replace(events, presentations=without), selection), find_events(events, selection)
            )

    @given(KINDS, SEEDS, selections())
    @settings(max_examples=30)
    def test_flags_may_be_numbers_with_nan_as_files_and_databases_hold_them(
        self, make_session, kinds, seed, selection
    ):
        events = make_session(kinds, seed).events
        flags = ["is_change", "is_sham_change", "omitted", "is_image_novel", "active"]
        numbers = events.presentations.astype(dict.fromkeys(flags, "float64"))
        numbers = numbers.astype({"trials_id": "float64", "flashes_since_change": "float64"})
        trials = events.trials.astype(dict.fromkeys(TRIAL_OUTCOMES, "int64"))
        as_numbers = replace(events, presentations=numbers, trials=trials)
        np.testing.assert_array_equal(find_events(as_numbers, selection), find_events(events, selection))

    @given(KINDS, SEEDS, st.sampled_from(["lick_bout", "reward"]))
    @settings(max_examples=40)
    def test_licks_and_rewards_are_those_of_their_trials(self, make_session, kinds, seed, event):
        session = make_session(kinds, seed)
        made = session.bouts if event == "lick_bout" else session.rewards
        everything = find_events(session.events, EventSelection(event))
        np.testing.assert_array_equal(everything, sorted(time for time, _ in made))
        for outcome in EVENT_OUTCOMES.get(event, TRIAL_OUTCOMES):
            found = find_events(session.events, EventSelection(event, outcome=outcome))
            assert found.tolist() == sorted(time for time, trial in made if kinds[trial] == outcome)
        engaged = session.engaged()
        found = find_events(session.events, EventSelection(event, engagement="engaged"))
        assert found.tolist() == sorted(time for time, trial in made if engaged[trial])

    def test_full_field_flashes_and_gabors(self, make_session):
        events = make_session(["hit"]).events
        assert find_events(events, EventSelection("gabor")).tolist() == [2000, 2001]
        assert find_events(events, EventSelection("flash_on")).tolist() == [2100]
        assert find_events(events, EventSelection("flash_off")).tolist() == [2102]

    def test_laser_pulses_by_waveform_and_rank_of_the_level(self, make_session):
        """Pulses every second; levels of the square pulse .95 .8 .685, of the cosine 1.7 1.0 .78, in turn."""
        events = make_session([]).events

        def found(**conditions):
            return (find_events(events, EventSelection("laser_pulse", **conditions)) - 7000).tolist()

        assert found() == list(range(12))
        assert found(waveform="pulse") == [0, 2, 4, 6, 8, 10]
        assert found(waveform="pulse", level="high") == [0, 6]
        assert found(waveform="pulse", level="medium") == [2, 8]
        assert found(waveform="raised_cosine", level="low") == [5, 11]
        assert found(level="high") == [0, 1, 6, 7]

    def test_levels_are_ranked_within_a_waveform_and_a_single_level_is_the_highest(self):
        pulses = pd.DataFrame({"stimulus_name": ["a"] * 5 + ["b", "b", "c", "c"]})
        pulses["level"] = [1.0, 2, 3, 4, np.nan, 7, 7, 5, 6]
        names = ["low", "level_1", "medium", "high", None, "high", "high", "low", "high"]
        assert level_names(pulses).tolist() == names
        assert level_names(pulses.iloc[:0]).shape == (0,)

    def test_the_gap_between_bouts_can_be_chosen(self):
        events = SessionEvents(no_presentations(), licks=pd.DataFrame({"timestamps": [1.0, 1.6, 3.0]}))
        assert find_events(events, EventSelection("lick_bout")).tolist() == [1.0, 3.0]
        assert find_events(events, EventSelection("lick_bout", bout_gap_s=0.5)).tolist() == [1.0, 1.6, 3.0]

    def test_an_omission_has_the_image_that_was_left_out(self, make_session):
        session = make_session(["hit"] * 20)
        omissions = [flash for flash in session.flashes if flash["omitted"]]
        assert omissions
        found = [
            find_events(session.events, EventSelection("omission", image=name)).size
            for name in ("im_a", "im_b", "im_c")
        ]
        assert found == [
            sum(flash["image"] == name for flash in omissions) for name in ("im_a", "im_b", "im_c")
        ]

    def test_replay_of_other_images_has_no_trials(self, make_session):
        """Without trial ids, a replay is that of the active block only if it shows the same."""
        presentations = make_session(["hit"] * 3).presentations.drop(columns="trials_id")
        trials = make_session(["hit"] * 3).trials
        shown = presentations.index[
            (presentations["stimulus_block"] == 5) & ~presentations["omitted"].eq(True)
        ]
        assert (trial_rows(presentations, trials)[shown] >= 0).any()
        presentations.loc[shown[0], "image_name"] = "im_c"
        assert (trial_rows(presentations, trials)[shown] == -1).all()

    def short(self, **columns) -> SessionEvents:
        """Two flashes and a change of the task, an omission and two flashes of the replay; two trials."""
        presentations = pd.DataFrame(
            {
                "start_time": [1.0, 2.0, 3.0, 101.0, 102.0, 103.0],
                "active": [True] * 3 + [False] * 3,
                "image_name": ["im_a", "im_a", "im_b", "omitted", "im_a", "im_b"],
                "is_change": [False, False, True, False, False, True],
                "omitted": [False, False, False, True, False, False],
                "trials_id": [0, 0, 1, 0, 0, 1],
            }
        ).assign(**columns)
        trials = pd.DataFrame({name: [False, False] for name in TRIAL_OUTCOMES})
        trials = trials.assign(start_time=[0.5, 2.5], stop_time=[2.2, 4.0])
        return SessionEvents(presentations, trials.assign(aborted=[True, False], hit=[False, True]))

    def test_a_flash_before_a_change_belongs_to_the_trial_of_the_change(self):
        found = find_events(self.short(), EventSelection("pre_change", outcome="hit"))
        assert found.tolist() == [2, 102]

    def test_the_last_flash_of_the_task_is_not_before_a_change_even_if_the_replay_began_with_one(self):
        names = ["im_a", "im_a", "im_b", "im_a", "im_a", "im_b"]
        events = self.short(
            is_change=[False, False, True, True, False, True], omitted=False, image_name=names
        )
        assert find_events(events, EventSelection("pre_change")).tolist() == [2, 102]

    def test_an_omission_that_begins_a_block_has_no_image(self):
        """The last image of the task says nothing of the replay's first."""
        assert find_events(self.short(), EventSelection("omission")).tolist() == [101]
        for image in ("im_a", "im_b"):
            assert find_events(self.short(), EventSelection("omission", image=image)).size == 0

    def test_an_omission_is_known_by_flag_or_by_name(self):
        for columns in ({"omitted": False}, {"image_name": ["im_a", "im_a", "im_b", "im_b", "im_a", "im_b"]}):
            events = self.short(**columns)
            assert find_events(events, EventSelection("omission")).tolist() == [101]
            assert 101 not in find_events(events, EventSelection("flash"))

    def test_changes_nothing_in_its_input(self, make_session):
        events = make_session(["hit", "miss", "aborted"]).events
        before = events.presentations.copy(deep=True), events.trials.copy(deep=True)
        find_events(events, EventSelection("flash", novelty="novel", outcome="hit", repeat=1))
        pd.testing.assert_frame_equal(events.presentations, before[0])
        pd.testing.assert_frame_equal(events.trials, before[1])


class TestPartitions:
    """What a condition divides, it divides wholly."""

    @pytest.mark.parametrize(("seed", "n_trials"), [(0, 0), (1, 1), (2, 12), (3, 30)])
    def test_each_condition_divides_the_events(self, make_session, seed, n_trials):
        kinds = np.random.default_rng(seed).choice(TRIAL_OUTCOMES, n_trials).tolist()
        events = make_session(kinds, seed).events
        in_a_trial = events.presentations["trials_id"] >= 0
        trialled = replace(events, presentations=events.presentations[in_a_trial])
        active = {"block": "active"}
        since = range(1 + max([flash["since"] for flash in make_session(kinds, seed).flashes], default=0))
        for event in SCREEN_EVENTS:
            self.check(events, event, "block", ("active", "passive"))
            self.check(events, event, "novelty", ("novel", "familiar"))
            self.check(events, event, "image", ("im_a", "im_b", "im_c"))
            self.check(trialled, event, "outcome", EVENT_OUTCOMES.get(event, TRIAL_OUTCOMES))
            self.check(trialled, event, "engagement", ("engaged", "disengaged"), **active)
        for event in REPEATED:
            self.check(events, event, "repeat", ("first", "later"))
            self.check(events, event, "repeat", since)

    def check(self, events, event, condition, values, **others):
        whole = find_events(events, EventSelection(event, **others))
        parts = [
            find_events(events, EventSelection(event, **{condition: value}, **others)) for value in values
        ]
        np.testing.assert_array_equal(np.sort(np.concatenate(parts)), whole, f"{event} by {condition}")

    def test_pulses_by_waveform_and_level(self, make_session):
        events = make_session([]).events
        self.check(events, "laser_pulse", "waveform", ("pulse", "raised_cosine"))
        self.check(events, "laser_pulse", "level", ("low", "medium", "high"))


def no_presentations() -> pd.DataFrame:
    names = ["start_time", "active", "image_name", "is_change", "omitted"]
    return pd.DataFrame({name: [] for name in names})


class TestLittleInput:
    @pytest.mark.parametrize("event", EVENT_CONDITIONS)
    def test_nothing_gives_nothing(self, event):
        nothing = SessionEvents(no_presentations())
        assert find_events(nothing, EventSelection(event)).tolist() == []
        for condition in EVENT_CONDITIONS[event]:
            if condition in CONDITION_VALUES and condition != "outcome":
                value = CONDITION_VALUES[condition][0]
                assert find_events(nothing, EventSelection(event, **{condition: value})).tolist() == []

    @pytest.mark.parametrize("event", SCREEN_EVENTS)
    def test_without_trials_no_event_has_an_outcome(self, make_session, event):
        for trials in (None, make_session([]).trials):
            events = replace(make_session(["hit", "false_alarm", "miss"] * 4).events, trials=trials)
            outcome = EVENT_OUTCOMES.get(event, TRIAL_OUTCOMES)[0]
            assert find_events(events, EventSelection(event, outcome=outcome)).size == 0
            assert find_events(events, EventSelection(event, engagement="disengaged")).size == 0
            assert find_events(events, EventSelection(event)).size > 0

    def test_all_trials_aborted(self, make_session):
        events = make_session(["aborted"] * 12).events
        for event in ("change", "pre_change", "sham_change", "reward"):
            assert find_events(events, EventSelection(event)).size == 0
        assert find_events(events, EventSelection("lick_bout", outcome="aborted")).size == 12

    def test_one_image_that_never_changes(self, make_session):
        presentations = make_session(["hit"] * 3).presentations.assign(is_change=False)
        events = replace(make_session(["hit"] * 3).events, presentations=presentations)
        assert find_events(events, EventSelection("change")).size == 0
        assert find_events(events, EventSelection("pre_change")).size == 0

    def test_gratings_count_as_images_and_their_novelty_is_not_known(self):
        """Behaviour-only sessions of the first training stages: no gabors, no replay, no omissions."""
        presentations = pd.DataFrame(
            {
                "start_time": [0.0, 4.0, 9.0],
                "active": True,
                "image_name": ["gratings_0.0", "gratings_0.0", "gratings_90.0"],
                "is_change": [False, False, True],
                "omitted": False,
            }
        )
        events = SessionEvents(presentations)
        assert find_events(events, EventSelection("flash", block="active")).tolist() == [0, 4, 9]
        assert find_events(events, EventSelection("change", image="gratings_90.0")).tolist() == [9]
        assert find_events(events, EventSelection("pre_change")).tolist() == [4]
        for nothing in ("gabor", "flash_on", "omission", "sham_change", "laser_pulse"):
            assert find_events(events, EventSelection(nothing)).size == 0
        for novelty in ("novel", "familiar"):
            assert find_events(events, EventSelection("flash", novelty=novelty)).size == 0
        assert find_events(events, EventSelection("flash", repeat="first")).size == 0

    def test_true_for_missing_flags_in_the_tables_of_other_stimuli_makes_no_image_events(self, make_session):
        """As in the oldest files, which knew no missing flags."""
        events = make_session(["hit"] * 3).events
        flags = ["is_change", "omitted", "is_sham_change"]
        filled = events.presentations.copy()
        filled.loc[filled["image_name"].isna(), flags] = True
        old = replace(events, presentations=filled)
        for event in SCREEN_EVENTS:
            selection = EventSelection(event)
            np.testing.assert_array_equal(find_events(old, selection), find_events(events, selection))

    def test_presentations_without_the_columns_of_every_session_are_refused(self):
        events = SessionEvents(pd.DataFrame({"start_time": [1.0], "active": [True]}))
        with pytest.raises(ValueError, match="image_name, is_change, omitted missing"):
            find_events(events, EventSelection("change"))


class TestEventSelection:
    @given(selections(tuple(EVENT_CONDITIONS)))
    def test_survives_json(self, selection):
        assert EventSelection(**json.loads(json.dumps(asdict(selection)))) == selection

    def test_a_lick_bout_says_its_gap(self):
        assert asdict(EventSelection("lick_bout"))["bout_gap_s"] == 0.7
        assert EventSelection("change").bout_gap_s is None

    def test_names_the_conditions_that_are_given(self):
        assert EventSelection("flash", block="active", repeat=0).conditions == {
            "block": "active",
            "repeat": 0,
        }

    @pytest.mark.parametrize(
        ("content", "match"),
        [
            ({"event": "chnage"}, r"Unknown event 'chnage'\. Near to it: change"),
            ({"event": "xyzzy"}, r"Unknown event 'xyzzy'\. There are: change, .*sham_change\.$"),
            ({"event": "change", "block": "Active"}, r"Unknown block 'Active'.*Near to it: active"),
            ({"event": "change", "block": True}, "Unknown block True"),
            ({"event": "change", "outcome": "hits"}, r"Unknown outcome 'hits'.*Near to it: hit"),
            ({"event": "flash", "novelty": "new"}, "Unknown novelty 'new'"),
            ({"event": "flash", "engagement": "bored"}, "Unknown engagement 'bored'"),
            ({"event": "laser_pulse", "waveform": "cosine"}, r"'cosine'.*Near to it: raised_cosine"),
            ({"event": "laser_pulse", "level": 0.95}, r"Unknown level 0\.95"),
            ({"event": "laser_pulse", "outcome": "hit"}, r"takes no outcome\. It takes waveform, level\."),
            (
                {"event": "gabor", "block": "active", "image": "a"},
                "takes no block and no image.*no condition",
            ),
            ({"event": "change", "repeat": "first"}, "takes no repeat"),
            ({"event": "change", "bout_gap_s": 0.5}, "takes no bout_gap_s"),
            ({"event": "reward", "block": "passive"}, "takes no block"),
            ({"event": "change", "outcome": "aborted"}, "only in hit, miss, auto_rewarded"),
            ({"event": "sham_change", "outcome": "hit"}, "only in false_alarm, correct_reject"),
            ({"event": "flash", "block": "passive", "engagement": "engaged"}, "no engagement in the passive"),
            ({"event": "flash", "repeat": -1}, "repeat must be"),
            ({"event": "flash", "repeat": True}, "repeat must be"),
            ({"event": "flash", "repeat": 1.5}, "repeat must be"),
            ({"event": "flash", "repeat": "second"}, "repeat must be"),
            ({"event": "flash", "image": ""}, "image must be"),
            ({"event": "flash", "image": 3}, "image must be"),
            ({"event": "lick_bout", "bout_gap_s": 0}, "bout_gap_s must be"),
            ({"event": "lick_bout", "bout_gap_s": np.inf}, "bout_gap_s must be"),
        ],
    )
    def test_refuses_what_makes_no_sense(self, content, match):
        with pytest.raises(ValueError, match=match):
            EventSelection(**content)


def session_events(recording) -> SessionEvents:
    names = ("stimulus_presentations", "trials", "optotagging_table", "licks", "rewards")
    tables = [
        recording.table(name) if (recording.folder / f"{name}.parquet").exists() else None for name in names
    ]
    return SessionEvents(*tables)


class TestCorpus:
    def count(self, events, event, **conditions) -> int:
        return find_events(events, EventSelection(event, **conditions)).size

    def test_there_are_as_many_of_each_event_as_were_made(self, recordings):
        for recording in recordings:
            events, truth = session_events(recording), recording.content("ground_truth")
            for block in ("active", "passive"):
                assert self.count(events, "change", block=block) == truth["n_changes"]
                assert self.count(events, "pre_change", block=block) == truth["n_changes"]
                assert self.count(events, "omission", block=block) == truth["n_omitted"]
                assert self.count(events, "sham_change", block=block) == truth["n_sham"]
                assert self.count(events, "flash", block=block) == truth["n_flash"] - truth["n_omitted"]
            blocks = events.presentations["stimulus_block"].value_counts()
            assert self.count(events, "gabor") == blocks[2]
            assert self.count(events, "flash_on") + self.count(events, "flash_off") == blocks[4]
            assert self.count(events, "laser_pulse") == len(events.pulses)
            assert self.count(events, "reward") == len(events.rewards)

    def test_changes_by_outcome_are_the_trials_of_that_outcome(self, recordings):
        kinds = {"hit": "hit", "miss": "miss", "auto_rewarded": "auto"}
        shams = {"false_alarm": "fa", "correct_reject": "cr"}
        for recording in recordings:
            events, made = session_events(recording), recording.content("ground_truth")["trial_counts"]
            for block in ("active", "passive"):
                for outcome, kind in kinds.items():
                    assert self.count(events, "change", block=block, outcome=outcome) == made[kind]
                    assert self.count(events, "pre_change", block=block, outcome=outcome) == made[kind]
                for outcome, kind in shams.items():
                    assert self.count(events, "sham_change", block=block, outcome=outcome) == made[kind]
            assert self.count(events, "reward", outcome="hit") == made["hit"]
            assert self.count(events, "reward", outcome="auto_rewarded") == made["auto"]

    def test_change_times_are_the_flashes_of_the_trials_frames(self, recordings):
        """The join by frame is independent of trial ids."""
        for recording in recordings:
            events = session_events(recording)
            shown = events.presentations[events.presentations["active"]].set_index("start_frame")[
                "start_time"
            ]
            for outcome in ("hit", "miss", "auto_rewarded"):
                frames = events.trials["change_frame"][events.trials[outcome]]
                found = find_events(events, EventSelection("change", block="active", outcome=outcome))
                np.testing.assert_array_equal(found, shown[frames].to_numpy())

    def test_image_novelty_and_repeat_are_the_tables_own(self, recordings, behaviour_only):
        for recording in [*recordings, *behaviour_only]:
            events = session_events(recording)
            table = events.presentations
            flash = table["image_name"].notna() & ~table["omitted"].astype("boolean").fillna(True)
            for name, n in table["image_name"][flash].value_counts().items():
                assert self.count(events, "flash", image=name) == n
            novel = table["is_image_novel"][flash].astype(bool)
            assert self.count(events, "flash", novelty="novel") == novel.sum()
            assert self.count(events, "flash", novelty="familiar") == (~novel).sum()
            for n in range(12):
                assert (
                    self.count(events, "flash", repeat=n) == (table["flashes_since_change"][flash] == n).sum()
                )

    def test_engaged_changes_are_those_of_trials_above_two_rewards_per_minute(
        self, recordings, behaviour_only
    ):
        for recording in [*recordings, *behaviour_only]:
            events = session_events(recording)
            rate = recording.table("rolling_performance")["reward_rate"]
            for state, trials in (("engaged", rate.index[rate > 2]), ("disengaged", rate.index[~(rate > 2)])):
                n = events.trials["is_change"].loc[trials].sum()
                assert self.count(events, "change", block="active", engagement=state) == n

    def test_the_three_levels_of_each_waveform(self, recordings):
        for recording in recordings:
            events = session_events(recording)
            for (waveform, _), group in events.pulses.groupby(["stimulus_name", "level"]):
                levels = sorted(events.pulses["level"][events.pulses["stimulus_name"] == waveform].unique())
                name = ("low", "medium", "high")[levels.index(group["level"].iloc[0])]
                assert self.count(events, "laser_pulse", waveform=waveform, level=name) == len(group)

    def test_trials_are_found_by_time_as_allensdk_stores_them(self, recordings, behaviour_only):
        for recording in [*recordings, *behaviour_only]:
            events = session_events(recording)
            stored = events.presentations["trials_id"].to_numpy()
            found = trial_rows(events.presentations.drop(columns="trials_id"), events.trials)
            np.testing.assert_array_equal(np.where(stored < 0, -1, stored), found)
