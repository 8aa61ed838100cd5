"""Encoding models as rows: what they hold, for which units and sets, and what of a session is lacking."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest

from schemas import ecephys, encoding, queries, selection
from schemas.bases.provenance import seed_of
from vbn.analysis.encoding.model import encoding_model
from vbn.analysis.encoding.parameters import ENCODING, Kernel
from vbn.analysis.encoding.ridge import MEASURES
from vbn.errors import NotFoundError, SettingError

pytestmark = pytest.mark.files  # all of it is populated on both servers elsewhere

ROLES = ("change", "visual", "omission", "running", "untuned", "rf", "drift", "opto")
QUICK = replace(
    ENCODING["calibrated_active"],
    unit_criteria="all",
    kernels=(Kernel("images", 29), Kernel("omissions", 20), Kernel("running", 10, -0.1)),
    n_lambdas=3,
)


NEEDED = (
    "Recording", "Stimulus", "ChangeDetection", "Licks", "Running", "EyeTracking", "UnitSelection",
    "EncodingModel",
)  # fmt: skip
"""What models need: a whole database takes a minute."""


def populate(database: Any) -> str:
    """Make the models and what they need; return what the command prints."""
    return database.call("populate", "--tables", ",".join(NEEDED)).stdout


def add(name: str, **changes: Any) -> None:
    encoding.EncodingParams.add(name, asdict(replace(QUICK, **changes)))


def fit_quickly(database: Any) -> str:
    """Add and fit the small set, unless an earlier test has; return what the command prints."""
    database.connect()
    if encoding.EncodingModel & {"encoding_params": "quick"}:
        return ""
    add("quick")
    return str(database.call("populate", "--tables", "EncodingModel").stdout)


@pytest.fixture(scope="module")
def planted(make_lasting_database: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A session in which the role of each unit is known."""
    from vbn.synthetic import SyntheticSettings, write_sessions

    folder = tmp_path_factory.mktemp("planted")
    settings = SyntheticSettings(
        sessions=1, probes=1, seed=5, minutes=16, units_per_probe=40, waveforms=False
    )
    write_sessions(folder, settings)
    database = make_lasting_database()
    database.call("register", folder, "--catalogue", folder / "project_metadata")
    populate(database)
    database.truth = json.loads((folder / "ground_truth.json").read_text())
    return database


def roles_of(database: Any) -> dict[int, str]:
    sessions = database.truth["sessions"].values()
    return {unit["unit_id"]: unit["role"] for of_session in sessions for unit in of_session["units"]}


def test_the_role_of_each_unit_is_what_its_model_loses_most_by(planted: Any) -> None:
    planted.connect()
    table = queries.encoding_table(queries.units())
    roles = table["unit_id"].map(roles_of(planted))
    lost = {"change": "task", "visual": "images", "omission": "omissions", "running": "running"}
    changes = table[
        [f"glm_{name}_change" for name in ("images", "omissions", "task", "running", "pupil", "licks")]
    ]
    most = changes.idxmin(axis=1).astype(str).str.removeprefix("glm_").str.removesuffix("_change")
    right = pd.Series(False, index=table.index)
    for role, name in lost.items():
        right |= (roles == role) & (most == name) & table["glm_is_explained"]
    known = roles.isin(list(lost))
    assert set(roles[known]) == set(lost)
    assert right[known].mean() >= 0.9
    others = roles.isin(["untuned", "rf", "drift", "opto", "opto_artifact"])
    assert others.sum() >= 8
    assert table.loc[others, "glm_is_explained"].mean() <= 0.07
    pupil_or_licks = changes[["glm_pupil_change", "glm_licks_change"]].min(axis=1)
    assert (pupil_or_licks < -0.01).mean() <= 0.07
    assert table.loc[roles == "visual", "glm_psth_correlation"].median() > 0.3


def test_rows_are_those_of_the_function_and_arrays_are_in_the_order_of_the_units(planted: Any) -> None:
    fit_quickly(planted)
    (row,) = (encoding.EncodingModel & {"encoding_params": "quick"}).to_dicts()
    key = {name: row[name] for name in encoding.EncodingModel.primary_key}
    units, (times, offsets, n_spikes) = selection.selected_spikes(key, "all")
    expected = encoding_model(times, offsets, n_spikes, encoding.session_traces(key), QUICK, seed_of(key))
    assert row["n_glm_units"] == len(units) == len(ecephys.Recording.Unit())
    assert row["glm_unit_ids"].tolist() == units["unit_id"].tolist()
    assert row["n_glm_bins"] == expected.n_bins > 10_000
    assert row["glm_column_names"] == expected.column_names
    for name, values in {
        "weights": expected.weights, "dropouts": expected.dropouts, "predicted_rates": expected.predicted_hz,
    }.items():  # fmt: skip
        stored = row[f"glm_{name}"].load()
        assert stored.dtype == np.float32
        np.testing.assert_array_equal(stored, values.astype(np.float32))
    table = queries.encoding_table(queries.units(), "quick").set_index("unit_id").loc[units["unit_id"]]
    np.testing.assert_allclose(table["glm_variance_explained_raw"], expected.explained_raw, rtol=1e-12)
    np.testing.assert_allclose(table["glm_images_change"], expected.measure("all_images", "change"))
    kernels = queries.encoding_kernels(
        (ecephys.Recording.Unit & {"unit_id": int(units["unit_id"][3])}).fetch1("KEY"), "quick"
    )
    np.testing.assert_array_equal(kernels["weight"], expected.weights[3].astype(np.float32))
    assert kernels.iloc[0].tolist()[:2] == ["intercept", 0]


def test_every_measure_of_every_dropout_is_a_row(planted: Any) -> None:
    planted.connect()
    units = queries.units(structure=queries.unit_table(queries.units(), ["structure_acronym"]).iloc[0, 0])
    table, long = queries.encoding_table(units), queries.encoding_dropouts(units)
    of_task = long[long["dropout"] == "task"].set_index("unit_id").loc[table["unit_id"]]
    np.testing.assert_allclose(of_task["score"], table["glm_task_score"], atol=1e-6)
    np.testing.assert_allclose(of_task["change"], table["glm_task_change"], atol=1e-6)
    assert set(MEASURES) < set(long)
    assert not long.duplicated(["unit_id", "dropout"]).any()


def test_conditions_on_models_choose_units_as_the_command_does(planted: Any) -> None:
    planted.connect()
    table = queries.encoding_table(queries.units())
    chosen = queries.units(where="glm_running_score < -.2 AND glm_is_explained = 1")
    expected = table.loc[(table["glm_running_score"] < -0.2) & table["glm_is_explained"], "unit_id"]
    assert sorted(chosen.to_arrays("unit_id")) == sorted(expected)
    assert len(expected)
    shown = planted.call("query", "encoding", "--where", "glm_running_score < -.2", "--format", "csv").stdout
    assert shown.count("\n") == 1 + (table["glm_running_score"] < -0.2).sum()
    long = planted.call("query", "encoding", "--dropouts", "--format", "csv", "--limit", "0").stdout
    assert "structure_group,dropout,variance_explained,change,score,adjusted_score" in long.splitlines()[0]
    assert "glm_running_score" in planted.call("query", "columns", "glm_running").stdout
    wrong = planted.call("query", "encoding", "--params", "mine", check=False)
    assert wrong.returncode == 1
    assert "no parameter set 'mine'" in wrong.stderr


def test_units_without_a_model_are_missing_and_no_error_where_the_session_is_computed(planted: Any) -> None:
    planted.connect()
    units = queries.units()
    table = queries.responses_table(units, ["EncodingModel"])
    assert len(table) == len(units) > len(queries.encoding_table(units))
    assert table["glm_is_explained"].isna().any()
    failing = {"unit_id": int(table.loc[table["glm_is_explained"].isna(), "unit_id"].iloc[0])}
    with pytest.raises(NotFoundError, match="of units that pass 'bennett_2025'"):
        queries.encoding_table(units & failing)
    with pytest.raises(NotFoundError, match="does not pass bennett_2025"):
        queries.encoding_kernels((ecephys.Recording.Unit & failing).fetch1("KEY"))


def test_sets_are_fitted_if_they_say_so_and_their_filter_has_a_selection(planted: Any) -> None:
    fit_quickly(planted)
    add("quick_without", unit_criteria="quickstart", kernels=(Kernel("omissions", 3),), penalty="fixed")
    add("quick_later", computed=False, seed=1)
    assert "1 entries made" in planted.call("populate", "--tables", "EncodingModel").stdout
    made = set(encoding.EncodingModel().to_arrays("encoding_params"))
    assert made == {"calibrated_active", "quick", "quick_without"}
    row = (encoding.EncodingModel & {"encoding_params": "quick"}).fetch1()
    assert row["unit_criteria"] == "all"
    assert row["n_glm_units"] == len(ecephys.Recording.Unit())
    units = (encoding.EncodingModel.Unit & {"encoding_params": "quick"}).to_dicts()
    silent = [unit for unit in units if not unit["glm_variance_explained_train"]]
    assert all(unit["glm_is_explained"] in (False, 0) for unit in silent)
    assert {unit["glm_licks_score"] for unit in units} == {None}
    assert "3" in next(
        line for line in planted.call("status").stdout.splitlines() if line.startswith("EncodingModel")
    )


def test_a_set_with_an_unknown_filter_or_engagement_is_refused(planted: Any) -> None:
    planted.connect()
    with pytest.raises(NotFoundError, match="no parameter set 'benett'"):
        add("wrong", unit_criteria="benett")
    with pytest.raises(SettingError, match="no definition of engagement 'benett_2025'"):
        add("wrong", engagement="benett_2025", seed=3)
    with pytest.raises(SettingError, match="A kernel follows one of"):
        encoding.EncodingParams.add(
            "wrong", {**asdict(QUICK), "kernels": [{"events": "x", "n_weights": 1, "offset_s": 0.0}]}
        )
    failed = planted.call(
        "params",
        "add",
        "EncodingParams",
        "mine",
        "--like",
        "calibrated_active",
        "--set",
        "folds=1",
        check=False,
    )
    assert failed.returncode == 1
    assert "two folds or more" in failed.stderr


def test_the_null_is_computed_if_asked_for(planted: Any) -> None:
    """After the small set of an earlier test, with three shifts, so that it takes seconds."""
    fit_quickly(planted)
    before = queries.encoding_table(queries.units(), "quick")
    assert before["glm_p_explained"].isna().all()
    encoding.EncodingNullParams.add("few", {"n_shifts": 3, "least_shift_s": 30.0, "seed": 0})
    encoding.EncodingNull.populate({"encoding_params": "quick", "encoding_null_params": "few"})
    (row,) = encoding.EncodingNull.to_dicts()
    assert row["n_glm_shifts"] == 3
    rows = pd.DataFrame(encoding.EncodingNull.Unit.to_dicts())
    assert len(rows) == len(ecephys.Recording.Unit())
    assert rows["glm_p_explained"].between(0.25, 1).all()
    roles = rows["unit_id"].map(roles_of(planted))
    assert (rows.loc[roles == "visual", ["glm_p_explained", "glm_p_images"]] == 0.25).mean(axis=None) > 0.9
    assert rows.loc[roles == "untuned", "glm_p_explained"].mean() > 0.3
    assert rows["glm_p_licks"].isna().all()


@pytest.mark.parametrize("lacking", ["eye", "everything"])
def test_sessions_that_lack_something_have_their_row(
    lacking: str, make_database: Any, synthetic_files: list[Path], tmp_path: Path
) -> None:
    """Two minutes: few events; without eye tracking, or without task, running speed that varies, or units."""
    from tests.populate.imports.test_degenerate_sessions import EYE, nothing_but_aborted_trials

    path = tmp_path / synthetic_files[0].name
    path.write_bytes(synthetic_files[0].read_bytes())
    with h5py.File(path, "r+") as file:
        del file[EYE]
        if lacking == "everything":
            nothing_but_aborted_trials(file)
            file["processing/running/speed/data"][...] = 0.0
            file["units/amplitude_cutoff"][...] = 0.5
    database = make_database()
    try:
        database.call("register", tmp_path)
        populate(database)
        database.connect()
        row = encoding.EncodingModel.fetch1()
        assert row["glm_missing_kernels"]["pupil"] == "no values"
        if lacking == "eye":
            assert row["n_glm_units"] == len(encoding.EncodingModel.Unit()) > 0
            assert row["n_glm_bins"] > 0
            assert {unit["glm_pupil_change"] for unit in encoding.EncodingModel.Unit.to_dicts()} == {None}
        else:
            assert row["n_glm_units"] == len(encoding.EncodingModel.Unit()) == 0
            assert row["n_glm_explained"] is None
            assert row["glm_weights"] is None
            assert row["glm_lambda"] is None
            with pytest.raises(NotFoundError):
                queries.encoding_table(queries.units())
            assert pd.isna(
                queries.responses_table(queries.units(), ["EncodingModel"])["glm_is_explained"]
            ).all()
        assert "0 entries made" in populate(database)
    finally:
        database.drop()
