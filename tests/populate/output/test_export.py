"""``vbn export``: what comes out of the files is what is in the database, to the last digit."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest

# Blobs; matrices; times, JSON and NULL; flags and integers with NULL; NULL blobs; the store's arrays.
TABLES = (
    "Psth.Unit", "ReceptiveField.Unit", "Session", "Stimulus.Presentation", "RigGeometry", "Running",
    "UnitCriteria",
)  # fmt: skip


@pytest.fixture
def export(populated_synthetic: Any, tmp_path: Path) -> Callable[..., Path]:
    """``export("Table.Part", ".csv", *options)`` writes a table to a file."""

    def export(table: str, suffix: str, *options: object) -> Path:
        out = tmp_path / "new" / f"{table}{suffix}"
        populated_synthetic.call("export", table, "--out", out, *options)
        return out

    return export


def rows_of(database: Any, table: str) -> list[dict[str, Any]]:
    """Return a table's rows as DataJoint fetches them."""
    from populate.output.explain import find_table

    database.connect()
    return [dict(row) for row in find_table(table)().to_dicts(order_by="KEY")]


def as_exported(value: Any) -> Any:
    """Return a value of the database as it is to come out of a file: comparable with ``==``."""
    if isinstance(value, np.ndarray):
        return (value.shape, value.tobytes())
    if isinstance(value, dict | list):
        return json.dumps(value, sort_keys=True)
    if hasattr(value, "path"):
        return json.dumps({"path": value.path, "shape": list(value.shape), "dtype": str(value.dtype)})
    return pd.Timestamp(value, tz="UTC") if hasattr(value, "year") else value


def as_read(value: Any) -> Any:
    """Return a value that pandas read, in the same form."""
    if isinstance(value, np.ndarray):
        array = np.stack(value) if value.dtype == object else value
        return (array.shape, array.tobytes())
    if value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and np.isnan(value)):
        return None
    return value.item() if isinstance(value, np.generic) else value


@pytest.mark.parametrize("table", TABLES)
def test_pandas_reads_from_parquet_what_datajoint_fetches(
    table: str, export: Callable[..., Path], populated_synthetic: Any
) -> None:
    frame = pd.read_parquet(export(table, ".parquet"))
    expected = rows_of(populated_synthetic, table)
    assert len(expected) > 0
    assert list(frame) == list(expected[0])
    for name in frame:
        flag = frame[name].dtype in (bool, "boolean")
        wanted = [as_exported(row[name]) for row in expected]
        assert [as_read(value) for value in frame[name]] == [
            bool(value) if flag and value is not None else value for value in wanted
        ], name


def test_types_are_kept_where_values_are_missing(export: Callable[..., Path]) -> None:
    frame = pd.read_parquet(export("Stimulus.Presentation", ".parquet"))
    wanted = {"trial_id": "Int32", "start_frame": "Int32", "omitted": "boolean", "active": "bool"}
    wanted |= {"session_id": "int64", "orientation": "float64"}
    assert {name: str(frame[name].dtype) for name in wanted} == wanted
    assert frame["trial_id"].isna().any()
    assert frame["omitted"].isna().any()


@pytest.mark.parametrize("table", ["Psth.Unit", "Session", "Stimulus.Presentation"])
def test_csv_has_the_same_values_as_parquet(table: str, export: Callable[..., Path]) -> None:
    parquet = pd.read_parquet(export(table, ".parquet"))
    text = pd.read_csv(export(table, ".csv"), dtype=str, keep_default_na=False)
    assert list(text) == list(parquet)
    for name, column in parquet.items():
        for value, written in zip(column, text[name], strict=True):
            if isinstance(value, np.ndarray):
                found = np.array(json.loads(written), dtype=value.dtype)
                np.testing.assert_array_equal(found, value)
            elif as_read(value) is None:
                assert written == ""
            elif isinstance(value, bool | np.bool_):
                assert written == str(value).lower()
            else:
                read: Any = pd.Timestamp if isinstance(value, pd.Timestamp) else type(value)
                assert read(written) == value


def test_a_part_is_chosen_by_conditions_and_columns(
    export: Callable[..., Path], populated_synthetic: Any
) -> None:
    conditions = ("--where", "alignment = 'change_active'", "--where", "baseline_rate > 2")
    out = export("Psth.Unit", ".csv", *conditions, "--columns", "peak_rate, unit_id")
    expected = [
        (row["peak_rate"], row["unit_id"])
        for row in rows_of(populated_synthetic, "Psth.Unit")
        if row["alignment"] == "change_active" and row["baseline_rate"] > 2
    ]
    assert list(pd.read_csv(out).itertuples(index=False, name=None)) == expected
    assert len(expected) > 0


def test_options_may_stand_before_the_table(populated_synthetic: Any, tmp_path: Path) -> None:
    out = tmp_path / "mice.csv"
    done = populated_synthetic.call("export", "--out", out, "Mouse")
    assert done.stdout == f"{out}: 1 row of Mouse.\n"
    assert len(pd.read_csv(out)) == 1


def test_the_file_says_what_it_is(export: Callable[..., Path], populated_synthetic: Any) -> None:
    from pyarrow import parquet

    import vbn

    layout = parquet.read_schema(export("Psth.Unit", ".parquet", "--where", "peak_rate > 1"))
    about = {name.decode(): text.decode() for name, text in layout.metadata.items()}
    assert about["table"] == "Psth.Unit"
    assert about["meaning"] == "Mean response of one unit"
    assert about["where"] == "peak_rate > 1"
    assert about["database_prefix"] == populated_synthetic.prefix
    assert about["package"] == f"vbn-datajoint {vbn.__version__}"
    comments = json.loads(about["columns"])
    assert comments["peak_latency"] == "(s) centre of that bin"
    assert comments["unit_id"] == "id, unique over the data set"  # of the table that it refers to
    assert layout.field("peak_latency").metadata[b"comment"] == b"(s) centre of that bin"


def test_arrays_of_the_store_are_written_where_they_are_asked_for(
    export: Callable[..., Path], populated_synthetic: Any
) -> None:
    frame = pd.read_parquet(export("Running", ".parquet", "--arrays"))
    expected = rows_of(populated_synthetic, "Running")
    for read, row in zip(frame["running_speed"], expected, strict=True):
        np.testing.assert_array_equal(read, row["running_speed"].load())
        assert read.dtype == np.float64


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("Psth.Units", "--out", "a.csv"), "There is no table 'Psth.Units'. Near to it: Psth.Unit"),
        (("Recording.Unit", "--out", "a.csv", "--where", "snrr > 1"), "no attribute 'snrr' here. Near to it"),
        (("Recording.Unit", "--out", "a.csv", "--columns", "snrr"), "no attribute 'snrr'. Near to it: snr"),
        (
            ("Psth.Unit", "--out", "a.csv", "--where", "alignment = 'change_activ'"),
            "Nothing has alignment 'change_activ'. Near to it: change_active",
        ),
        (("Mouse", "--out", "a.xlsx"), "'a.xlsx' must end in .csv or .parquet."),
        (("Running", "--out", "a.csv", "--arrays"), "name a .parquet file"),
        (("nwb", "--session", "12", "--out", "a.nwb"), "Session 12 is not registered."),
        (("nwb", "--session", "12", "--out", "a.h5"), "'a.h5' must end in .nwb."),
    ],
)  # fmt: skip
def test_what_is_misspelt_is_named_with_the_nearest_and_nothing_is_written(
    arguments: tuple[str, ...],
    message: str,
    populated_synthetic: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    done = populated_synthetic.call("export", *arguments, check=False)
    assert done.returncode == 1
    assert message in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.files
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_an_interruption_leaves_the_file_as_it_was(
    suffix: str, populated_synthetic: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows come in pieces of which the third is interrupted, when two have been written."""
    from populate.output import export

    pieces: list[Any] = []

    def record_batch(*arguments: Any) -> Any:
        if len(pieces) == 2:
            raise KeyboardInterrupt
        pieces.append(real(*arguments))
        return pieces[-1]

    real = export.record_batch
    monkeypatch.setattr(export, "record_batch", record_batch)
    monkeypatch.setattr(export, "ROW_GROUP_BYTES", 1)
    monkeypatch.setattr("populate.admin.snapshot.ROWS_AT_A_TIME", 10)
    out = tmp_path / f"units{suffix}"
    out.write_text("before")
    done = populated_synthetic.call("export", "Psth.Unit", "--out", out, check=False)
    assert (done.returncode, len(pieces)) == (130, 2)
    assert out.read_text() == "before"
    assert list(tmp_path.iterdir()) == [out]


def test_many_pieces_make_the_same_table(
    export: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from pyarrow import parquet

    whole = pd.read_parquet(export("Psth.Unit", ".parquet"))
    monkeypatch.setattr("populate.output.export.ROW_GROUP_BYTES", 1)
    monkeypatch.setattr("populate.admin.snapshot.ROWS_AT_A_TIME", 7)
    out = export("Psth.Unit", ".parquet")
    assert parquet.ParquetFile(out).num_row_groups == -(-len(whole) // 7)
    pd.testing.assert_frame_equal(pd.read_parquet(out), whole)


@pytest.mark.files
def test_a_partitioned_table_is_one_table_to_duckdb(
    populated_synthetic: Any, export: Callable[..., Path], tmp_path: Path
) -> None:
    folder = tmp_path / "psth"
    words = ("export", "Psth.Unit", "--where", "alignment = 'change_active'", "--partition-by", "session_id")
    populated_synthetic.call(*words, "--columns", "unit_id,alignment", "--out", folder)
    whole = pd.read_parquet(export("Psth.Unit", ".parquet", "--where", "alignment = 'change_active'"))
    sessions = [f"session_id={number}" for number in sorted(set(whole["session_id"]))]
    assert sorted(path.name for path in folder.iterdir()) == sessions
    assert len(sessions) == 2
    query = (
        f"SELECT session_id, unit_id FROM read_parquet('{folder}/*/*.parquet') ORDER BY 2"  # by the folders
    )
    rows = duckdb.sql(query).fetchall()
    assert rows == list(
        whole.sort_values("unit_id")[["session_id", "unit_id"]].itertuples(index=False, name=None)
    )

    again = populated_synthetic.call(*words, "--out", folder, check=False)
    assert f"'{folder}' exists already. Remove it, or name another folder." in again.stderr
    wrong = populated_synthetic.call(*words[:-1], "peak_rate", "--out", tmp_path / "other", check=False)
    assert "is not in the primary key: partition by one of mouse_id, session_id," in wrong.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "psth"]


@pytest.mark.files
def test_more_partitions_than_open_files_make_the_same_table(
    populated_synthetic: Any, export: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the order of the key the alignments take turns, so that closed files are gone on with in another."""
    monkeypatch.setattr("populate.output.export.MOST_OPEN_FILES", 1)
    monkeypatch.setattr("populate.output.export.ROW_GROUP_BYTES", 1)
    monkeypatch.setattr("populate.admin.snapshot.ROWS_AT_A_TIME", 7)
    folder = tmp_path / "psth"
    words = ("export", "Psth.Unit", "--columns", "unit_id,alignment")
    populated_synthetic.call(*words, "--partition-by", "alignment", "--out", folder)
    assert len(list(folder.glob("alignment=change_active/*.parquet"))) > 1
    found = duckdb.sql(f"SELECT unit_id, alignment FROM read_parquet('{folder}/*/*.parquet')").fetchall()
    whole = pd.read_parquet(export("Psth.Unit", ".parquet", "--columns", "unit_id,alignment"))
    assert sorted(found) == sorted(whole[["unit_id", "alignment"]].itertuples(index=False, name=None))


def test_a_restriction_that_nothing_meets_gives_an_empty_table(export: Callable[..., Path]) -> None:
    frame = pd.read_parquet(export("Psth.Unit", ".parquet", "--where", "peak_rate < 0"))
    assert frame.empty
    assert frame["unit_id"].dtype == np.int64


@pytest.fixture(scope="session")
def session_id(populated_synthetic: Any) -> int:
    return int(rows_of(populated_synthetic, "Session")[0]["session_id"])


@pytest.fixture(scope="session")
def derived_file(populated_synthetic: Any, session_id: int, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All results of a session. For reading only."""
    out = tmp_path_factory.mktemp("derived") / "results.nwb"
    populated_synthetic.call("export", "nwb", "--session", session_id, "--out", out)
    return out


@pytest.fixture(scope="session")
def derived(derived_file: Path) -> Iterator[Any]:
    """The same, as pynwb reads it, which takes seconds."""
    from pynwb import NWBHDF5IO

    with NWBHDF5IO(derived_file, "r") as file:
        yield file.read()


def serious_problems(path: Path) -> list[str]:
    """Return what pynwb's validation and nwbinspector find, from violations of best practice upwards."""
    import nwbinspector
    import pynwb

    found = nwbinspector.inspect_nwbfile(
        nwbfile_path=path, importance_threshold=nwbinspector.Importance.BEST_PRACTICE_VIOLATION
    )
    return [*map(str, pynwb.validate(path=str(path))), *map(str, found)]


@pytest.mark.files
def test_the_derived_file_is_valid(derived_file: Path) -> None:
    assert serious_problems(derived_file) == []


def test_the_derived_file_holds_the_session_and_its_source(
    derived: Any, populated_synthetic: Any, session_id: int
) -> None:
    session, mouse, file = (rows_of(populated_synthetic, name)[0] for name in ("Session", "Mouse", "NwbFile"))
    assert derived.session_id == str(session_id)
    assert derived.session_start_time == pd.Timestamp(session["date_of_acquisition"], tz="UTC")
    subject = derived.subject
    assert (subject.subject_id, subject.sex, subject.genotype) == (
        mouse["mouse_id"],
        mouse["sex"],
        mouse["genotype"],
    )
    assert subject.age == f"P{session['age_in_days']}D"
    source = derived.analysis["source_file"].to_dataframe().iloc[0]
    assert source["file_name"] == Path(file["relative_path"]).name
    assert (source["size_bytes"], source["blake2b"]) == (file["size_bytes"], file["blake2b"])
    made_with = derived.analysis["made_with"].to_dataframe()
    assert set(made_with["source_hash"]) == {file["blake2b"]}
    parameters = derived.analysis["parameter_sets"].to_dataframe().set_index(["parameter_set", "parameter"])
    assert json.loads(parameters.loc[("change_active", "window_stop"), "value"]) == 1.5


@pytest.mark.files
@pytest.mark.parametrize(
    ("table", "name", "condition"),
    [
        ("Psth.Unit", "psth_unit_change_active", {"alignment": "change_active"}),
        ("ChangeResponse.Unit", "change_response_unit", {}),
        ("OptotagLabel.Unit", "optotag_label_unit", {}),
        ("CellClass.Unit", "cell_class_unit", {}),
        ("ReceptiveField.Unit", "receptive_field_unit_allensdk", {}),
        ("Performance", "performance", {}),
        ("RollingPerformance.Trial", "rolling_performance_trial", {}),
        ("TrialResponse.Window", "trial_response_window_active", {"trial_response_params": "active"}),
    ],
)
def test_pynwb_reads_the_results_that_are_in_the_database(
    table: str,
    name: str,
    condition: dict[str, str],
    derived: Any,
    populated_synthetic: Any,
    session_id: int,
) -> None:
    wanted = {"session_id": session_id, **condition}
    expected = [row for row in rows_of(populated_synthetic, table) if wanted.items() <= row.items()]
    place = next(module for module in derived.processing.values() if name in module.data_interfaces)
    frame = place[name].to_dataframe()
    assert place[name]["unit_id" if "unit_id" in frame else frame.columns[0]].description
    assert len(frame) == len(expected) > 0
    for column in frame:
        for read, row in zip(frame[column], expected, strict=True):
            value = row[column].load() if hasattr(row[column], "load") else row[column]
            missing = "" if isinstance(read, str) else np.nan
            np.testing.assert_array_equal(read, missing if value is None else value, column)


@pytest.mark.files
def test_rows_are_joined_by_the_ids_of_units_and_trials(derived: Any, populated_synthetic: Any) -> None:
    ecephys = derived.processing["ecephys"]
    units = derived.units.to_dataframe()
    responses = ecephys["psth_unit_change_active"].to_dataframe()
    assert set(responses.index) == set(units.index) == set(units["unit_id"])
    trials = derived.trials.to_dataframe()
    rolling = derived.processing["behavior"]["rolling_performance_trial"].to_dataframe()
    assert set(rolling.index) == set(trials.index)
    bins = derived.analysis["time_axes"].to_dataframe().set_index("alignment")["bin_center"]["change_active"]
    assert responses["psth_rate"].iloc[0].shape == bins.shape
    np.testing.assert_allclose(bins[[0, -1]], [-0.995, 1.495])
    first = rows_of(populated_synthetic, "ChangeDetection.Trial")[0]
    assert trials.loc[first["trial_id"], "start_time"] == first["trial_start_time"]


@pytest.mark.files
def test_units_and_trials_are_where_other_tools_look_for_them(
    derived_file: Path, populated_synthetic: Any, session_id: int
) -> None:
    """Neurosift shows PSTHs of a table of the type Units beside one of the type TimeIntervals."""
    import h5py

    from schemas import queries

    populated_synthetic.connect()
    expected = queries.spike_times(queries.units(session_id=session_id))
    with h5py.File(derived_file) as file:
        assert file["units"].attrs["neurodata_type"] == "Units"
        assert file["intervals/trials"].attrs["neurodata_type"] == "TimeIntervals"
        assert {"start_time", "stop_time"} <= set(file["intervals/trials"])
        assert file["units/spike_times"].attrs["resolution"] == 1 / 30_000  # SpikeInterface's sampling rate
        ends = file["units/spike_times_index"][:]
        times = np.split(file["units/spike_times"][:], ends[:-1])
        assert file["units/id"][:].tolist() == list(expected)
    for unit_id, found in zip(expected, times, strict=True):
        np.testing.assert_array_equal(found, expected[unit_id])


@pytest.mark.slow
@pytest.mark.files
def test_pynapple_opens_the_derived_file(
    derived_file: Path, populated_synthetic: Any, session_id: int
) -> None:
    nap = pytest.importorskip("pynapple")
    from schemas import queries

    populated_synthetic.connect()
    units = queries.units(session_id=session_id)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pynapple and pynwb, about each other
        found = nap.load_file(str(derived_file))
        group, trials, rates = found["units"], found["trials"], found["psth_change_active"]
        matrix = queries.psth_matrix(units, "change_active").sel(unit=list(group.keys()))
        np.testing.assert_array_equal(rates.values, matrix.T)
        np.testing.assert_allclose(rates.t, matrix["time"], rtol=0, atol=1e-9)
    assert sorted(group.keys()) == sorted(units.to_arrays("unit_id"))
    assert set(group["structure_acronym"]) == set(matrix["structure_acronym"].fillna("").values)
    assert trials["hit"].tolist() == queries.trial_table(session_id)["hit"].tolist()


@pytest.mark.files
def test_spikeinterface_opens_the_derived_file(
    derived_file: Path, populated_synthetic: Any, session_id: int
) -> None:
    extractors = pytest.importorskip("spikeinterface.extractors")
    from schemas import queries

    populated_synthetic.connect()
    times = queries.spike_times(queries.units(session_id=session_id))
    sorting = extractors.read_nwb_sorting(derived_file)
    assert sorting.unit_ids.tolist() == list(times)
    for unit_id in times:
        found = sorting.get_unit_spike_train(unit_id, return_times=True)
        np.testing.assert_allclose(found, times[unit_id], rtol=0, atol=1 / 30_000)


@pytest.mark.files
def test_tables_of_the_derived_file_are_chosen(
    populated_synthetic: Any, session_id: int, tmp_path: Path
) -> None:
    from pynwb import NWBHDF5IO

    out = tmp_path / "few.nwb"
    populated_synthetic.call(
        "export",
        "nwb",
        "--session",
        session_id,
        "--out",
        out,
        "--no-spikes",
        "--tables",
        "CellClass,OptotagLabel.Unit",
    )
    with NWBHDF5IO(out, "r") as file:
        nwbfile = file.read()
        assert set(nwbfile.processing["ecephys"].data_interfaces) == {
            "cell_class", "cell_class_unit", "optotag_label_unit",
        }  # fmt: skip
        rows = rows_of(populated_synthetic, "Recording.Unit")
        assert len(nwbfile.units) == len([row for row in rows if row["session_id"] == session_id])
        assert "spike_times" not in nwbfile.units.colnames
    done = populated_synthetic.call(
        "export", "nwb", "--session", session_id, "--out", out, "--tables", "CellClas", check=False
    )
    assert "There is no computed table 'CellClas'. Near to it: CellClass" in done.stderr


@pytest.mark.files
def test_what_is_not_computed_is_told(populated_synthetic: Any, session_id: int, tmp_path: Path) -> None:
    """Within a transaction that is taken back, as others read the same database."""
    from schemas.performance import RollingPerformance

    connection = populated_synthetic.connect().connection
    command = ("export", "nwb", "--session", session_id, "--out", tmp_path / "few.nwb", "--tables")
    connection.start_transaction()
    try:
        RollingPerformance.Trial().delete_quick()
        RollingPerformance().delete_quick()
        nothing = populated_synthetic.call(*command, "RollingPerformance", check=False)
        few = populated_synthetic.call(*command, "RollingPerformance,Performance")
    finally:
        connection.cancel_transaction()
    assert nothing.stderr == (
        f"vbn: Session {session_id} has no results in RollingPerformance. Compute them with: vbn populate\n"
    )
    assert "not computed yet, and not in the file: RollingPerformance (1)." in few.stderr


@pytest.mark.files
def test_a_session_of_behavior_only_has_a_valid_file(populated_release: Any, tmp_path: Path) -> None:
    from pynwb import NWBHDF5IO

    files = rows_of(populated_release, "NwbFile")
    session_id = next(row["session_id"] for row in files if row["file_kind"] == "behavior_only")
    out = tmp_path / "behavior.nwb"
    done = populated_release.call("export", "nwb", "--session", session_id, "--out", out)
    assert done.stderr == ""
    assert serious_problems(out) == []
    with NWBHDF5IO(out, "r") as file:
        assert list(file.read().processing) == ["behavior"]
