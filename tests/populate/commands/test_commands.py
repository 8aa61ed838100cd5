"""The command line: deploy, populate, status, errors, retry, plot, synthetic, doctor and help."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HEAVY = ("datajoint", "pandas", "numpy", "pynwb", "h5py", "matplotlib", "psycopg2", "pymysql", "scipy")
COMMANDS = [
    "calibrate",
    "control",
    "demo",
    "deploy",
    "doctor",
    "down",
    "errors",
    "explain",
    "export",
    "optotagging",
    "params",
    "plot",
    "populate",
    "recompute",
    "register",
    "retry",
    "serve",
    "stale",
    "status",
    "synthetic",
    "up",
]
OF_GROUPS = [
    "export nwb",
    "optotagging report",
    "params add",
    "params list",
    "params show",
    "plot behavior",
    "plot brain",
    "plot change-response",
    "plot hierarchy",
    "plot novelty",
    "plot optotagging",
    "plot probe",
    "plot session",
    "plot training",
    "plot unit",
]
TABLES = [
    "Recording",
    "SpikeAmplitudes",
    "Lfp",
    "CurrentSourceDensity",
    "LfpPiece",
    "Layer4Sink",
    "ChannelLayer",
    "ChangeDetection",
    "Licks",
    "Running",
    "EyeTracking",
    "TaskParameters",
    "RigGeometry",
    "Stimulus",
    "OptoStimulation",
    "UnitSelection",
    "Psth",
    "AlignedBehavior",
    "PresentationCounts",
    "TrialResponse",
    "AreaPsth",
    "Optotagging",
    "OptotagLabel",
    "Performance",
    "RollingPerformance",
    "TaskStatistics",
    "LickBouts",
    "Engagement",
    "FlashBehavior",
    "ChangeResponse",
    "FirstSpikeLatency",
    "OmissionResponse",
    "ImageSelectivity",
    "Reliability",
    "Variability",
    "FullFieldResponse",
    "IntrinsicTimescale",
    "RunningModulation",
    "PupilModulation",
    "ReceptiveField",
    "PublishedResponse",
    "NoveltyResponse",
    "CellClass",
    "AreaSummary",
    "MouseNovelty",
    "MouseLayerNovelty",
    "EncodingModel",
    "EncodingNull",
    "Correlations",
    "Dimensionality",
    "FunctionalConnectivity",
    "Decoding",
    "TrialDecoding",
    "StrategyModel",
]
# There are no LFP files and no atlas, and nobody asked for amplitudes.
WITHOUT_ENTRIES = (
    "SpikeAmplitudes",
    "Lfp",
    "CurrentSourceDensity",
    "LfpPiece",
    "Layer4Sink",
    "ChannelLayer",
    "MouseLayerNovelty",
    "EncodingNull",
    "FunctionalConnectivity",
    "TrialDecoding",
)
# Parameter sets that come with the tables; populations are averaged with two of the five filters.
N_SETS = {
    "UnitSelection": 6,
    "Psth": 6,
    "AlignedBehavior": 6,
    "TrialResponse": 2,
    "AreaPsth": 6 * 2,
    "OptotagLabel": 7,
    "LickBouts": 2,
    "Engagement": 4,
    "FlashBehavior": 2,
    "PublishedResponse": 2,
    "IntrinsicTimescale": 2,
    "CellClass": 7,
    "AreaSummary": 2,
    "Correlations": 2,
    "Dimensionality": 2,
}
KNOWN_TABLES = f"There are: {', '.join(TABLES)}."


def n_entries(table: str) -> int:
    """Return the entries that a table has of two recordings."""
    if table in WITHOUT_ENTRIES:
        return 0
    return 2 * N_SETS.get(table, 1)


def in_new_process(script: str, folder: Path) -> str:
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=folder
    ).stdout


@pytest.mark.parametrize("command", ["", *COMMANDS, *OF_GROUPS])
def test_help_imports_nothing_heavy_and_ends_with_an_example(command: str, tmp_path: Path) -> None:
    words = [*command.split(), "--help"]
    script = (
        "import sys\nfrom populate.cli import main\n"
        f"try:\n    main({words!r})\nexcept SystemExit as end:\n    print('exit', end.code)\n"
        f"print('loaded', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    *help_lines, code, loaded = in_new_process(script, tmp_path).splitlines()
    assert (code, loaded) == ("exit 0", "loaded []")
    if command == "":
        assert all(any(line.strip().startswith(name) for line in help_lines) for name in COMMANDS)
    elif not any(each.startswith(f"{command} ") for each in OF_GROUPS):  # a group has no example
        assert any(line.strip().startswith(f"vbn {command}") for line in help_lines)


@pytest.mark.files
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("no-such-command",), "No such command 'no-such-command'"),
        (("populate", "--processes", "0"), "Invalid value for '--processes'"),
        (("populate", "--session", "abc"), "'abc' is not a valid integer"),
        (("register",), "Name files, or --release"),
    ],
)
def test_wrong_usage_has_exit_code_two(shared_database: Any, words: tuple[str, ...], message: str) -> None:
    done = shared_database.call(*words, check=False)
    assert done.returncode == 2
    assert message in done.stderr


@pytest.mark.slow
def test_deploying_again_changes_nothing(make_database: Callable[..., Any]) -> None:
    from schemas.bases.registry import tables as table_classes

    database = make_database(deployed=False)
    assert database.tables() == {}
    first = database.vbn("deploy")
    tables, contents = database.tables(), database.contents()
    assert f"{len(table_classes())} tables under '{database.prefix}...' are there" in first.stdout
    assert sorted(row[0] for row in contents["psth.#alignment"])  # the default parameter sets
    second = database.vbn("deploy")
    assert second.stdout == first.stdout
    assert first.stderr == second.stderr == ""
    assert (database.tables(), database.contents()) == (tables, contents)


def test_nothing_is_left_to_do_after_populate(populated_synthetic: Any) -> None:
    before = populated_synthetic.contents()
    done = populated_synthetic.call("populate")
    assert (done.stdout, done.stderr) == ("0 entries made, 0 failed.\n", "")
    assert populated_synthetic.json("populate") == {"done": 0, "failures": []}
    assert populated_synthetic.contents() == before


def test_status_counts_sessions_times_parameter_sets(populated_synthetic: Any) -> None:
    expected = {name: n_entries(name) for name in TABLES}
    states = populated_synthetic.json("status")
    assert [state["table"] for state in states] == TABLES
    for state in states:
        number = expected[state["table"]]
        assert state == {"table": state["table"], "done": number, "total": number, "reserved": 0, "errors": 0}


def test_status_is_a_table_for_people(populated_synthetic: Any) -> None:
    shown = populated_synthetic.vbn("status").stdout
    for name in TABLES:
        (line,) = [line for line in shown.splitlines() if line.startswith(f"{name} ")]
        number = str(n_entries(name))
        assert line.split() == [name, number, number, "0", "0"]


@pytest.mark.parametrize("option", ["--table", "--session"])
@pytest.mark.parametrize("command", ["populate", "retry"])
def test_an_unknown_name_is_refused_with_the_known_ones(
    shared_database: Any, command: str, option: str
) -> None:
    name = "Spikes" if option == "--table" else "12345"
    done = shared_database.call(command, option, name, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    expected = (
        f"No such table: Spikes. {KNOWN_TABLES}"
        if option == "--table"
        else "No such session is registered: 12345."
    )
    assert done.stderr.startswith(f"vbn: {expected}")
    assert len(done.stderr.splitlines()) == 1


def test_populate_takes_only_the_sessions_and_tables_that_are_named(
    database: Any, synthetic_files: list[Path]
) -> None:
    first, second = (int(path.stem.rsplit("_")[-1]) for path in synthetic_files)
    database.call("register", *synthetic_files)
    done = database.call("populate", "--session", second, "--table", "Licks", "--table", "Running")
    assert done.stdout == "2 entries made, 0 failed.\n"
    counts = {session_id: database.row_counts(session_id) for session_id in (first, second)}
    assert not any(counts[first].values())
    assert {name for name, number in counts[second].items() if number} == {
        "behavior._licks",
        "behavior._running",
    }
    states = {state["table"]: (state["done"], state["total"]) for state in database.json("status")}
    assert (states["Licks"], states["Recording"], states["Psth"]) == ((1, 2), (0, 2), (0, 12))


def test_a_table_whose_parents_are_missing_is_left_for_later(
    database: Any, synthetic_files: list[Path]
) -> None:
    database.call("register", synthetic_files[0])
    done = database.call("populate", "--table", "Psth")
    assert done.stdout == "0 entries made, 0 failed.\n"


def test_a_file_that_went_away_fails_in_words_and_is_made_after_retry(
    database: Any, damaged_copy: Callable[..., Path], populated_synthetic: Any
) -> None:
    """Register, lose the file, populate, look at the errors, bring the file back, retry, populate."""

    def whole(file: Any) -> None:
        """Leave the copy as it is."""

    path = damaged_copy(whole)
    session_id = int(path.stem.rsplit("_")[-1])
    database.call("register", path)
    away = path.rename(path.with_suffix(".away"))
    failed = database.call("populate", "--table", "Licks", "--table", "Running", check=False)
    problem = (
        f"{path}: No such file or directory. It was registered there: restore it, "
        "or set its new location (vbn roots, vbn relocate)."
    )
    assert failed.returncode == 1
    assert failed.stdout == "0 entries made, 2 failed.\n"
    assert failed.stderr.count(problem) == 2
    assert failed.stderr.splitlines()[-1] == "vbn: after fixing the cause: vbn retry && vbn populate"

    errors = database.json("errors")
    assert [(error["table"], error["key"]["session_id"], error["message"]) for error in errors] == [
        ("Licks", session_id, problem),
        ("Running", session_id, problem),
    ]
    assert all(error["host"] and error["failed_at"] for error in errors)
    shown = database.call("errors").stdout
    assert problem in shown
    assert shown.splitlines()[-1] == "2 failed. After fixing the cause: vbn retry && vbn populate"

    # A failed job is not tried again by itself, and retry forgets those that are named.
    assert database.json("populate", "--table", "Licks") == {"done": 0, "failures": []}
    assert database.json("retry", "--table", "Licks") == {"retried": 1}
    away.rename(path)
    assert database.json("populate", "--table", "Licks", "--table", "Running") == {"done": 1, "failures": []}
    assert database.json("retry", "--session", session_id) == {"retried": 1}
    assert database.json("populate", "--table", "Running") == {"done": 1, "failures": []}
    assert database.call("errors").stdout == "0 failed.\n"
    assert database.stored_files() == database.referenced_files()


@pytest.mark.files
def test_a_file_of_another_size_than_registered_is_not_imported(
    database: Any, damaged_copy: Callable[..., Path]
) -> None:
    def replaced(file: Any) -> None:
        """Leave the copy as it is."""

    path = damaged_copy(replaced)
    database.call("register", path)
    size = path.stat().st_size
    with path.open("ab") as file:
        file.write(b"more")
    done = database.call("populate", "--table", "Licks", check=False)
    assert (
        f"{path}: it has {size + 4} bytes, but had {size} when it was registered. "
        "Restore the registered file." in done.stderr
    )


def test_errors_without_any_is_an_empty_list(populated_synthetic: Any) -> None:
    assert populated_synthetic.json("errors") == []
    assert populated_synthetic.json("retry") == {"retried": 0}


def test_the_prefix_may_be_an_option(populated_synthetic: Any, shared_database: Any) -> None:
    done = shared_database.call("--prefix", populated_synthetic.prefix, "status", "--json")
    assert json.loads(done.stdout) == populated_synthetic.json("status")


@pytest.mark.files
@pytest.mark.parametrize("prefix", ["Vbn_", "1vbn", "vbn-x", "", "x" * 41, 'v"; drop'])
def test_a_prefix_that_is_no_identifier_is_refused(shared_database: Any, prefix: str) -> None:
    done = shared_database.call("--prefix", prefix, "status", check=False)
    assert done.returncode == 1
    assert f"The schema prefix '{prefix}' cannot be used" in done.stderr


@pytest.mark.files
def test_plot_draws_the_responses_of_a_structure(
    populated_synthetic: Any, synthetic_files: list[Path], tmp_path: Path
) -> None:
    session_id = int(synthetic_files[0].stem.rsplit("_")[-1])
    structures = structures_with_units(populated_synthetic, session_id)
    out = tmp_path / "figure.png"
    words = ("--session", session_id, "--structure", structures[0], "--all-units", "--out", out)
    done = populated_synthetic.vbn("plot", "change-response", *words)
    assert done.stderr == ""
    assert done.stdout.startswith(f"{out}: ")
    assert out.read_bytes().startswith(b"\x89PNG")
    assert out.stat().st_size > 10_000


@pytest.mark.files
def test_plot_refuses_a_kind_of_file_that_it_cannot_write_before_it_fetches(
    populated_synthetic: Any, tmp_path: Path
) -> None:
    words = ("--session", "1", "--structure", "VISp", "--out", tmp_path / "figure.bmp")
    done = populated_synthetic.vbn("plot", "change-response", *words, check=False)
    assert done.returncode == 2
    assert "must end in .png, .pdf or .svg" in done.stderr


@pytest.mark.files
def test_plot_names_the_structures_there_are_for_one_there_is_not(
    populated_synthetic: Any, synthetic_files: list[Path], tmp_path: Path
) -> None:
    session_id = int(synthetic_files[0].stem.rsplit("_")[-1])
    words = ("plot", "change-response", "--structure", "NOWHERE", "--out", tmp_path / "figure.png")
    done = populated_synthetic.call(*words, "--session", session_id, check=False)
    assert done.returncode == 1
    assert "NOWHERE" in done.stderr
    assert any(name in done.stderr for name in structures_with_units(populated_synthetic, session_id))
    other = populated_synthetic.call(*words, "--session", 12345, check=False)
    assert other.returncode == 1
    assert "12345" in other.stderr
    assert not list(tmp_path.iterdir())


def structures_with_units(database: Any, session_id: int) -> list[str]:
    query = (
        f'SELECT DISTINCT c.structure_acronym FROM "{database.prefix}ecephys"."_recording__unit" u '
        f'JOIN "{database.prefix}ecephys"."_recording__channel" c '
        "ON c.channel_id = u.peak_channel_id AND c.session_id = u.session_id "
        f"WHERE u.session_id = {session_id}"
    )
    return sorted(row[0] for row in database.server.query(query) if row[0])


@pytest.mark.files
def test_synthetic_writes_sessions_that_register(database: Any, tmp_path: Path) -> None:
    words = (
        "--out",
        tmp_path,
        "--sessions",
        1,
        "--minutes",
        2,
        "--units-per-probe",
        3,
        "--probes",
        1,
        "--genotype",
        "vip",
    )
    done = database.vbn("synthetic", *words)
    paths = [Path(line) for line in done.stdout.splitlines()]
    assert [path.is_file() for path in paths] == [True]
    assert (tmp_path / "ground_truth.json").is_file()
    outcomes = database.json_lines("register", tmp_path, "--catalogue", tmp_path)
    assert [outcome["status"] for outcome in outcomes] == ["registered"]


@pytest.mark.files
def test_synthetic_settings_that_cannot_be_used_are_all_named(shared_database: Any, tmp_path: Path) -> None:
    done = shared_database.call(
        "synthetic", "--out", tmp_path, "--probes", 9, "--minutes", 0.1, "--genotype", "x", check=False
    )
    assert done.returncode == 1
    for words in ("probes must be", "minutes must be", "genotype must be"):
        assert words in done.stderr
    assert not list(tmp_path.iterdir())


def test_doctor_finds_nothing_wrong_with_a_good_setup(populated_synthetic: Any) -> None:
    checks = populated_synthetic.json("doctor")
    assert {check["name"] for check in checks} >= {
        "names",
        "counting",
        "configuration",
        "server",
        "privileges",
        "schemas",
        "store",
        "files",
        "jobs",
    }
    assert all(check["is_good"] for check in checks), checks
    shown = populated_synthetic.vbn("doctor").stdout
    of_the_moment = {"store", "space", "clock"}  # the second command measures these anew
    assert all(check["finding"] in shown for check in checks if check["name"] not in of_the_moment)


@pytest.mark.files
def test_doctor_finds_what_a_notebook_in_this_folder_would_import(
    populated_synthetic: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "schemas.py"
    file.touch()
    monkeypatch.chdir(tmp_path)
    names = next(check for check in populated_synthetic.json("doctor", check=False) if not check["is_good"])
    assert names["name"] == "names"
    assert f"schemas is '{file}'" in names["finding"]
    assert "from vbn_datajoint import schemas" in names["advice"]


def test_doctor_changes_nothing(populated_synthetic: Any) -> None:
    before = populated_synthetic.contents(), populated_synthetic.stored_files()
    populated_synthetic.call("doctor")
    assert (populated_synthetic.contents(), populated_synthetic.stored_files()) == before


def test_doctor_names_a_missing_file_and_failed_jobs(
    database: Any, damaged_copy: Callable[..., Path]
) -> None:
    def lost(file: Any) -> None:
        """Leave the copy as it is."""

    path = damaged_copy(lost)
    database.call("register", path)
    path.unlink()
    database.call("populate", "--table", "Licks", check=False)
    done = database.call("doctor", "--json", check=False)
    assert done.returncode == 1
    bad = {check["name"]: check for check in json.loads(done.stdout) if not check["is_good"]}
    assert bad.keys() == {"files", "jobs"}
    assert str(path) in bad["files"]["advice"]
    assert bad["jobs"]["finding"].startswith("1 failed")
    assert "vbn errors" in bad["jobs"]["advice"]
