"""``vbn plot behavior``, ``training``, ``session`` and ``probe``: what is drawn is what is in the tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.files

SYNTHETIC_MOUSE = 990001


@pytest.fixture(scope="module")
def session_id(synthetic_files: list[Path]) -> int:
    return int(synthetic_files[0].stem.rsplit("_")[-1])


@pytest.fixture
def tables(populated_synthetic: Any) -> Any:
    """The tables of this process, bound to the populated database."""
    populated_synthetic.connect()
    return populated_synthetic


def count(database: Any, table: str, where: str) -> int:
    module, name = table.split(".")
    full_name = f'"{database.prefix}{module}"."{name}"'
    return int(database.server.query(f"SELECT count(*) FROM {full_name} WHERE {where}")[0][0])


def test_behavior_is_drawn_with_the_trials_of_the_session(
    populated_synthetic: Any, session_id: int, tmp_path: Path
) -> None:
    out = tmp_path / "behavior.svg"
    done = populated_synthetic.call("plot", "behavior", "--session", session_id, "--out", out)
    of_session = f"session_id = {session_id}"
    table = "behavior._change_detection__trial"
    trials = count(populated_synthetic, table, of_session)
    outcomes = ("hit", "miss", "false_alarm", "correct_reject", "auto_rewarded")
    ended = [count(populated_synthetic, table, f"{of_session} AND {name} = true") for name in outcomes]
    assert done.stdout == f"{out}: {trials} trials, {sum(ended)} of them with a change.\n"
    picture = out.read_text(encoding="utf-8")
    assert f"Behavior of session {session_id}" in picture
    assert all(f"({number})" in picture for number in ended if number)
    assert "no eye tracking" not in picture


def test_engagement_is_by_the_definition_that_is_asked_for(tables: Any, session_id: int) -> None:
    from schemas.figures.behavior import session_behavior

    for name in ("allensdk", "siegle_2021"):
        epochs = f'"{tables.prefix}performance"."__engagement__epoch"'
        statement = (
            f"SELECT epoch_start_time, epoch_stop_time FROM {epochs} "
            f"WHERE session_id = {session_id} AND engagement_params = '{name}' "
            "AND epoch_is_engaged = true ORDER BY 1"
        )
        expected = np.array(tables.server.query(statement), dtype=float).reshape(-1, 2)
        np.testing.assert_allclose(session_behavior(session_id, engagement=name).engaged_epochs_s, expected)


def test_training_shows_all_sessions_of_the_mouse(populated_synthetic: Any, tmp_path: Path) -> None:
    out = tmp_path / "training.svg"
    done = populated_synthetic.call("plot", "training", "--mouse", SYNTHETIC_MOUSE, "--out", out)
    assert done.stdout == f"{out}: 2 sessions, 2 of them registered.\n"
    picture = out.read_text(encoding="utf-8")
    for words in ("EPHYS_1", "images G", "images H", "familiar (recorded)", "novel (recorded)"):
        assert words in picture


def test_sessions_of_the_release_tables_alone_are_shown_without_performance(
    empty_database: Any, populated_synthetic: Any, synthetic_sessions: Path, tmp_path: Path
) -> None:
    empty_database.call("catalogue", synthetic_sessions / "project_metadata")
    out = tmp_path / "training.svg"
    done = empty_database.call("plot", "training", "--mouse", SYNTHETIC_MOUSE, "--out", out)
    assert done.stdout == f"{out}: 2 sessions, 0 of them registered.\n"
    assert "no session of this mouse is imported and computed" in out.read_text(encoding="utf-8")


def test_the_overview_has_the_rates_of_all_units_and_all_blocks(tables: Any, session_id: int) -> None:
    from schemas import ecephys
    from schemas.figures.overview import session_overview

    data = session_overview(session_id, bin_s=5.0)
    assert list(data.block_name) == [
        "change detection",
        "gray",
        "Gabors",
        "gray",
        "flashes",
        "replay",
        "laser",
    ]
    trains = ecephys.spike_times(ecephys.Recording.Unit & {"session_id": session_id})
    expected = {unit: np.histogram(times, data.edges_s)[0] for unit, times in trains.items()}
    bin_s = np.diff(data.edges_s)
    counts = np.rint(data.rate_hz * bin_s).astype(int)
    np.testing.assert_array_equal(counts, [expected[unit] for unit in sorted(expected)])
    assert len(data.structure) == len(expected)
    assert set(data.structure_group) >= {"visual cortex", "hippocampus"}


def test_a_session_is_drawn_from_begin_to_end(
    populated_synthetic: Any, session_id: int, tmp_path: Path
) -> None:
    out = tmp_path / "session.svg"
    done = populated_synthetic.call("plot", "session", "--session", session_id, "--out", out)
    units = count(populated_synthetic, "ecephys._recording__unit", f"session_id = {session_id}")
    assert done.stdout.startswith(f"{out}: {units} units, 7 blocks, ")
    picture = out.read_text(encoding="utf-8")
    for words in ("change detection", "Gabors", "replay", "laser", f"{units} units by structure and depth"):
        assert words in picture


def test_probes_are_drawn_with_the_units_that_pass(tables: Any, session_id: int, tmp_path: Path) -> None:
    out = tmp_path / "probe.svg"
    words = ("plot", "probe", "--session", session_id, "--out", out)
    of_session = f"session_id = {session_id}"
    for criteria in ("quickstart", "bennett_2025"):
        selected = f"{of_session} AND unit_criteria = '{criteria}'"
        passing = count(tables, "selection.__unit_selection__unit", selected)
        units = count(tables, "ecephys._recording__unit", of_session)
        done = tables.call(*words, "--criteria", criteria)
        assert done.stdout == (
            f"{out}: probeA, probeB: {units} units, {passing} of them pass '{criteria}'.\n"
        )
    one = tables.call(*words, "--probe", "probeB")
    assert "probeB" in one.stdout
    picture = out.read_text(encoding="utf-8")
    assert "probeA" not in picture
    assert "no LFP imported" in picture


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            ("behavior", "--session", 9_000_000_003),
            "Session 9000000003 is not registered. Near to it: 900000000",
        ),
        (
            ("session", "--session", 9_000_000_003),
            "Session 9000000003 is not registered. Near to it: 900000000",
        ),
        (
            ("probe", "--session", 9_000_000_003),
            "Session 9000000003 is not registered. Near to it: 900000000",
        ),
        (("training", "--mouse", "99001"), "Mouse '99001' is unknown. Near to it: 990001."),
        (
            ("probe", "--session", "first", "--probe", "probZ"),
            "has no probe 'probZ'. Near to it: probeB, probeA.",
        ),
        (
            ("probe", "--session", "first", "--criteria", "godo"),
            "UnitCriteria has no parameter set 'godo'. There are:",
        ),
        (
            ("behavior", "--session", "first", "--engagement", "x"),
            "EngagementParams has no parameter set 'x'.",
        ),
    ],
)
def test_what_there_is_not_is_an_error_that_names_what_there_is(
    populated_synthetic: Any, session_id: int, tmp_path: Path, words: tuple[Any, ...], expected: str
) -> None:
    asked = [session_id if word == "first" else word for word in words]
    done = populated_synthetic.call("plot", *asked, "--out", tmp_path / "figure.png", check=False)
    assert done.returncode == 1
    assert expected in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("figure", "missing"),
    [
        ("behavior", "ChangeDetection, Licks, TaskParameters, Stimulus"),
        ("session", "ChangeDetection, Licks, Stimulus"),
        ("probe", "Recording"),
    ],
)
def test_a_session_that_is_only_registered_has_to_be_populated_first(
    empty_database: Any, populated_synthetic: Any, session_id: int, tmp_path: Path, figure: str, missing: str
) -> None:
    empty_database.register_as(populated_synthetic)
    out = tmp_path / "figure.png"
    done = empty_database.call("plot", figure, "--session", session_id, "--out", out, check=False)
    assert done.returncode == 1
    assert f"Session {session_id} has no {missing} yet. Run: vbn populate" in done.stderr
    assert not out.exists()


def test_sessions_with_less_in_them_are_drawn_too(populated_corpus: Any, tmp_path: Path) -> None:
    """A behavior session; a recording without eye tracking and with a probe that lies nowhere; a CSD."""
    behavior_only, without_eye, with_lfp = 1_900_000_007, 1_900_002_100, 1_900_000_100
    cases = [
        (("behavior", "--session", behavior_only), "no eye tracking"),
        (("session", "--session", behavior_only), "no units were recorded"),
        (("session", "--session", without_eye), "no eye tracking"),
        (("probe", "--session", without_eye, "--probe", "probeF"), "not located"),
        (("probe", "--session", with_lfp), "no CSD"),
        (("probe", "--session", with_lfp, "--probe", "probeC"), "CSD (V/cm²)"),
        (("training", "--mouse", "900001"), "TRAINING_5"),
    ]
    for number, (words, expected) in enumerate(cases):
        out = tmp_path / f"{number}.svg"
        populated_corpus.call("plot", *words, "--out", out)
        assert expected in out.read_text(encoding="utf-8")
    out = tmp_path / "none.svg"
    done = populated_corpus.call("plot", "probe", "--session", behavior_only, "--out", out, check=False)
    assert "is a behavior session: it has no probes" in done.stderr
