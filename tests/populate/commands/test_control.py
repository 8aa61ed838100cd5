"""``vbn control`` on a synthetic session: what it reports, and that it stores nothing."""

from __future__ import annotations

from typing import Any

import pytest

from populate.output import control as library
from tests.fixtures.database import Database
from vbn.calibration.columns import FLAG, MEASURES, P, Q

SESSION, BOTH = 9000000001, ("--repeats", "2")


@pytest.fixture(scope="module")
def found(populated_synthetic: Database) -> Any:
    return populated_synthetic.json("control", SESSION, *BOTH)


def test_every_p_q_and_flag_is_reported_or_named_as_left_out(found: Any) -> None:
    names = {f"{row['table']}.{row['column']}": row for row in found["columns"]}
    judging = {
        f"{measure.table}.{column.name}"
        for measure in MEASURES
        for column in measure.columns
        if column.kind in (P, Q, FLAG)
    }
    assert not names.keys() & found["left_out"].keys()
    assert names.keys() | found["left_out"].keys() == judging
    assert {"ChangeResponse.p_modulation", "ReceptiveField.p_value"} <= names.keys()
    assert "nothing was tested" in found["left_out"]["ImageSelectivity.p_selectivity"]  # too few runs
    assert "rhythm" in found["left_out"]["ImageSelectivity.p_response"]
    assert (found["session_id"], found["repeats"], found["seed"]) == (SESSION, 2, 0)
    for row in names.values():
        assert 0 <= row["low"] <= row["share"] <= row["high"] <= 1
        assert row["should be"] == ("0.05" if row["kind"] == P else "at most 0.05")
        assert row["verdict"] in ("holds", "unclear", "fails")
    fields = names["ReceptiveField.p_value"]
    assert 2 <= fields["n"] <= 2 * 16


def test_equal_seeds_give_equal_numbers_and_nothing_is_stored(
    populated_synthetic: Database, found: Any
) -> None:
    before = populated_synthetic.contents()
    assert populated_synthetic.json("control", SESSION, *BOTH) == found
    assert populated_synthetic.json("control", SESSION, *BOTH, "--seed", 1) != found
    assert populated_synthetic.contents() == before


def test_the_table_names_what_is_left_out_and_blocks_that_are_short(populated_synthetic: Database) -> None:
    shown = populated_synthetic.call("control", SESSION, "--repeats", 1).stdout
    assert "p_modulation" in shown
    assert "Left out (compares with before the event: rotation keeps the rhythm of the events): " in shown
    assert "Optotagging.pulse_p_wilcoxon" in shown
    assert "Blocks that are rotated by less than 30 s, as they are short: " in shown


def test_an_interrupted_run_shows_the_repeats_that_are_done(
    populated_synthetic: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = library.SessionControl.repeat

    def interrupted(self: Any, seed: int, number: int, *options: Any) -> Any:
        if number == 1:
            raise KeyboardInterrupt
        return whole(self, seed, number, *options)

    monkeypatch.setattr(library.SessionControl, "repeat", interrupted)
    done = populated_synthetic.call("control", SESSION, check=False)
    assert done.returncode == 130
    assert "this is of 1 of 5 repeats" in done.stderr
    assert "p_modulation" in done.stdout


def test_sessions_that_cannot_be_rotated_are_refused_in_words(populated_synthetic: Database) -> None:
    unknown = populated_synthetic.call("control", SESSION + 7, check=False)
    assert unknown.returncode == 1
    assert f"Session {SESSION + 7} is not registered." in unknown.stderr
