"""What the options of ``vbn plot`` change: bins, groups, stretches, sizes, fonts, the table of numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

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
def most(tables: Any, session_id: int) -> dict[str, Any]:
    """The unit of a cortical structure with the most spikes: its id and structure."""
    from schemas import queries

    of_session = queries.units(session_id=session_id, group="visual cortex")
    row = of_session.to_dicts(order_by="n_spikes DESC", limit=1)[0]
    return {"unit": row["unit_id"], "structure": row["structure_acronym"]}


def rates(table: pd.DataFrame, panel: int, series: str) -> pd.DataFrame:
    chosen = (table["panel"] == panel) & (table["mark"] == "line") & (table["series"] == series)
    return table[chosen]


def test_the_table_of_a_card_has_the_rates_of_the_groups_in_the_bins_that_are_asked_for(
    tables: Any, most: dict[str, Any], tmp_path: Path
) -> None:
    from schemas.figures.unit_events import events_of_unit, unit_in_session
    from vbn.analysis.spikes.psth import TimeAxis
    from vbn.analysis.spikes.smoothing import smoothed_rate

    out, data = tmp_path / "unit.svg", tmp_path / "unit.csv"
    words = ("--group-by", "block", "--bin", 50, "--smooth", "30ms", "--out", out, "--data", data)
    done = tables.call("plot", "unit", "--unit", most["unit"], *words)
    unit, axis = unit_in_session(most["unit"]), TimeAxis(-1.0, 1.5, 0.05)
    groups = [each.spikes for each in events_of_unit(unit, "change", "block", (-1.2, 1.7), axis)]
    counts = ", ".join(f"{group.n_events} {group.name}" for group in groups)
    assert done.stdout == f"{out}, {data}: unit {most['unit']}, image changes: {counts}.\n"
    table = pd.read_csv(data, keep_default_na=False, na_values=[""])
    assert len(groups) > 1
    for group in groups:
        drawn = rates(table, 2, group.name)
        centers_s, expected = smoothed_rate(group.time_s, group.n_events, (-1.0, 1.5), 0.05, 0.03)
        np.testing.assert_allclose(drawn["x"], centers_s, rtol=1e-6)
        np.testing.assert_allclose(drawn["y"], expected, rtol=1e-6, atol=1e-9)
    assert "bins of 50 ms, smoothed (SD 30 ms)" in out.read_text(encoding="utf-8")


def test_by_default_rates_are_smoothed_as_suits_the_spikes_and_with_zero_not_at_all(
    tables: Any, most: dict[str, Any]
) -> None:
    from schemas.figures import unit_card

    plain = unit_card(most["unit"], smoothing_s=0.0).responses
    assert plain.smoothing_s == 0
    smooth = unit_card(most["unit"]).responses
    assert 0.0099 < smooth.smoothing_s < 0.0501
    assert np.ptp(np.diff(smooth.rates[0].rate_hz)) < np.ptp(np.diff(plain.rates[0].rate_hz))


def test_responses_of_a_structure_by_outcome_average_to_those_of_all_changes(
    tables: Any, session_id: int, most: dict[str, Any], tmp_path: Path
) -> None:
    out, data, all_data = tmp_path / "change.pdf", tmp_path / "change.csv", tmp_path / "all.csv"
    words = (
        "plot",
        "change-response",
        "--session",
        session_id,
        "--structure",
        most["structure"],
        "--all-units",
    )
    done = tables.call(*words, "--group-by", "outcome", "--out", out, "--data", data)
    tables.call(*words, "--out", tmp_path / "all.png", "--data", all_data)
    table, everything = pd.read_csv(data), pd.read_csv(all_data)
    images = table[table["mark"] == "image"]
    numbers = {
        name: int(number)
        for number, name in (
            part.split(" ", 1) for part in done.stdout[:-2].split(f"{most['structure']}, ")[1].split(", ")
        )
    }
    assert set(images["series"]) == set(numbers)
    total = sum(
        images.loc[images["series"] == name, "value"].to_numpy() * number for name, number in numbers.items()
    ) / sum(numbers.values())
    expected = everything[everything["mark"] == "image"]
    np.testing.assert_allclose(total, expected["value"], rtol=1e-5, atol=1e-6)
    first = images[images["series"] == next(iter(numbers))]
    assert first["row"].tolist() == expected["row"].tolist()  # ids of the units, from the surface down


def test_bins_and_smoothing_of_a_structure_keep_the_number_of_spikes(
    tables: Any, session_id: int, most: dict[str, Any], tmp_path: Path
) -> None:
    words = ("plot", "change-response", "--session", session_id, "--structure", most["structure"])
    means = {}
    for options in (("--bin", 10), ("--bin", 250), ("--smooth", 20)):
        data = tmp_path / f"{options[0]}{options[1]}.csv"
        tables.call(*words, *options, "--all-units", "--out", tmp_path / "change.png", "--data", data)
        table = pd.read_csv(data)
        means[options] = table.loc[table["mark"] == "image", "value"]
    plain, coarse, smooth = means.values()
    assert (len(plain), len(smooth)) == (25 * len(coarse), len(plain))
    assert coarse.mean() == pytest.approx(plain.mean())
    assert smooth.mean() == pytest.approx(plain.mean(), rel=0.1)
    assert smooth.std() < plain.std()


def test_a_stretch_has_the_flashes_licks_and_spikes_that_the_tables_have(
    tables: Any, session_id: int, tmp_path: Path
) -> None:
    from schemas import behavior, ecephys, queries

    out, data = tmp_path / "example.png", tmp_path / "example.csv"
    starts = queries.flashes(session_id, block="active").to_arrays("presentation_start_time")
    start, stop = round(starts.min() + 1, 2), round(starts.min() + 9, 2)
    words = ("--start", start, "--duration", stop - start, "--criteria", "all", "--out", out, "--data", data)
    done = tables.call("plot", "example", "--session", session_id, *words)
    trains = ecephys.spike_times(ecephys.Recording.Unit & {"session_id": session_id})
    within = {unit: times[(times >= start) & (times < stop)] for unit, times in trains.items()}
    n_spikes = sum(map(len, within.values()))
    assert done.stdout.startswith(f"{out}, {data}: {start:.1f} to {stop:.1f} s, ")
    assert done.stdout.endswith(f"{len(within)} units, {n_spikes} spikes.\n")
    table = pd.read_csv(data)
    for unit, times in within.items():
        np.testing.assert_allclose(table.loc[table["series"] == f"unit {unit}", "x"], times, rtol=1e-8)
    bars = table[(table["panel"] == 1) & (table["mark"] == "bar") & (table["series"] != "omitted")]
    seen = np.sort(starts[(starts > start - 0.25) & (starts < stop)])
    np.testing.assert_allclose(np.sort(bars["low"]), seen, rtol=1e-8)
    assert seen.size > 5
    licks = (behavior.Licks & {"session_id": session_id}).fetch1("lick_timestamps")
    drawn = table.loc[table["series"] == "lick", "x"]
    np.testing.assert_allclose(drawn, licks[(licks >= start) & (licks < stop)], rtol=1e-8)


def test_by_default_a_stretch_begins_before_the_first_change(
    tables: Any, session_id: int, most: dict[str, Any], tmp_path: Path
) -> None:
    from schemas import queries

    words = ("plot", "example", "--session", session_id, "--structure", most["structure"])
    done = tables.call(*words, "--criteria", "all", "--out", tmp_path / "example.svg")
    changes, flashes = (
        queries.changes(session_id, block="active"),
        queries.flashes(session_id, block="active"),
    )
    first, earliest = (query.to_arrays("presentation_start_time").min() for query in (changes, flashes))
    start = max(first - 5, earliest)
    assert f": {start:.1f} to {start + 30:.1f} s, " in done.stdout
    n_units = len(queries.units(session_id=session_id, structure=most["structure"]))
    assert f"{n_units} units, " in done.stdout


def test_a_grid_has_the_fields_of_the_units_with_the_least_p(
    tables: Any, session_id: int, most: dict[str, Any], tmp_path: Path
) -> None:
    from schemas import queries, responses
    from schemas.figures import structure_fields

    words = ("plot", "fields", "--session", session_id, "--structure", most["structure"], "--criteria", "all")
    out = tmp_path / "fields.pdf"
    done = tables.call(*words, "--at-most", 3, "--out", out)
    units = queries.units(session_id=session_id, structure=most["structure"])
    rows = (responses.ReceptiveField.Unit * units.proj("probe_vertical_position")).to_dicts()
    assert done.stdout.startswith(f"{out}: 3 of {len(rows)} units of {most['structure']}, ")
    data = structure_fields(session_id, most["structure"], at_most=3)
    known = {row["unit_id"]: row for row in rows}
    shown = sorted(known[unit]["rf_p_value"] for unit in data.unit_id)
    assert shown == sorted(row["rf_p_value"] for row in rows if row["rf_p_value"] is not None)[:3]
    n_gabors = (responses.ReceptiveField & {"session_id": session_id}).fetch1("n_rf_gabors")
    for unit, field in zip(data.unit_id, data.fields, strict=True):
        np.testing.assert_allclose(field.spikes_per_gabor, known[unit]["rf_map"] / (n_gabors / 81))


def test_size_font_and_style_are_those_that_are_asked_for_and_the_file_tells_the_command(
    tables: Any, session_id: int, tmp_path: Path
) -> None:
    sheet = tmp_path / "talk.mplstyle"
    sheet.write_text("axes.labelcolor: 123456\n", encoding="utf-8")
    out = tmp_path / "behavior.svg"
    words = ("plot", "behavior", "--session", session_id)
    tables.call(
        *words, "--size", "25.4x20cm", "--font-size", 15, "--font", "Arial", "--style", sheet, "--out", out
    )
    picture = out.read_text(encoding="utf-8")
    assert 'width="720pt" height="566.929134pt"' in picture
    assert "15px" in picture
    assert "'Arial'" in picture
    assert "#123456" in picture
    assert f"vbn plot behavior --session {session_id} --size 10x7.874 --font Arial" in picture
    assert "behavior.svg" not in picture
    tables.call(*words, "--size", "5x6", "--out", tmp_path / "small.png")
    with Image.open(tmp_path / "small.png") as small:
        assert small.size == (1000, 1200)
        assert small.info["Description"] == f"vbn plot behavior --session {session_id} --size 5x6"


def test_a_figure_without_room_for_its_texts_says_what_to_do(
    tables: Any, session_id: int, tmp_path: Path
) -> None:
    words = ("plot", "behavior", "--session", session_id, "--size", "1x1", "--font-size", 30)
    done = tables.call(*words, "--out", tmp_path / "tiny.png")
    assert done.stderr == (
        "vbn: The figure is too small for its texts. Take a greater --size or a smaller --font-size.\n"
    )
    refused = tables.call(*words, "--out", tmp_path / "tiny.png", "--data", tmp_path, check=False)
    assert "is a directory" in refused.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("unit", "--unit", "{unit}", "--group-by", "mood"), "no grouping 'mood'"),
        (("unit", "--unit", "{unit}", "--bin", "0"), "'--bin'"),
        (("unit", "--unit", "{unit}", "--bin", "nan"), "'--bin'"),
        (("unit", "--unit", "{unit}", "--bin", "2000"), "Bins of 2000 ms are too long"),
        (("unit", "--unit", "{unit}", "--smooth", "-1"), "'--smooth'"),
        (
            ("unit", "--unit", "{unit}", "--alignment", "laser_pulse_high", "--group-by", "outcome"),
            "Events 'laser_pulse' are not grouped by outcome. Their groupings: none.",
        ),
        (("behavior", "--session", "{session}", "--size", "wide"), "'wide' is no size. In inches: 7x5"),
        (("behavior", "--session", "{session}", "--size", "0x5"), "lie between 0 and 100 inches"),
        (("behavior", "--session", "{session}", "--style", "ggplt"), "Near to it: ggplot"),
        (("example", "--session", "{session}", "--start", "1e6"), "Nothing is shown from 1e+06 s on"),
        (("example", "--session", "{session}", "--start", "nan"), "Nothing is shown from nan s on"),
        (("example", "--session", "{session}", "--duration", "0"), "more than 0 and at most 600 s, got 0"),
        (
            ("example", "--session", "{session}", "--structure", "V1"),
            "has no units in 'V1'. It has units in: ",
        ),
        (("example", "--session", "{session}", "--criteria", "godo"), "no parameter set 'godo'"),
        (("fields", "--session", "{session}", "--structure", "VISpp"), "Near to it: VISp"),
        (("fields", "--session", "{session}", "--structure", "ACAd"), "has no units in 'ACAd'"),
    ],
)
def test_what_cannot_be_drawn_is_said_and_nothing_is_written(
    tables: Any, session_id: int, most: dict[str, Any], tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    asked = [word.format(unit=most["unit"], session=session_id) for word in words]
    files = ("--out", tmp_path / "figure.png", "--data", tmp_path / "figure.csv")
    done = tables.call("plot", *asked, *files, check=False)
    assert done.returncode in (1, 2)
    assert message in " ".join(done.stderr.split())
    assert not list(tmp_path.iterdir())
