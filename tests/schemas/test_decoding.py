"""Decoding as rows: what they hold, of which sets, how they are asked for and drawn, and what is lacking."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from schemas import decoding, ecephys, queries, responses
from schemas.bases.provenance import seed_of
from schemas.reading.session_frames import flashes_frame, trials_frame
from vbn.analysis.decoding.parameters import DEFAULT, DecodedLabel
from vbn.analysis.decoding.session import decode_session
from vbn.errors import NotFoundError, SettingError

pytestmark = pytest.mark.files  # all of it is populated on both servers elsewhere

NEEDED = (
    "Recording", "Stimulus", "ChangeDetection", "Licks", "UnitSelection", "OptoStimulation", "Optotagging",
    "OptotagLabel", "CellClass", "Decoding",
)  # fmt: skip
QUICK = replace(
    DEFAULT,
    unit_criteria="all",
    labels=(DecodedLabel("image", 0.2, 0.1), DecodedLabel("change", 0.2, 0.1), DecodedLabel("hit", 0.1, 0.1)),
    engagement="none",
    block_s=30.0,
    n_units=(3,),
    most_draws=3,
    n_permutations=39,
    min_flashes=5,
    n_choice_permutations=199,
)


def add(name: str, **changes: Any) -> None:
    decoding.DecodingParams.add(name, asdict(replace(QUICK, **changes)))


@pytest.fixture(scope="module")
def planted(make_lasting_database: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A session in which the role of each unit is known, decoded by the default set and a quick one."""
    from vbn.synthetic import SyntheticSettings, write_sessions

    folder = tmp_path_factory.mktemp("planted")
    settings = SyntheticSettings(
        sessions=1, probes=1, seed=5, minutes=24, units_per_probe=40, waveforms=False
    )
    write_sessions(folder, settings)
    database = make_lasting_database()
    database.call("register", folder, "--catalogue", folder / "project_metadata")
    database.connect()
    add("quick")
    made = database.call("populate", "--tables", ",".join(NEEDED)).stdout
    assert "0 failed" in made
    database.truth = json.loads((folder / "ground_truth.json").read_text())
    return database


def test_rows_are_those_of_the_function(planted: Any) -> None:
    planted.connect()
    (row,) = (decoding.Decoding & {"decoding_params": "quick"}).to_dicts()
    key = {name: row[name] for name in decoding.Decoding.primary_key}
    assert (row["unit_criteria"], row["optotag_method"]) == ("all", "bennett_2025")
    units, spikes = decoding.selection.selected_spikes(key, "all")
    assert row["n_decoding_units"] == len(units) == len(ecephys.Recording.Unit())
    located = decoding.located_frame(key).set_index("unit_id")["structure_acronym"]
    classes = dict(zip(*responses.CellClass.Unit.to_arrays("unit_id", "cell_class"), strict=True))
    names = [None if classes[unit] == "unlabelled" else classes[unit] for unit in units["unit_id"]]
    is_auto = trials_frame(key)["auto_rewarded"].to_numpy(bool)
    of_units = units["unit_id"].map(located)
    expected = decode_session(spikes, of_units, names, flashes_frame(key), is_auto, QUICK, seed_of(key))
    table = queries.decoding_table(decoding_params="quick", cell_class=None)
    keys = ["decoding_label", "structure_acronym", "decoding_cell_class", "decoding_n_units"]
    table = table.sort_values(keys[1:])
    for label, populations in expected.decoded.items():
        of = table[table["decoding_label"] == label]
        assert len(of) == len(populations) > 0, expected.flashes[label].missing
        assert of["structure_acronym"].tolist() == [each.structure for each in populations]
        assert of["decoding_cell_class"].tolist() == [each.cell_class for each in populations]
        for column, field in {"accuracy": "accuracy", "p": "p", "random_accuracy": "random_accuracy"}.items():
            values = [getattr(each, field) for each in populations]
            np.testing.assert_allclose(of[f"decoding_{column}"], values, rtol=1e-12)
        leak = of["decoding_random_accuracy"] - of["decoding_accuracy"]
        np.testing.assert_allclose(of["decoding_random_excess"], leak, atol=1e-12)
        assert (of["decoding_chance"] == 1 / expected.flashes[label].n_classes).all()
    courses = queries.decoding_courses(decoding_params="quick", labels=["change"], cell_class=None)
    first = courses.sort_values([*keys[1:], "window_stop"]).head(2)
    np.testing.assert_allclose(first["accuracy"], expected.decoded["change"][0].course)
    np.testing.assert_allclose(first["null_accuracy"], expected.decoded["change"][0].null_course)
    assert first["window_stop"].tolist() == pytest.approx([0.1, 0.2])
    choice = pd.DataFrame((decoding.Decoding.Unit & key).to_dicts()).set_index("unit_id")
    stored = choice.loc[units["unit_id"], "choice_probability"].astype(float)
    np.testing.assert_allclose(stored, expected.choice.probability)
    assert (row["n_choice_hits"], row["n_choice_pairs"]) == (
        expected.choice_flashes.class_sizes()["hit"], expected.choice.n_pairs
    )  # fmt: skip


def test_planted_units_are_decoded(planted: Any) -> None:
    """By the roles of the units of each structure."""
    planted.connect()
    table = queries.decoding_table(decoding_params="quick")
    sessions = planted.truth["sessions"].values()
    roles = {unit["unit_id"]: unit["role"] for of in sessions for unit in of["units"]}
    units = queries.unit_table(queries.units(), ["unit_id", "structure_acronym"])
    has = {
        label: set(units.loc[units["unit_id"].map(roles) == role, "structure_acronym"])
        for label, role in {"change": "change", "image": "visual"}.items()
    }
    for label, structures in has.items():
        own = table[(table["decoding_label"] == label) & table["structure_acronym"].isin(structures)]
        assert len(own) > 0
        assert own["decoding_p"].min() == 1 / 40
        assert own["decoding_accuracy"].max() > own["decoding_chance"].max() + 0.1
    assert table["decoding_p"].min() > 0


def test_what_is_not_decoded_says_why(planted: Any) -> None:
    planted.connect()
    of_set = decoding.Decoding.Label & {"decoding_params": "calibrated"}
    labels = {row["decoding_label"]: row for row in of_set.to_dicts()}
    assert set(labels) == {each.label for each in DEFAULT.labels}
    assert labels["omission"]["decoding_chance"] is None
    assert labels["omission"]["decoding_missing"].startswith("fewer than 20 flashes: ")
    with pytest.raises(NotFoundError, match="omission has fewer than 20 flashes"):
        queries.decoding_table(labels=["omission"])
    asked = planted.call("query", "decoding", "--decoded", "omission", check=False)
    assert asked.returncode == 1
    assert "omission has fewer than 20 flashes" in asked.stderr
    for wrong, words in (
        (("--decoded", "hits"), "hit"),
        (("--structure", "VISx"), "VIS"),
        (("--cell-class", "FSS"), "FS"),
        (("--params", "mine"), "no parameter set 'mine'"),
    ):
        for command in ("query", "plot"):
            out = ("--out", planted.store / "none.svg") if command == "plot" else ()
            failed = planted.call(command, "decoding", *wrong, *out, check=False)
            assert failed.returncode == 1
            assert words in failed.stderr


def test_the_command_answers_and_draws_as_the_queries_do(planted: Any, tmp_path: Path) -> None:
    planted.connect()
    table = queries.decoding_table(decoding_params="quick", labels=["change"])
    asked = ("decoding", "--params", "quick", "--decoded", "change")
    csv = tmp_path / "change.csv"
    planted.call("query", *asked, "--out", csv)
    found = pd.read_csv(csv)
    np.testing.assert_allclose(found["decoding_accuracy"], table["decoding_accuracy"])
    shown = planted.call("query", *asked, "--courses", "--format", "csv").stdout
    assert "window_stop,accuracy,null_accuracy" in shown.splitlines()[0]
    assert shown.count("\n") == 1 + 2 * len(table)
    out, data = tmp_path / "decoding.svg", tmp_path / "decoding.csv"
    done = planted.call("plot", "decoding", "--params", "quick", "--out", out, "--data", data)
    n = queries.decoding_table(decoding_params="quick")
    assert done.stdout.startswith(f"{out}, {data}: {n['decoding_label'].nunique()} labels, ")
    drawn = pd.read_csv(data)
    first = n[n["decoding_label"] == "image"]
    marks = drawn[(drawn["panel"] == 1) & drawn["series"].isin(first["structure_acronym"])]
    np.testing.assert_allclose(np.sort(marks["y"]), np.sort(first["decoding_accuracy"]), rtol=1e-5)
    assert "folds at random" in out.read_text(encoding="utf-8")


def test_choice_probabilities_are_results_of_units(planted: Any) -> None:
    planted.connect()
    tested = decoding.Decoding.Unit & "choice_p IS NOT NULL"
    assert len(tested & {"decoding_params": "quick"}) > 20
    assert not tested & {"decoding_params": "calibrated"}  # fewer than 20 misses
    untested = planted.call("query", "units", "--where", "choice_p IS NULL", "--format", "csv").stdout
    assert untested.count("\n") == 1 + len(ecephys.Recording.Unit())
    assert "choice_probability" in planted.call("query", "columns", "choice").stdout


def test_sets_are_computed_if_they_say_so_and_wrong_ones_are_refused(planted: Any) -> None:
    planted.connect()
    add("later", computed=False, seed=3)
    add("quickly", unit_criteria="quickstart", labels=(DecodedLabel("hit", 0.1, 0.1),))
    assert "1 entries made, 0 failed" in planted.call("populate", "--tables", "Decoding").stdout
    made = set(decoding.Decoding().to_arrays("decoding_params"))
    assert made == {"calibrated", "quick", "quickly"}
    with pytest.raises(NotFoundError, match="no parameter set 'benett'"):
        add("wrong", unit_criteria="benett")
    with pytest.raises(SettingError, match="no definition of engagement 'benett_2025'"):
        add("wrong", engagement="benett_2025")
    with pytest.raises(SettingError, match="A label is one of"):
        decoding.DecodingParams.add(
            "wrong", {**asdict(QUICK), "labels": [{"label": "hits", "stop_s": 0.1, "step_s": 0.1}]}
        )
    failed = planted.call(
        "params", "add", "DecodingParams", "wrong", "--like", "calibrated", "--set", "folds=1", check=False
    )
    assert failed.returncode == 1
    assert "two folds" in failed.stderr
