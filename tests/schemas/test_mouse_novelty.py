"""Rows of mice: made when both sessions are there, whichever came first, and left alone by other mice."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from populate.registration.register import _withdraw_results
from populate.work.progress import _rotate
from populate.work.runner import NO_SESSION
from schemas import responses, session
from schemas.queries import (
    add_notes,
    notes,
    novelty,
    remove_list,
    responses_table,
    save_list,
    sessions,
    units,
    withdraw_note,
)  # fmt: skip
from schemas.queries.missing import IncompleteWarning
from schemas.queries.results import with_layers
from schemas.rows.fetch import fetch_frame
from schemas.server.datajoint import dj
from vbn.errors import NotFoundError, SettingError
from vbn.synthetic import SyntheticSettings, session_path, write_sessions

TABLES = (
    "Recording", "ChangeDetection", "Licks", "Stimulus", "OptoStimulation", "UnitSelection", "Optotagging",
    "OptotagLabel", "CellClass", "NoveltyResponse", "MouseNovelty", "ChannelLayer", "MouseLayerNovelty",
)  # fmt: skip
POPULATE = ("populate", *(word for name in TABLES for word in ("--table", name)))
OWN = "repeat_nonshared_active"
GGH, GHG = "990001", "990003"


@pytest.fixture(scope="module")
def mice(make_database: Callable[..., Any], open_folder: Path) -> tuple[Any, Path]:
    """A database, not yet filled, and sessions of three mice; of the last, the novel one comes first."""
    folder = open_folder / "mice"
    settings = SyntheticSettings(
        sessions=6, seed=3, minutes=5, probes=1, units_per_probe=12, novelty_hz=10, laser=False,
        waveforms=False, eye_tracking=False, template_shape=(8, 12),
    )  # fmt: skip
    write_sessions(folder, settings)
    return make_database().keep_few_sets(), folder


def add(database: Any, folder: Path, *numbers: int) -> dict[str, Any]:
    """Register sessions, by their number, and populate; return what was made."""
    files = [session_path(folder, 9_000_000_000 + number) for number in numbers]
    database.call("register", *files, "--catalogue", folder / "project_metadata")
    made = database.json(*POPULATE)
    database.connect()
    assert made["failures"] == []
    return dict(made)


def rows() -> pd.DataFrame:
    return fetch_frame(responses.MouseNovelty())


def groups() -> pd.DataFrame:
    return fetch_frame(responses.MouseNovelty.Group()).sort_values(responses.MouseNovelty.Group.primary_key)


def test_a_mouse_has_a_row_once_both_sessions_are_there_and_no_other_mouse_changes_it(
    mice: tuple[Any, Path],
) -> None:
    database, folder = mice
    database.connect()
    with pytest.raises(NotFoundError, match=r"No mouse has .* vbn catalogue FOLDER"):
        novelty(OWN)
    add(database, folder, 1, 2, 5)
    assert rows()["mouse_id"].tolist() == [GGH]
    first = groups()
    add(database, folder, 6)  # its partner was computed before
    assert rows()["mouse_id"].tolist() == [GGH, GHG]
    found = rows().set_index("mouse_id").loc[GHG]
    assert (found["familiar_session_id"], found["novel_session_id"]) == (9_000_000_006, 9_000_000_005)
    pd.testing.assert_frame_equal(groups()[groups()["mouse_id"] == GGH], first)
    assert database.json("stale") == []
    assert database.json(*POPULATE)["done"] == 0


def test_groups_have_the_means_of_their_units_and_a_contrast_takes_the_same(mice: tuple[Any, Path]) -> None:
    database, _ = mice
    database.connect()
    frame = responses_table(units(criteria="quickstart"), ["NoveltyResponse", "CellClass"])
    of = frame.groupby(["mouse_id", "structure_acronym", "cell_class", "experience_level"])
    means = of[f"novelty_{OWN}"].agg(["mean", "count"]).reset_index()
    for group in groups()[groups()["group_flashes"] == OWN].to_dict("records"):
        same = means[
            (means["mouse_id"] == group["mouse_id"])
            & (means["structure_acronym"] == group["structure_acronym"])
            & (means["cell_class"] == group["group_cell_class"])
        ].set_index("experience_level")
        for level in ("Familiar", "Novel"):
            n = group[f"n_novelty_{level.lower()}_units"]
            assert n == (same["count"].get(level, 0))
            if n:
                expected = same.loc[level, "mean"]
                assert group[f"novelty_{level.lower()}_response"] == pytest.approx(expected, abs=1e-12)
    every = novelty(OWN, criteria="quickstart", within=["training_trajectory"], n_resamples=50)
    assert every["training_trajectory"].tolist() == ["GGH", "GHG"]
    assert every["mice"].tolist() == [GGH, GHG]
    assert (every["n_sessions"] == 2).all()
    pooled = frame.groupby(["mouse_id", "experience_level"])[f"novelty_{OWN}"].mean().unstack()
    assert every["estimate"].tolist() == pytest.approx((pooled["Novel"] - pooled["Familiar"]).tolist())
    assert (every["index"].abs() <= 2).all()
    assert novelty(OWN, criteria="quickstart", within=[], trajectory="GHG")["mice"].tolist() == [GHG]
    printed = database.call(
        "query", "novelty", "--flashes", OWN, "--criteria", "quickstart", "--within", "training_trajectory",
        "--format", "csv",
    ).stdout.splitlines()  # fmt: skip
    assert printed[0].startswith("training_trajectory,estimate,low,high")
    assert [line.split(",")[0] for line in printed[1:]] == ["GGH", "GHG"]
    shown = database.call("query", "sessions", "--trajectory", "GHG", "--format", "json").stdout
    assert [row["session_id"] for row in json.loads(shown)] == [9_000_000_005, 9_000_000_006]
    assert len(sessions(where="training_trajectory = 'GGH'")) == 2
    with pytest.raises(SettingError, match=r"training trajectory 'GGG'.*GGH"):
        sessions(trajectory="GGG")
    with pytest.raises(SettingError, match=r"kind of flashes 'omission'"):
        novelty("omission")


def test_a_session_whose_experience_level_is_corrected_loses_the_rows_that_it_chose(
    mice: tuple[Any, Path],
) -> None:
    database, _ = mice
    database.connect()
    before, (row,) = rows(), (session.Session & {"session_id": 9_000_000_005}).to_dicts()
    key = {name: row[name] for name in ("mouse_id", "session_id")}
    assert _withdraw_results(key, row) == 0
    with dj.conn().transaction:
        assert _withdraw_results(key, {**row, "experience_level": "Familiar"}) >= 1
    left = before[before["mouse_id"] != row["mouse_id"]].reset_index(drop=True)
    assert rows()["mouse_id"].tolist() == left["mouse_id"].tolist() != before["mouse_id"].tolist()
    database.json(*POPULATE)
    database.connect()
    assert rows()["mouse_id"].tolist() == before["mouse_id"].tolist()


def test_only_listed_units_are_contrasted_in_the_shell_and_in_python(
    mice: tuple[Any, Path],
) -> None:
    database, _folder = mice
    database.connect()
    few = [
        number
        for level in ("Familiar", "Novel")
        for number in units(mouse_id=GGH, experience_level=level, criteria="quickstart").to_arrays(
            "unit_id", limit=3, order_by="unit_id"
        )
    ]
    save_list("few", few)
    add_notes(few[:1], label="noise", of="units")
    try:
        plain = {"criteria": "quickstart", "within": [], "min_units": 1, "n_resamples": 20}
        assert novelty(OWN, **plain)["n_units"].item() > 6
        assert novelty(OWN, in_list="few", **plain)[["n_units", "mice"]].to_numpy().tolist() == [[6, GGH]]
        assert novelty(OWN, in_list="few", without_label="noise", **plain)["n_units"].item() == 5
        others = novelty(OWN, not_in_list="few", **plain)["n_units"].item()
        assert others == novelty(OWN, **plain)["n_units"].item() - 6
        words = ("query", "novelty", "--flashes", OWN, "--criteria", "quickstart", "--min-units", 1)
        shown = database.json(
            *words, "--within", "training_trajectory", "--list", "few", "--not-label", "noise"
        )
        assert [row["n_units"] for row in shown if row["n_mice"]] == [5]
    finally:
        withdraw_note(notes()["note_id"].item())
        remove_list("few")


def test_layers_are_those_of_the_truth(mice: tuple[Any, Path], tmp_path: Path) -> None:
    """Without an atlas there was nothing to do; with one, mice are made again by layer."""
    database, folder = mice
    assert database.call(*POPULATE).stderr == ""
    assert len(responses.MouseLayerNovelty()) == 0
    database.call("atlas", "add", "made", folder / "annotation_100.nrrd")
    assert database.json(*POPULATE)["failures"] == []
    database.connect()
    found = fetch_frame(responses.MouseLayerNovelty.Group & {"group_flashes": OWN})
    truth = json.loads((folder / "ground_truth.json").read_text())["sessions"]
    layer_of = {unit["unit_id"]: unit["layer"] for of in truth.values() for unit in of["units"]}
    chosen = fetch_frame(units(criteria="quickstart", structure="VISam"))
    counted = chosen["unit_id"].map(layer_of).value_counts()
    of_area = found[found["structure_acronym"] == "VISam"]
    sums = of_area.groupby("group_layer")[
        ["n_layer_novelty_familiar_units", "n_layer_novelty_novel_units"]
    ].sum()
    assert sums.sum(axis=1).to_dict() == counted.to_dict()
    layered = novelty(OWN, criteria="quickstart", within=["cortical_layer"], n_resamples=20)
    assert set(layered["cortical_layer"]) >= {"2/3", "5"}
    frame = with_layers(chosen[["unit_id"]], units(structure="VISam"), None)
    assert frame["cortical_layer"].tolist() == chosen["unit_id"].map(layer_of).tolist()
    out = tmp_path / "novelty.pdf"
    drawn = ("plot", "novelty", "--filter", "quickstart", "--min-units", 1, "--out", out)
    assert database.call(*drawn).stdout.endswith(" structures, 2 mice.\n")
    assert out.read_bytes().startswith(b"%PDF")
    few = database.call(*drawn, "--min-units", 99, check=False)
    assert (few.returncode, "No mouse has 99 units" in few.stderr) == (1, True)
    assert database.json("stale") == []


def test_what_is_stale_in_one_session_is_made_again_in_its_mouse(
    mice: tuple[Any, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    database, _ = mice
    database.connect()
    before = groups()
    prefix = "novelty_response_method_version"
    (old,) = responses.NoveltyResponse & {"session_id": 9_000_000_005}
    responses.NoveltyResponse.update1(
        {**{k: old[k] for k in responses.NoveltyResponse.primary_key}, prefix: 0}
    )
    stale = database.json("stale")
    assert {(row["table"], row["key"].get("mouse_id")) for row in stale} == {
        (name, GHG) for name in ("NoveltyResponse", "MouseNovelty", "MouseLayerNovelty")
    }
    assert "0 failed" in database.call("recompute", "--yes").stdout
    assert database.json("stale") == []
    database.connect()
    pd.testing.assert_frame_equal(groups().reset_index(drop=True), before.reset_index(drop=True))


def test_deleting_one_session_takes_the_row_of_its_mouse_only(mice: tuple[Any, Path]) -> None:
    database, _ = mice
    database.connect()
    (responses.MouseNovelty & {"mouse_id": GHG}).delete(prompt=False)
    with pytest.warns(IncompleteWarning, match=rf"not computed for 1 of 2 mice .*{GHG}\. Run: vbn populate"):
        novelty(OWN, criteria="quickstart", within=[])
    database.json(*POPULATE)
    database.call("delete", "--session", "9000000006", "--reason", "test", "--yes")
    database.connect()
    assert rows()["mouse_id"].tolist() == [GGH]


def test_what_is_made_from_sessions_comes_after_them_in_every_process() -> None:
    """A process that came to mice first would leave those whose sessions it makes itself."""
    keys = [{"session_id": number} for number in range(4)]
    assert _rotate([*keys, NO_SESSION], 3) == [keys[3], *keys[:3], NO_SESSION]
    assert _rotate(keys, 1) == [*keys[1:], keys[0]]
