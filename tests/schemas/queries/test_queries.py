"""The shared queries: what they return, and what they say to what is misspelt."""

from __future__ import annotations

import pickle
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest

from schemas import behavior, ecephys, optotagging, performance, psth, queries, responses, selection, session
from schemas.queries import results
from schemas.rows.fetch import fetch_frame
from schemas.stimulus import Stimulus
from vbn.analysis.statistics import benjamini_hochberg
from vbn.errors import NotFoundError, SettingError, VbnError

pytestmark = pytest.mark.usefixtures("synthetic_database")


OUTCOMES = ["hit", "miss", "auto_rewarded"]


def ids(query: Any, name: str = "unit_id") -> list[int]:
    return sorted(query.to_arrays(name).tolist())


@pytest.fixture
def frame(synthetic_database: Any) -> pd.DataFrame:
    """All units with their places and sessions, joined by pandas."""
    units = fetch_frame(ecephys.Recording.Unit.proj("snr", "quality", "peak_channel_id"))
    channels = fetch_frame(ecephys.Recording.Channel.proj("structure_acronym"))
    located = units.merge(
        channels[["channel_id", "structure_acronym"]], left_on="peak_channel_id", right_on="channel_id"
    )
    groups = fetch_frame(ecephys.Structure.proj("structure_group"))
    sessions = fetch_frame(session.Session.proj("experience_level"))
    mice = fetch_frame(session.Mouse.proj("genotype", "cre_line"))
    return (
        located.merge(groups, how="left", on="structure_acronym")
        .merge(sessions, on=["mouse_id", "session_id"])
        .merge(mice, on="mouse_id")
    )


def test_without_conditions_all_units_are_there_also_those_in_no_structure(frame: pd.DataFrame) -> None:
    assert ids(queries.units()) == sorted(frame["unit_id"])
    assert list(queries.units().primary_key) == list(ecephys.Recording.Unit.primary_key)


def test_units_are_chosen_as_pandas_chooses_them(frame: pd.DataFrame) -> None:
    structure = frame["structure_acronym"].dropna().mode()[0]
    wanted = {
        "structure": (structure, frame["structure_acronym"] == structure),
        "group": (two := ["visual cortex", "thalamus"], frame["structure_group"].isin(two)),
        "experience_level": ("Novel", frame["experience_level"] == "Novel"),
        "genotype": (frame["genotype"][0], frame["genotype"] == frame["genotype"][0]),
        "session_id": (int(frame["session_id"][0]), frame["session_id"] == frame["session_id"][0]),
        "where": ("snr > 2 AND quality = 'good'", (frame["snr"] > 2) & (frame["quality"] == "good")),
    }
    for name, (value, expected) in wanted.items():
        assert expected.sum() > 0, name
        assert ids(queries.units(**{name: value})) == sorted(frame.loc[expected, "unit_id"]), name


def test_every_quality_filter_passes_the_units_that_its_table_holds() -> None:
    for name in selection.UnitCriteria.to_arrays("unit_criteria"):
        selected = selection.UnitSelection.Unit & {"unit_criteria": name}
        assert ids(queries.units(criteria=name)) == ids(selected) != []


def test_the_criteria_of_a_filter_can_be_read() -> None:
    frame = fetch_frame(selection.UnitCriteria.Criterion & {"unit_criteria": "bennett_2025"})
    values = dict(zip(frame["criterion_column"], frame["criterion_value"], strict=True))
    assert values["quality"] == "good"
    assert values["isi_violations"] == 0.5


def test_arrays_in_the_store_stay_references_in_a_frame() -> None:
    counts = fetch_frame(psth.TrialResponse.Window & {"response_window": "response"})["trial_spike_counts"]
    assert counts.iloc[0].load().ndim == 2


def test_units_of_a_cell_class_are_those_of_its_table_and_can_be_restricted_further() -> None:
    for name in ("Sst", "RS", ["RS", "FS"]):
        names = [name] if isinstance(name, str) else name
        key = {"optotag_method": "bennett_2025"}
        expected = responses.CellClass.Unit & key & [{"cell_class": each} for each in names]
        found = queries.units(cell_class=name)
        assert ids(found) == ids(expected)
        assert ids(found & "snr > 2") == ids(ecephys.Recording.Unit & expected.proj() & "snr > 2")


def test_sessions_are_chosen_by_behaviour(populated_corpus: Any) -> None:
    populated_corpus.connect()
    stored = fetch_frame(performance.Performance.proj("mean_dprime")).set_index("session_id")["mean_dprime"]
    middle = float(stored.astype(float).mean())
    above = stored.index[stored.astype(float) >= middle]
    for bounds, expected in (((middle, None), above), ((None, middle), stored.index.difference(above))):
        found = queries.sessions(dprime=bounds, dprime_metric="mean_dprime")
        assert ids(found, "session_id") == sorted(expected)
        assert len(expected)


def test_sessions_are_chosen_by_what_they_have() -> None:
    everything = ids(session.Session, "session_id")
    for requirement in ("recording", "laser", "imported", "computed"):
        assert ids(queries.sessions(requires=requirement), "session_id") == everything
    assert ids(queries.sessions(requires=["laser", "lfp"]), "session_id") == []


def test_a_mouse_s_familiar_and_novel_sessions_are_paired() -> None:
    (pair,) = queries.familiar_novel_pairs().to_dicts()
    levels = dict(zip(*session.Session.to_arrays("session_id", "experience_level"), strict=True))
    assert levels[pair["familiar_session_id"]] == "Familiar"
    assert levels[pair["novel_session_id"]] == "Novel"
    assert pair["familiar_date_of_acquisition"] < pair["novel_date_of_acquisition"]


def test_presentations_are_chosen_by_condition(populated_corpus: Any) -> None:
    populated_corpus.connect()
    shown = fetch_frame(Stimulus.Presentation())
    trials = fetch_frame(behavior.ChangeDetection.Trial.proj(*OUTCOMES))
    shown = shown.merge(trials, on=["mouse_id", "session_id", "trial_id"], how="left")
    names = ("is_change", "is_sham_change", "omitted", "active", *OUTCOMES)
    flag = {name: shown[name].fillna(False).astype(bool) for name in names}
    go = flag["hit"] | flag["miss"] | flag["auto_rewarded"]
    image = shown["image_name"].notna() & (shown["image_name"] != "omitted")
    cases = [
        (queries.changes(block="active"), flag["is_change"] & flag["active"]),
        (queries.changes(block="passive", outcome="hit"), flag["is_change"] & ~flag["active"] & flag["hit"]),
        (queries.changes(outcome=OUTCOMES), flag["is_change"] & go),
        (queries.changes(sham=True), flag["is_sham_change"]),
        (queries.omissions(block="active"), flag["omitted"] & flag["active"]),
        (queries.flashes(change=False, block="active"), image & ~flag["is_change"] & flag["active"]),
        (queries.gabors(), shown["position_x"].notna()),
        (queries.full_field_flashes(where="color = 1"), shown["color"] == 1),
    ]
    for number, (query, expected) in enumerate(cases):
        found = fetch_frame(query.proj())
        chosen = shown.loc[expected, ["session_id", "presentation_id"]]
        assert 0 < len(chosen) == len(found), number
        assert set(chosen.itertuples(index=False, name=None)) == set(
            found[["session_id", "presentation_id"]].itertuples(index=False, name=None)
        ), number
    one = int(shown["session_id"].iloc[0])
    assert set(queries.changes(one).to_arrays("session_id").tolist()) == {one}
    assert len(queries.changes(queries.sessions(session_id=one))) == len(queries.changes({"session_id": one}))


def test_the_matrix_of_responses_has_each_unit_s_curve_and_its_coordinates(frame: pd.DataFrame) -> None:
    matrix = queries.psth_matrix(queries.units(group="visual cortex"), "change_passive")
    expected = frame.loc[frame["structure_group"] == "visual cortex"].set_index("unit_id")
    assert sorted(matrix["unit_id"].values) == sorted(expected.index)
    assert list(matrix["time"].values) == list(psth.Alignment.get("change_passive").axis.centers_s)
    of_method = responses.CellClass.Unit & {"optotag_method": "bennett_2025"}
    classes = dict(zip(*of_method.to_arrays("unit_id", "cell_class"), strict=True))
    for row in matrix:
        unit_id = int(row["unit_id"])
        key = {"unit_id": unit_id, "alignment": "change_passive"}
        np.testing.assert_array_equal(row.values, (psth.Psth.Unit & key).fetch1("psth_rate"))
        assert row["structure_acronym"].item() == expected.loc[unit_id, "structure_acronym"]
        assert row["experience_level"].item() == expected.loc[unit_id, "experience_level"]
        assert row["cell_class"].item() == classes[unit_id]


def test_the_table_of_responses_joins_labels_and_metrics_of_each_unit() -> None:
    units = queries.units(where="snr > 1")
    table = queries.responses_table(units)
    assert table["unit_id"].tolist() == fetch_frame(units.proj())["unit_id"].tolist()
    assert not [name for name in table if table[name].map(type).eq(np.ndarray).any()]
    row = table.iloc[3]
    key = {"unit_id": int(row["unit_id"])}
    stored = (responses.ChangeResponse.Unit & key).fetch1()
    for name in ("change_rate_active", "change_modulation_active", "change_is_responsive"):
        assert row[name] == stored[name] or (pd.isna(row[name]) and stored[name] is None)
    label = (optotagging.OptotagLabel.Unit & key & {"optotag_method": "swdb_2022"}).fetch1("optotag_label")
    other = queries.responses_table(units, ["OptotagLabel"], optotag_method="swdb_2022")
    assert other.loc[3, "optotag_label"] == label
    assert table["change_is_responsive"].dtype == bool


@pytest.mark.parametrize("family", ["session", "all"])
def test_q_values_are_adjusted_over_the_chosen_units(family: str) -> None:
    units = queries.units(where="snr > 2")
    stored = queries.responses_table(units, ["ChangeResponse", "ReceptiveField"])
    table = queries.responses_table(units, ["ChangeResponse", "ReceptiveField"], q_over=family)
    assert 1 < len(table) < len(fetch_frame(queries.units().proj()))
    groups = [table] if family == "all" else [part for _, part in table.groupby("session_id")]
    for part in groups:
        for name in ("change_q_response", "rf_q_value"):
            p = part[name.replace("_q_", "_p_")].to_numpy(float)
            np.testing.assert_array_equal(part[name].to_numpy(float), benjamini_hochberg(p))
    unchanged = [name for name in stored if "_q_" not in name]
    pd.testing.assert_frame_equal(table[unchanged], stored[unchanged])


def test_the_family_of_q_values_are_the_tested_units_of_a_session_or_of_all() -> None:
    frame = pd.DataFrame(
        {
            "session_id": [1, 1, 1, 2, 2],
            "x_p_value": [0.01, 0.04, np.nan, 0.02, 0.5],
            "x_q_value": [0.9] * 5,
            "y_q_value": [0.1] * 5,  # its p is elsewhere
        }
    )
    by_session = results._adjusted(frame, "session")
    assert by_session["x_q_value"].tolist() == pytest.approx([0.02, 0.04, np.nan, 0.04, 0.5], nan_ok=True)
    together = results._adjusted(frame, "all")["x_q_value"].tolist()
    assert together == pytest.approx([0.04, 0.16 / 3, np.nan, 0.04, 0.5], nan_ok=True)
    pd.testing.assert_frame_equal(results._adjusted(frame, "stored"), frame)
    assert by_session["y_q_value"].tolist() == frame["y_q_value"].tolist()


def test_spike_times_and_trials_are_those_of_the_tables() -> None:
    units = queries.units(where="snr > 2")
    times = queries.spike_times(units)
    counts = fetch_frame(units.proj("n_spikes"))
    assert {number: len(spikes) for number, spikes in times.items()} == dict(
        zip(counts["unit_id"], counts["n_spikes"], strict=True)
    )
    trials = queries.trial_table(queries.sessions(experience_level="Novel"))
    expected = fetch_frame(behavior.ChangeDetection.Trial * session.Session & {"experience_level": "Novel"})
    assert trials["trial_id"].tolist() == expected["trial_id"].tolist() != []
    assert trials["hit"].tolist() == expected["hit"].tolist()
    assert set(trials["experience_level"]) == {"Novel"}
    key = {"trial_id": int(trials["trial_id"].iloc[-1]), "session_id": int(trials["session_id"].iloc[-1])}
    rolling = (performance.RollingPerformance.Trial & key).fetch1()
    stored = np.array(rolling["rolling_dprime"], float)  # NULL is NaN in a frame
    assert trials["rolling_dprime"].iloc[-1] == pytest.approx(stored, nan_ok=True)


def test_flashes_come_with_their_behavior_session_and_mouse(populated_synthetic: Any) -> None:
    from vbn.analysis.task.flash_sets import FLASH_SETS, select_flashes

    populated_synthetic.connect()
    flashes = queries.flash_table(queries.sessions(experience_level="Novel"))
    shown = Stimulus.Presentation * session.Session & {"experience_level": "Novel"}
    expected = fetch_frame(shown & "image_name IS NOT NULL")
    assert flashes["presentation_id"].tolist() == expected["presentation_id"].tolist() != []
    for name in ("is_change", "omitted", "active", "flashes_since_change"):
        assert flashes[name].tolist() == expected[name].tolist(), name
    rewarded = expected["rewarded"].astype(bool) & expected["active"]
    assert flashes["rewarded"].tolist() == rewarded.tolist()
    assert flashes["start_time"].tolist() == expected["presentation_start_time"].tolist()
    assert set(flashes["experience_level"]) == {"Novel"}
    assert flashes["cre_line"].notna().all()
    again = flashes.set_index("presentation_id").loc[flashes["replay"]]
    assert again["image_name"].tolist() == flashes["image_name"].tolist()
    for name, flash_set in FLASH_SETS.items():
        chosen = queries.flash_table(flashes["session_id"][0].item(), flash_set=name)
        of_session = flashes[flashes["session_id"] == flashes["session_id"][0]].set_index("presentation_id")
        ids = of_session.index[select_flashes(of_session, flash_set)]
        assert chosen["presentation_id"].tolist() == ids.tolist()
    longer = queries.flash_table(lick_bout_params="piet_2023")
    assert longer["lick_for_flash"].sum() <= queries.flash_table()["lick_for_flash"].sum()


@pytest.mark.parametrize(
    ("ask", "answer"),
    [
        (lambda: queries.units(structure="VISpp"), "Nothing has structure_acronym 'VISpp'. Near to it: VISp"),
        (lambda: queries.units(structure=["VISp", "visl"]), "Near to it: VISl"),
        (lambda: queries.units(group="visual cortx"), "Near to it: visual cortex"),
        (lambda: queries.units(group="Visual Cortex"), "Near to it: visual cortex"),
        (lambda: queries.units(cell_class="sst"), "Near to it: Sst"),
        (
            lambda: queries.units(genotype="sst-ires-cre/wt;ai32(rcl-chr2(h134r)_eyfp)/wt"),
            "Nothing has genotype 'sst-ires-cre/wt;",
        ),
        (lambda: queries.units(experience_level="novel"), "Near to it: Novel"),
        (lambda: queries.units(image_set="g"), "Near to it: G"),
        (lambda: queries.units(genotype="wt"), "Nothing has genotype 'wt'. There "),
        (lambda: queries.units(cell_class="Sts"), "Near to it: Sst"),
        (lambda: queries.units(criteria="bennet"), "bennett_2025"),
        (lambda: queries.units(optotag_method="salty", cell_class="Sst"), "salt"),
        (lambda: queries.units(experience_level="Famliar"), "Near to it: Familiar"),
        (lambda: queries.units(session_id=12), "Nothing has session_id '12'"),
        (lambda: queries.units(where="snrr > 1"), "There is no attribute 'snrr' here. Near to it: snr"),
        (lambda: queries.units(where={"struct_acronym": "VISp"}), "Near to it: structure_acronym"),
        (lambda: queries.units(where="structure_acronym <> 'VISPP'"), "Near to it: VISp"),
        (lambda: queries.units(where="structure_acronym IN ('VISp', 'LGD')"), "Near to it: LGd"),
        (lambda: queries.units(where="structure_acronym NOT LIKE 'VSI%'"), "like 'VSI%'"),
        (lambda: queries.units(where="'VISPP' = structure_acronym"), "Near to it: VISp"),
        (lambda: queries.units(where='structure_acronym = "VISp"'), "single quotes"),
        (
            lambda: queries.units(where="snr = 'high'"),
            "snr is a number, and cannot be compared with the text",
        ),
        (lambda: queries.changes(where="block = 'active'"), "block is a number, and cannot be compared"),
        (
            lambda: queries.units(where="quality > 3"),
            "quality is text, and cannot be compared with the number 3",
        ),
        (lambda: queries.units(where="cell_class = Sst"), "If it is a text: 'Sst', in single quotes"),
        (lambda: queries.units(where="snr > 1; DELETE"), "cannot contain ;"),
        (lambda: queries.units(where="snr > 1) OR (1 = 1"), "1) OR (1 = 1 do not match"),
        (lambda: queries.units(where="(snr > 1"), "The brackets of the condition (snr > 1 do not match"),
        (lambda: queries.units(where="snr >"), "The server does not understand the condition snr >"),
        (lambda: queries.sessions(requires="lasr"), "There is no requirement 'lasr'. Near to it: laser"),
        (lambda: queries.sessions(dprime=(1, None), dprime_metric="dprim"), "mean_dprime"),
        (lambda: queries.sessions(dprime=(float("nan"), None)), ", not nan"),
        (lambda: queries.sessions(dprime=(None, float("inf"))), ", not inf"),
        (lambda: queries.sessions(dprime=("high", None)), ", not 'high'"),
        (lambda: queries.changes(block="activ"), "Near to it: active"),
        (lambda: queries.changes(outcome="hits"), "Near to it: hit"),
        (lambda: queries.changes(image_name="im000_x"), "Nothing has image_name 'im000_x'"),
        (lambda: queries.omissions({"sesion_id": 1}), "Near to it: session_id"),
        (lambda: queries.psth_matrix(queries.units(), "change_activ"), "change_active"),
        (lambda: queries.psth_matrix(queries.units(where="snr > 1e6")), "no such units"),
        (lambda: queries.responses_table(queries.units(), ["ChangeRespons"]), "Near to it: ChangeResponse"),
        (lambda: queries.responses_table(queries.units(), parameters={"x": "y"}), "no parameter 'x'"),
        (lambda: queries.trial_table(12), "Nothing has session_id '12'"),
        (lambda: queries.flash_table(12), "Nothing has session_id '12'"),
        (lambda: queries.flash_table(flash_set="lickfree"), "FlashSets has no parameter set 'lickfree'"),
        (lambda: queries.flash_table(lick_bout_params="piet"), "no parameter set 'piet'"),
    ],
)
def test_what_is_misspelt_is_an_error_with_the_nearest_right_word(ask: Any, answer: str) -> None:
    with pytest.raises(VbnError) as caught:
        len(ask())
    assert isinstance(caught.value, NotFoundError | SettingError)
    assert answer in str(caught.value)


def test_an_unknown_argument_is_an_error_with_the_nearest() -> None:
    units: Any = queries.units
    matrix: Any = queries.psth_matrix
    with pytest.raises(TypeError, match=r"units\(\) takes no argument 'structur'. Near to it: structure"):
        units(structur="VISp")
    with pytest.raises(TypeError, match="Near to it: units"):
        matrix(unit=units())
    with pytest.raises(TypeError, match="Near to it: genotype"):
        queries.familiar_novel_pairs(genotyp="wt/wt")


def test_a_query_can_be_sent_to_another_process() -> None:
    assert pickle.loads(pickle.dumps(queries.units)) is queries.units


def test_a_mouse_without_sessions_is_an_error_with_the_nearest() -> None:
    with pytest.raises(NotFoundError, match=r"'99001' is registered.+ 990001"):
        session.training_history("99001")


def test_flags_are_compared_with_numbers_on_every_server() -> None:
    trial = behavior.ChangeDetection.Trial()
    asked = queries.restrict(trial, "hit = 1 AND aborted != 1")
    assert ids(asked, "trial_id") == ids(trial & "hit", "trial_id")
    assert len(queries.restrict(trial, "NOT hit AND go")) == len(trial & {"miss": True})


def test_the_server_takes_text_with_a_quote_and_a_percent_sign() -> None:
    with pytest.raises(NotFoundError, match="Nothing has genotype"):
        queries.units(where="genotype = 'it''s 100% wild'")


def test_what_is_not_computed_yet_is_said_and_can_be_left_out(database: Any, synthetic_files: Any) -> None:
    database.vbn("register", synthetic_files[0])
    tables = ["Recording", "Stimulus", "ChangeDetection", "Licks", "OptoStimulation"]
    database.vbn("populate", *(word for name in tables for word in ("--table", name)))
    database.connect()
    n_units = len(ecephys.Recording.Unit())
    assert len(queries.units()) == n_units
    with pytest.raises(NotFoundError, match=r"for 1 session is not computed yet.*missing='drop'"):
        queries.psth_matrix(queries.units())
    assert queries.psth_matrix(queries.units(), missing="drop").shape == (0, 250)
    assert len(queries.responses_table(queries.units(), missing="nan")) == n_units
    with pytest.warns(queries.IncompleteWarning, match=r"CellClass .*not computed yet"):
        assert len(queries.units(cell_class="RS")) == 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        queries.units(criteria="visual_coding")
