"""Units, intervals and tables as other tools have them, against what the database holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from schemas import behavior, ecephys, queries, responses, session, stimulus
from schemas.rows.fetch import fetch_frame
from vbn.errors import NotFoundError, SettingError
from vbn.interop.optional import OLDEST

pytestmark = pytest.mark.usefixtures("synthetic_database")


@pytest.fixture
def session_id(synthetic_database: Any) -> int:
    """A novel session."""
    return int((session.Session & {"experience_level": "Novel"}).fetch1("session_id"))


@pytest.fixture
def structure(session_id: int) -> str:
    """The structure with most units of that session."""
    return str(
        queries.responses_table(queries.units(session_id=session_id), [])["structure_acronym"].mode()[0]
    )


def test_a_ts_group_has_the_spikes_and_what_is_known_of_the_units(session_id: int, structure: str) -> None:
    pytest.importorskip("pynapple")
    units = queries.units(structure=structure, session_id=session_id, where="snr > 1")
    group = queries.to_pynapple(units, ["cell_class", "change_is_responsive", "change_modulation_active"])
    times = queries.spike_times(units)
    assert sorted(group.keys()) == sorted(times)
    for unit_id, train in group.items():
        np.testing.assert_allclose(train.t, times[unit_id], rtol=0, atol=5e-10)  # pynapple has nanoseconds
    table = queries.responses_table(units, ["ChangeResponse"]).set_index("unit_id")
    assert group["snr"].to_dict() == table["snr"].to_dict()
    modulation = table["change_modulation_active"].astype(float)
    np.testing.assert_array_equal(group["change_modulation_active"].loc[modulation.index], modulation)
    chosen = group[group["change_is_responsive"] == True]  # noqa: E712 - as people type it
    assert sorted(chosen.keys()) == sorted(
        queries.units(
            structure=structure, session_id=session_id, where=["snr > 1", "change_is_responsive = 1"]
        ).to_arrays("unit_id")
    )
    duration = float(group.time_support.tot_length())
    np.testing.assert_allclose(group["rate"] * duration, group["n_spikes"])  # no spike is outside
    assert duration == pytest.approx(
        float(np.median(table["n_spikes"] / table["unit_firing_rate"])), rel=0.01
    )


def test_one_group_of_spikes_has_one_clock(session_id: int) -> None:
    pytest.importorskip("pynapple")
    message = r"to_pynapple is of one session at a time.*of 2: restrict them, for example: & {'session_id': "
    with pytest.raises(SettingError, match=message):
        queries.to_pynapple(queries.units())
    with pytest.raises(SettingError, match="to_intervals is of one session at a time"):
        queries.to_intervals(queries.changes())
    with pytest.raises(NotFoundError, match="There are no such units"):
        queries.to_pynapple(queries.units(where="snr > 1e9"))
    with pytest.raises(SettingError, match=r"There is no column 'cell_clas'.* Near to it: cell_class"):
        queries.to_pynapple(queries.units(session_id=session_id), ["cell_clas"])


def test_trials_presentations_and_blocks_are_all_there_with_what_is_known_of_them(session_id: int) -> None:
    pytest.importorskip("pynapple")
    of_session = {"session_id": session_id}
    found = queries.session_intervals(session_id)
    tables = {
        "trials": (behavior.ChangeDetection.Trial & of_session, "trial_start_time", "trial_id"),
        "presentations": (
            stimulus.Stimulus.Presentation & of_session, "presentation_start_time", "presentation_id",
        ),
        "blocks": (stimulus.Stimulus.Block & of_session, "block_start_time", "block"),
    }  # fmt: skip
    for name, (query, start, number) in tables.items():
        rows = fetch_frame(query)
        assert found[name][number].tolist() == rows[number].tolist(), name
        np.testing.assert_allclose(found[name].start, rows[start], rtol=0, atol=5e-10)
    changes = queries.to_intervals(queries.changes(session_id, block="active"))
    trials = found["trials"]
    assert changes["trial_id"].tolist() == trials[trials["trial_is_change"]]["trial_id"].tolist() != []
    assert changes["hit"].tolist() == trials[trials["trial_is_change"]]["hit"].tolist()


def test_an_omission_without_an_end_lasts_as_long_as_a_flash(session_id: int) -> None:
    pytest.importorskip("pynapple")
    omissions = queries.omissions(session_id, block="active")
    ends = omissions.to_arrays("presentation_end_time").astype(float)
    found = queries.to_intervals(omissions)
    assert len(found) == len(ends) > 0
    unknown = np.isnan(ends)
    lengths = np.asarray(found.end - found.start)
    np.testing.assert_allclose(lengths[unknown], 0.25, rtol=0, atol=1e-6)
    longer = queries.to_intervals(omissions, without_end_s=0.4)
    np.testing.assert_allclose(np.asarray(longer.end - longer.start)[unknown], 0.4, rtol=0, atol=1e-6)


def test_rows_that_are_no_intervals_are_refused() -> None:
    with pytest.raises(
        SettingError, match="These rows have no begin and end, such as presentation_start_time"
    ):
        queries.to_intervals(queries.units())


def test_nemos_and_perievent_functions_take_them_as_they_are(session_id: int, structure: str) -> None:
    nap = pytest.importorskip("pynapple")
    group = queries.to_pynapple(queries.units(structure=structure, session_id=session_id))
    active = queries.to_intervals(
        stimulus.Stimulus.Block & {"session_id": session_id, "block_is_active": True}
    )
    counts = group.restrict(active).count(0.05, ep=active)  # the predictors of a GLM
    expected = sum(
        int(((times >= active.start[0]) & (times <= active.end[0])).sum())
        for times in queries.spike_times(queries.units(structure=structure, session_id=session_id)).values()
    )
    assert abs(int(counts.values.sum()) - expected) <= len(group)  # the last bin may be cut
    flashes = queries.to_intervals(queries.flashes(session_id, block="active"))
    around = nap.compute_perievent(group[next(iter(group.keys()))], nap.Ts(flashes.start), (-0.5, 1.0))
    assert len(around) == len(flashes)


def test_a_sorting_of_spikeinterface_has_spikes_and_properties(session_id: int, structure: str) -> None:
    pytest.importorskip("spikeinterface.core")
    units = queries.units(structure=structure, session_id=session_id)
    sorting = queries.to_spikeinterface(units, ["cell_class"])
    times = queries.spike_times(units)
    assert sorted(sorting.unit_ids.tolist()) == sorted(times)
    for unit_id in sorting.unit_ids:
        found = sorting.get_unit_spike_train(unit_id, return_times=True)
        np.testing.assert_allclose(found, times[int(unit_id)], rtol=0, atol=0.51 / 30_000)
    classes = dict(zip(sorting.unit_ids.tolist(), sorting.get_property("cell_class").tolist(), strict=True))
    stored = fetch_frame((responses.CellClass.Unit & {"optotag_method": "bennett_2025"}) * units.proj())
    assert classes == dict(stored[["unit_id", "cell_class"]].itertuples(index=False, name=None))


def frames() -> dict[str, Any]:
    """Every shared query that fetches a frame or can be fetched as one."""
    units = queries.units()
    return {
        "units": units,
        "sessions": queries.sessions(),
        "changes": queries.changes(),
        "psth": ecephys.Recording.Unit.proj("peak_waveform", "snr"),
        "responses_table": queries.responses_table(units),
        "trial_table": queries.trial_table(),
        "flash_table": queries.flash_table(),
        "columns": queries.columns(),
        "contrast": queries.contrast(units, "snr", "experience_level"),
    }


def test_every_frame_and_query_goes_to_arrow_and_polars_with_its_types() -> None:
    pl = pytest.importorskip("polars")
    for name, rows in frames().items():
        table = queries.to_arrow(rows)
        expected = rows if isinstance(rows, pd.DataFrame) else fetch_frame(rows, nullable_integers=True)
        assert table.num_rows == len(expected) > 0, name
        frame = queries.to_polars(rows)
        assert frame.columns == [str(column) for column in expected]
        for column, values in expected.items():
            nulls = int(values.isna().sum())
            assert frame[column].null_count() == nulls, (name, column)
            if values.dtype in ("Int64", "int64"):
                assert frame[column].dtype.is_integer(), (name, column)
                assert frame[column].drop_nulls().to_list() == values.dropna().tolist()
            if values.dtype in ("boolean", "bool"):
                assert frame[column].dtype == pl.Boolean, (name, column)
    nothing = queries.to_polars(queries.units(where="snr > 1e9"))
    assert (nothing.height, nothing.schema["unit_id"], nothing.schema["snr"]) == (0, pl.Int64, pl.Float64)


def test_fields_of_arrow_have_the_comments_of_the_attributes() -> None:
    field = queries.to_arrow(queries.units(where="snr > 4")).schema.field("snr")
    assert b"signal to noise" in field.metadata[b"comment"]


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_matrices_are_selected_by_their_ids_and_come_back_from_files_equal(
    suffix: str, session_id: int, tmp_path: Path
) -> None:
    library = {".nc": "h5netcdf", ".zarr": "zarr"}[suffix]
    pytest.importorskip(library, minversion=OLDEST[library])
    units = queries.units(session_id=session_id)
    flashes = queries.flashes(session_id, block="active")
    matrices = {
        "rates": queries.psth_matrix(units, "change_active"),
        "counts": queries.presentation_counts(session_id),
        "tensor": queries.spike_tensor(units & "snr > 1", flashes),
    }
    for name, matrix in matrices.items():
        unit_id = int(matrix["unit_id"][0])
        np.testing.assert_array_equal(matrix.sel(unit=unit_id), matrix[0])
        if "presentation" in matrix.dims:
            number = int(matrix["presentation_id"][0])
            np.testing.assert_array_equal(matrix.sel(presentation=number), matrix[:, 0])
        queries.save_matrix(matrix, tmp_path / f"{name}{suffix}")
        found = queries.open_matrix(tmp_path / f"{name}{suffix}")
        assert found.identical(matrix), name
        assert {each: str(coord.dtype) for each, coord in found.coords.items()} == {
            each: str(coord.dtype) for each, coord in matrix.coords.items()
        }
