"""``vbn plot unit``, ``hierarchy`` and ``optotagging``: what is drawn is what is in the tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from schemas.rows.fetch import fetch_frame

pytestmark = pytest.mark.files


@pytest.fixture(scope="module")
def session_id(synthetic_files: list[Path]) -> int:
    return int(synthetic_files[0].stem.rsplit("_")[-1])


@pytest.fixture
def tables(populated_synthetic: Any) -> Any:
    """The tables of this process, bound to the populated database."""
    populated_synthetic.connect()
    return populated_synthetic


@pytest.fixture
def unit_id(tables: Any, session_id: int) -> int:
    """The unit with the most spikes."""
    name = f'"{tables.prefix}ecephys"."_recording__unit"'
    statement = (
        f"SELECT unit_id FROM {name} WHERE session_id = {session_id} ORDER BY n_spikes DESC, unit_id LIMIT 1"
    )
    return int(tables.server.query(statement)[0][0])


def test_a_card_is_written_with_what_is_known_of_the_unit(tables: Any, unit_id: int, tmp_path: Path) -> None:
    from schemas import optotagging, responses

    out = tmp_path / "unit.svg"
    done = tables.call("plot", "unit", "--unit", unit_id, "--out", out)
    assert done.stdout.startswith(f"{out}: unit {unit_id}, image changes: ")
    key = {"unit_id": unit_id, "optotag_method": "bennett_2025"}
    label = (optotagging.OptotagLabel.Unit & key).fetch1("optotag_label")
    cell_class = (responses.CellClass.Unit & key).fetch1("cell_class")
    picture = out.read_text(encoding="utf-8")
    for words in (
        f"Unit {unit_id}",
        f"class {cell_class} · {label}",
        "bennett_2025",
        "no waveform in the file",
    ):
        assert words in picture


def test_encoding_models_are_drawn_of_one_unit_and_of_the_units_of_structures(
    tables: Any, session_id: int, tmp_path: Path
) -> None:
    import pandas as pd

    from schemas import encoding, queries

    table = queries.encoding_table(queries.units())
    out, data = tmp_path / "units.svg", tmp_path / "units.csv"
    done = tables.call("plot", "encoding", "--session", session_id, "--out", out, "--data", data)
    of_session = table[table["session_id"] == session_id]
    explained = of_session["glm_is_explained"].sum()
    assert done.stdout == f"{out}, {data}: {len(of_session)} units, {explained} explained.\n"
    drawn = pd.read_csv(data).query("panel == 1 and series in ('explained', 'not explained')")
    np.testing.assert_allclose(np.sort(drawn["y"]), np.sort(of_session["glm_variance_explained"]), rtol=1e-5)
    unit_id = int(table.loc[table["glm_variance_explained_raw"].idxmax(), "unit_id"])
    unit = (encoding.EncodingModel.Unit & {"unit_id": unit_id}).fetch1()
    out = tmp_path / "unit.svg"
    done = tables.call("plot", "encoding", "--unit", unit_id, "--out", out)
    assert done.stdout == (
        f"{out}: unit {unit_id}, variance explained {unit['glm_variance_explained']:.4f}.\n"
    )
    picture = out.read_text(encoding="utf-8")
    assert f"Unit {unit_id}: encoding model" in picture
    card = tmp_path / "card.svg"
    tables.call("plot", "unit", "--unit", unit_id, "--out", card)
    assert f"What drives it: {unit['glm_variance_explained']:.3f} explained" in card.read_text(
        encoding="utf-8"
    )


def test_what_has_no_encoding_model_is_answered_with_why(tables: Any, tmp_path: Path) -> None:
    from schemas import queries

    every = queries.unit_table(queries.units(), ["unit_id"])["unit_id"]
    failing = set(every) - set(queries.encoding_table(queries.units())["unit_id"])
    out = tmp_path / "none.svg"
    words = {
        ("--unit", min(failing)): "does not pass bennett_2025",
        ("--params", "mine"): "no parameter set 'mine'",
        ("--by", "colour"): "colour",
        ("--unit", 1): "1",
    }
    for arguments, expected in words.items():
        done = tables.call("plot", "encoding", *arguments, "--out", out, check=False)
        assert done.returncode == 1
        assert expected in done.stderr
        assert not out.exists()


@pytest.mark.parametrize("alignment", ["change_active", "omission_active", "laser_pulse_high"])
def test_the_rates_of_a_card_are_the_computed_ones(tables: Any, unit_id: int, alignment: str) -> None:
    """The card counts them from the spikes."""
    from schemas import psth
    from schemas.figures import unit_card

    row = (psth.Psth.Unit & {"unit_id": unit_id, "alignment": alignment}).fetch1()
    responses = unit_card(unit_id, alignment=alignment, smoothing_s=0.0).responses
    np.testing.assert_allclose(responses.rates[0].rate_hz, row["psth_rate"], rtol=1e-5)
    np.testing.assert_allclose(responses.rates[0].sem_hz, row["psth_sem"], rtol=1e-5)
    n_events = (psth.Psth & {"session_id": row["session_id"], "alignment": alignment}).fetch1("n_events")
    assert responses.rates[0].n_events == n_events


def test_the_raster_holds_each_change_once_and_the_spikes_that_the_rates_count(
    tables: Any, unit_id: int
) -> None:
    from schemas.figures import unit_card

    responses = unit_card(unit_id, smoothing_s=0.0).responses
    in_task = [rows for rows in responses.rows if rows.name != "passive"]
    active, passive = responses.rates
    assert sum(rows.n_events for rows in in_task) == active.n_events > 0
    assert passive.n_events > 0
    bin_s = np.diff(responses.edges_s)[0]
    n_spikes = sum(rows.time_s.size for rows in in_task)
    assert n_spikes == pytest.approx(active.rate_hz.sum() * bin_s * active.n_events)


def test_the_hierarchy_holds_the_responsive_units_of_the_sessions(
    tables: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No unit of these short sessions responds significantly: here all are taken to, with an index."""
    from schemas import responses
    from schemas.figures import change_hierarchy, hierarchy

    taken = {hierarchy.RESPONDS: True, hierarchy.MODULATIONS[1]: 0.25}
    monkeypatch.setattr(hierarchy, "fetch_frame", lambda query: fetch_frame(query).assign(**taken))
    data = change_hierarchy(criteria="all", min_units=1)
    rows = responses.ChangeResponse.Unit.proj("change_latency").to_dicts()
    assert (data.n_responsive.sum(), data.n_sessions, data.left_out) == (len(rows), 2, {})
    assert data.modulation_passive.n_units.sum() == len(rows)
    known = [row for row in rows if row["change_latency"] is not None]
    assert data.latency_s.n_units.sum() == len(known)
    out = tmp_path / "hierarchy.pdf"
    done = tables.call("plot", "hierarchy", "--filter", "all", "--min-units", 1, "--out", out)
    assert done.stdout == f"{out}: {len(data.structures)} structures, 2 sessions.\n"
    assert out.read_bytes().startswith(b"%PDF")


def test_units_of_one_experience_level_are_those_of_its_sessions(
    populated_corpus: Any, tmp_path: Path
) -> None:
    from schemas import responses, session
    from schemas.figures import change_hierarchy

    populated_corpus.connect()
    novel = session.Session & {"experience_level": "Novel"}
    excited = responses.ChangeResponse.Unit & novel.proj() & "change_siegle_2021_responsive"
    found = excited.to_arrays("unit_id")
    data = change_hierarchy(experience_level="Novel", criteria="all", min_units=1)
    assert data.n_responsive.sum() == len(found) > 0
    assert data.n_sessions == len(novel) == 1


def test_the_optotagging_holds_all_units_with_their_labels(
    tables: Any, session_id: int, tmp_path: Path
) -> None:
    from schemas import optotagging, psth
    from schemas.figures import laser_evidence

    key = {"session_id": session_id, "optotag_method": "salt"}
    master = (optotagging.OptotagLabel & key).fetch1()
    data = laser_evidence(session_id, method="salt")
    n_tagged, n_passing = (master[name] or 0 for name in ("n_tagged", "n_passing"))
    assert data.label.count("tagged") == n_tagged
    assert data.passes.sum() == n_passing
    rows = (psth.Psth.Unit & {"session_id": session_id, "alignment": "laser_pulse_high"}).to_dicts(
        order_by="unit_id"
    )
    np.testing.assert_allclose(data.rate_hz, np.stack([row["psth_rate"] for row in rows]))
    tested = set() if master["n_passing"] is None else {session_id}
    assert {number for line in data.lines for number in line.session_id} >= tested
    out = tmp_path / "optotagging.png"
    done = tables.call("plot", "optotagging", "--session", session_id, "--method", "salt", "--out", out)
    expected = f"{out}: {len(rows)} units, {n_tagged} tagged, {n_passing} passing.\n"
    assert done.stdout == expected
    assert out.stat().st_size > 10_000


def test_rates_around_the_laser_are_counted_where_they_are_not_computed(tables: Any, session_id: int) -> None:
    import pandas as pd

    from schemas import psth
    from schemas.figures.optotagging import ALIGNMENT, rates_of_units

    rows = (psth.Psth.Unit & {"session_id": session_id, "alignment": ALIGNMENT}).to_dicts(order_by="unit_id")
    unit_ids = pd.Series([row["unit_id"] for row in rows])
    settings = psth.Alignment.get(ALIGNMENT)
    key = {name: rows[0][name] for name in ("mouse_id", "session_id")}
    counted = rates_of_units(key, unit_ids, settings, alignment="of_no_computed_rates")
    np.testing.assert_allclose(counted, rates_of_units(key, unit_ids, settings), rtol=1e-5)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("unit", "--unit", 1), "There is no unit 1. The nearest are: "),
        (("optotagging", "--session", 1), "Session 1 is not registered"),
        (("hierarchy", "--experience", "Novl"), "Near to it: Novel."),
        (("hierarchy", "--filter", "benet"), "There are: all, bennett_2025"),
        (("hierarchy", "--min-units", 100_000), "No structure has 100000 units that changes excite"),
    ],
)
def test_what_there_is_not_is_answered_with_what_there_is(
    tables: Any, tmp_path: Path, words: tuple[Any, ...], message: str
) -> None:
    done = tables.call("plot", *words, "--out", tmp_path / "figure.png", check=False)
    assert done.returncode == 1
    assert message in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (("unit", "--alignment", "change_activ"), ("change_active", "omission_active")),
        (("optotagging", "--method", "bennet"), ("bennett_2025", "salt")),
    ],
)
def test_a_misspelt_name_is_answered_with_the_names(
    tables: Any, session_id: int, unit_id: int, tmp_path: Path, words: tuple[str, ...], names: tuple[str, ...]
) -> None:
    which = ("--unit", unit_id) if words[0] == "unit" else ("--session", session_id)
    done = tables.call("plot", *words, *which, "--out", tmp_path / "figure.png", check=False)
    assert done.returncode == 1
    assert all(name in done.stderr for name in names)


def test_without_units_it_says_what_to_do(empty_database: Any, tmp_path: Path) -> None:
    out = tmp_path / "figure.png"
    no_unit = empty_database.call("plot", "unit", "--unit", 1, "--out", out, check=False)
    assert "There is no unit 1. There is none yet. Run: vbn populate" in no_unit.stderr
    nothing = empty_database.call("plot", "hierarchy", "--out", out, check=False)
    assert nothing.returncode == 1
    assert "There are no such units." in nothing.stderr
