"""Strategy models as rows: of which sessions, by which solver, what the commands answer and draw."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from schemas import behavior, queries, session, strategy
from schemas.bases.provenance import seed_of
from schemas.reading.session_frames import flashes_frame, licks_frame
from tests.fixtures.release_files import TRAINING_ID
from vbn.analysis.strategy.model import strategy_model
from vbn.analysis.strategy.parameters import STRATEGY
from vbn.analysis.strategy.random_walk import WalkPrior, fit_walks
from vbn.errors import NotFoundError

NEEDED = "ChangeDetection,Licks,Stimulus,Engagement,StrategyModel"
DEFAULT = {"strategy_params": "piet_2024"}


@pytest.fixture(scope="module")
def lasting(
    make_lasting_database: Callable[..., Any],
    complete_release: Callable[[Path], None],
    tmp_path_factory: pytest.TempPathFactory,
) -> Any:
    """Two recordings and a training session with enough licks, and what strategy models need of them."""
    from vbn.synthetic import SyntheticSettings, write_sessions

    folder = tmp_path_factory.mktemp("licking")
    settings = SyntheticSettings(sessions=2, probes=1, seed=5, minutes=20, units_per_probe=2, waveforms=False)
    write_sessions(folder, settings)
    complete_release(folder)
    database = make_lasting_database()
    database.call("register", folder, "--catalogue", folder / "project_metadata")
    done = database.call("populate", "--tables", NEEDED)
    assert done.stdout.endswith(", 0 failed.\n")
    return database


@pytest.fixture
def bound(lasting: Any) -> Any:
    lasting.connect()
    return lasting


def recordings() -> list[int]:
    return sorted((session.NwbFile & {"file_kind": "recording"}).to_arrays("session_id").tolist())


def populate(database: Any) -> str:
    return str(database.call("populate", "--tables", "StrategyModel").stdout)


def test_recordings_are_fitted_and_the_row_is_that_of_the_function(bound: Any) -> None:
    rows = (strategy.StrategyModel & DEFAULT).to_dicts(order_by="session_id")
    assert [row["session_id"] for row in rows] == recordings()
    row = rows[0]
    key = {name: row[name] for name in strategy.StrategyModel.primary_key}
    licks = licks_frame(key)["timestamps"].to_numpy(float)
    expected = strategy_model(flashes_frame(key, 0.7), licks, STRATEGY["piet_2024"], seed_of(key))
    assert row["strategy_missing"] is None
    assert row["n_strategy_rows"] == len(expected.licked) == len(row["strategy_presentation_id"])
    np.testing.assert_array_equal(
        row["strategy_weights"].load(), expected.walks.weights.T.astype(np.float32), strict=True
    )
    for name in ("visual_index", "timing_index", "strategy_index"):
        assert row[name] == getattr(expected, name)
    assert row["strategy_auc_cv"] == expected.auc_cv
    part = pd.DataFrame((strategy.StrategyModel.Regressor & key).to_dicts()).set_index("strategy_regressor")
    assert sorted(part.index) == sorted(expected.names) == sorted(row["strategy_regressors"])
    assert part.loc["task0", "strategy_dropout"] == row["visual_index"]
    assert part["strategy_evidence_lost"].isna().tolist() == (part.index == "bias").tolist()


def test_the_synthetic_mice_go_by_what_they_see(bound: Any) -> None:
    """They lick after changes, and otherwise at random."""
    table = queries.strategy_table()
    assert table["strategy_label"].tolist() == ["visual", "visual"]
    assert (table["visual_index"] > 20).all()
    assert table["session_id"].tolist() == recordings()
    assert {"experience_level", "cre_line", "training_trajectory"} < set(table)


def test_a_training_session_is_fitted_if_it_is_asked_for(bound: Any) -> None:
    with pytest.raises(NotFoundError, match="computed for recordings"):
        queries.strategy_table(TRAINING_ID)
    refused = bound.call("query", "strategy", "--session", TRAINING_ID, check=False)
    assert refused.returncode == 1
    assert "vbn params add StrategyParams NAME --like piet_2024 --set computed_for=all" in refused.stderr
    added = ("params", "add", "StrategyParams", "training", "--like", "piet_2024")
    bound.call(*added, "--set", "computed_for=training")
    assert populate(bound) == "1 entries made, 0 failed.\n"
    row = (strategy.StrategyModel & {"strategy_params": "training"}).fetch1()
    assert row["session_id"] == TRAINING_ID
    table = queries.strategy_table(strategy_params="training", regressors=True)
    assert table["session_id"].unique().tolist() == [TRAINING_ID]
    assert len(queries.strategy_table()) == 2


def test_sessions_that_are_missing_are_named_or_left_out(bound: Any) -> None:
    first, second = recordings()
    (strategy.StrategyModel & {"session_id": second, **DEFAULT}).delete(prompt=False)
    with pytest.raises(NotFoundError, match=f"1 session is not computed yet: {second}"):
        queries.strategy_table()
    assert queries.strategy_table(missing="drop")["session_id"].tolist() == [first]
    with pytest.raises(NotFoundError, match=f"not computed yet: {second}"):
        queries.strategy_weights(second)
    assert populate(bound) == "1 entries made, 0 failed.\n"


def stand_in(data: Any, hyper: Any, weights: Any, _optimised: Any) -> Any:
    """Answer as psytrack does."""
    x = np.hstack([data["inputs"][name] for name in sorted(weights)])
    found = fit_walks(x, data["y"].astype(bool), WalkPrior(hyper["sigma"][0], hyper["sigInit"]))
    return {"sigma": found.sigma}, found.log_evidence, found.weights.T, {"W_std": found.weight_sd.T}


def test_without_psytrack_its_jobs_are_given_back(bound: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psytrack", None)
    added = ("params", "add", "StrategyParams", "theirs", "--like", "piet_2024_psytrack")
    bound.call(*added, "--set", "computed_for=recordings")
    done = bound.call("populate", "--tables", "StrategyModel", check=False)
    assert done.returncode == 1
    assert done.stdout.endswith("0 entries made, 0 failed.\n")
    (line,) = done.stderr.splitlines()
    assert "needs the package psytrack" in line
    assert "pip install 'vbn-datajoint[strategy]'" in line
    assert (
        line.endswith("2 jobs given back, for a machine that can do it.") or "2 jobs were given back" in line
    )
    assert set(bound.job_states()) == {"pending"}
    assert not bound.json("errors")
    monkeypatch.setitem(sys.modules, "psytrack", SimpleNamespace(hyperOpt=stand_in))
    assert populate(bound) == "2 entries made, 0 failed.\n"
    assert not bound.job_states()
    theirs, ours = queries.strategy_table(strategy_params="theirs"), queries.strategy_table()
    np.testing.assert_allclose(theirs["visual_index"], ours["visual_index"])


def test_the_commands_answer_and_draw(bound: Any, tmp_path: Path) -> None:
    first = recordings()[0]
    answered = bound.call("query", "strategy", "--sort", "-strategy_index", "--format", "csv").stdout
    lines = answered.splitlines()
    assert "strategy_label" in lines[0]
    assert len(lines) == 3
    rows = bound.json("query", "strategy", "--regressors", "--session", first)
    assert {row["strategy_regressor"] for row in rows} > {"bias", "task0", "timing1D"}
    out, data = tmp_path / "strategy.svg", tmp_path / "strategy.csv"
    done = bound.call("plot", "strategy", "--session", first, "--out", out, "--data", data)
    row = (strategy.StrategyModel & DEFAULT & {"session_id": first}).fetch1()
    assert done.stdout == f"{out}, {data}: {row['n_strategy_rows']} flashes, strategy visual.\n"
    picture = out.read_text(encoding="utf-8")
    for words in (f"Strategy in session {first}", "changes (visual)", "engaged by piet_2024", "rewards"):
        assert words in picture
    weights = queries.strategy_weights(first)
    drawn = pd.read_csv(data).query("panel == 1 and series == 'changes (visual)'")
    np.testing.assert_allclose(drawn["y"], weights["weight_task0"], rtol=1e-5)
    assert (np.diff(weights["start_time"]) > 0).all()
    assert weights["lick_probability"].between(0, 1).all()
    wrong = bound.call("plot", "strategy", "--session", first, "--params", "mine", "--out", out, check=False)
    assert "no parameter set 'mine'" in wrong.stderr


def test_a_mouse_that_does_not_lick_has_a_row_that_says_so(bound: Any, tmp_path: Path) -> None:
    key = (behavior.Licks & {"session_id": recordings()[1]}).fetch1("KEY")
    licks = (behavior.Licks & key).fetch1("lick_timestamps")
    behavior.Licks.update1({**key, "lick_timestamps": licks[:3]})
    try:
        (strategy.StrategyModel & key).delete(prompt=False)
        bound.call("populate", "--tables", "StrategyModel", check=False)
        row = (strategy.StrategyModel & DEFAULT & key).fetch1()
        assert row["strategy_missing"].endswith("bouts of licks, fewer than 10")
        assert row["visual_index"] is row["strategy_label"] is row["strategy_weights"] is None
        assert not strategy.StrategyModel.Regressor & DEFAULT & key
        table = queries.strategy_table(key["session_id"])
        assert table["strategy_missing"].notna().all()
        done = bound.call(
            "plot", "strategy", "--session", key["session_id"], "--out", tmp_path / "none.svg", check=False
        )
        assert done.returncode == 1
        assert "bouts of licks, fewer than 10" in done.stderr
    finally:
        behavior.Licks.update1({**key, "lick_timestamps": licks})


def test_flashes_are_chosen_by_an_engagement_that_is_not_stored(bound: Any) -> None:
    bound.call("populate", "--tables", "FlashBehavior")
    bound.call("params", "add", "FlashSets", "piet", "--like", "lick_free", "--set", "engaged=piet_2024")
    first = recordings()[0]
    chosen = queries.flash_table(first, flash_set="piet")
    flashes = flashes_frame({"session_id": first, "mouse_id": chosen["mouse_id"][0]})
    everyone = queries.flash_table(first, flash_set="lick_free")
    assert chosen["engaged_piet_2024"].all()
    assert 0 < len(chosen) <= flashes["engaged_piet_2024"].sum()
    assert len(everyone) > 0


def test_a_set_of_nonsense_is_refused(bound: Any) -> None:
    added = ("params", "add", "StrategyParams", "wrong", "--like", "piet_2024", "--set")
    for setting, words in {
        "solver=mine": "solver is one of banded, psytrack",
        "computed_for=mice": "computed_for is one of recordings, training",
        "sigma_start=0": "sigma_start must be from",
    }.items():
        done = bound.call(*added, setting, check=False)
        assert done.returncode == 1
        assert words in done.stderr
