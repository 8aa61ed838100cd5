"""The tables as a scientist's library: connecting, spike times, parameters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import h5py
import numpy as np
import pytest

import schemas
from schemas import behavior, ecephys, optotagging, performance, psth, responses, selection, session
from schemas.bases.registry import schema_names, tables
from schemas.server import settings
from schemas.server.datajoint import dj
from vbn.errors import NotFoundError

pytestmark = pytest.mark.slow


def test_importing_opens_no_connection(tmp_path: Any) -> None:
    import subprocess
    import sys

    script = (
        "from schemas import behavior, ecephys, optotagging, performance, psth, responses, selection\n"
        "from schemas import session, stimulus\n"
        "from datajoint import instance\nprint(instance._singleton_connection, session.schema.is_activated())"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.stdout == "None False\n", done.stderr


def test_connecting_twice_gives_the_same_database(synthetic_database: Any) -> None:
    assert schemas.connect(synthetic_database.prefix) is schemas.connect(synthetic_database.prefix)


def test_another_prefix_binds_the_tables_to_it(
    synthetic_database: Any, make_database: Callable[..., Any]
) -> None:
    assert len(session.Session()) == 2
    other = make_database()
    assert other.connect().prefix == other.prefix
    assert len(session.Session()) == len(ecephys.Recording.Unit()) == 0
    synthetic_database.connect()
    assert len(session.Session()) == 2
    assert len(ecephys.Recording.Unit()) > 0
    assert len(ecephys.Recording().jobs.completed) in (0, 2)


def test_binding_again_and_again_leaves_the_docstrings_as_they_are(
    synthetic_database: Any, make_database: Any
) -> None:
    lengths = []
    for database in (make_database(), synthetic_database) * 2:
        database.connect()
        lengths.append(len(ecephys.Recording.__doc__))
    assert len(set(lengths)) == 1


def test_dependencies_are_read_of_the_bound_database_only(
    synthetic_database: Any, make_database: Any
) -> None:
    """DataJoint reads those of all schemas that it was told of, which takes longer with each of them."""
    databases = [make_database(), synthetic_database]
    for bound, other in (databases, reversed(databases), databases):
        known = bound.connect().connection.schemas
        assert {name for name in known if name.startswith(bound.prefix)} == set(schema_names(bound.prefix))
        assert not [name for name in known if name.startswith(other.prefix)]


def test_after_disconnecting_the_next_connect_works(synthetic_database: Any) -> None:
    schemas.disconnect()
    synthetic_database.connect()
    assert len(session.Mouse()) == 1


def test_a_server_without_the_tables_is_a_clear_error(
    server: Any, make_database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The embedded server deploys by itself; a configured one does not."""
    database = make_database(deployed=False)
    if server.backend != "mysql":
        assert database.connect().prefix == database.prefix
        assert len(database.tables()) > 17
        return
    problem = rf"lacks tables .* under '{database.prefix}\.\.\.' \(.*\)\. Create them with: vbn deploy"
    with pytest.raises(NotFoundError, match=problem):
        database.connect()
    assert database.tables() == {}


def test_a_missing_table_is_named(server: Any, make_database: Any) -> None:
    if server.backend != "mysql":
        pytest.skip("the embedded server makes missing tables by itself")
    database = make_database()
    schemas.disconnect()
    server.query(f'DROP TABLE "{database.prefix}behavior"."~~running"')
    server.query(f'DROP TABLE "{database.prefix}psth"."__aligned_behavior"')
    with pytest.raises(NotFoundError, match=rf"lacks tables .*{database.prefix}psth\.__aligned_behavior"):
        database.connect()


def test_the_prefix_of_the_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VBN_PREFIX", raising=False)
    assert settings.schema_prefix() == "vbn_"
    monkeypatch.setenv("VBN_PREFIX", "lab_")
    assert settings.schema_prefix() == "lab_"
    assert settings.schema_prefix("mine_") == "mine_"


def test_the_spike_times_of_units_are_those_of_the_file(
    synthetic_database: Any, synthetic_files: list[Any]
) -> None:
    for path in synthetic_files:
        with h5py.File(path) as file:
            ids, ends = file["units/id"][:], file["units/spike_times_index"][:].astype(int)
            trains = dict(zip(ids.tolist(), np.split(file["units/spike_times"][:], ends[:-1]), strict=True))
        stored = ecephys.spike_times(ecephys.Recording.Unit & {"session_id": int(path.stem.rsplit("_")[-1])})
        assert stored.keys() == trains.keys()
        for unit_id, times in trains.items():
            np.testing.assert_array_equal(stored[unit_id], times, strict=True)


def test_spike_times_take_any_query_that_has_units(synthetic_database: Any) -> None:
    everything = ecephys.spike_times(ecephys.Recording.Unit)
    assert len(everything) == len(ecephys.Recording.Unit())
    peaks = ecephys.Recording.Channel.proj("structure_acronym", peak_channel_id="channel_id")
    area = (ecephys.Recording.Unit * peaks).to_dicts()[0]["structure_acronym"]
    query = ecephys.Recording.Unit * peaks & {"structure_acronym": area} & "snr > 0"
    wanted = {row["unit_id"] for row in query.to_dicts()}
    found = ecephys.spike_times(query)
    assert found.keys() == wanted
    for unit_id, times in found.items():
        np.testing.assert_array_equal(times, everything[unit_id])
    one = min(wanted)
    assert ecephys.spike_times(ecephys.Recording.Unit & {"unit_id": one}).keys() == {one}


def test_spike_times_of_no_units_is_an_empty_dictionary(synthetic_database: Any) -> None:
    assert ecephys.spike_times(ecephys.Recording.Unit & "unit_id < 0") == {}
    assert list(ecephys.iterate_probe_spikes(ecephys.Recording.Unit & "unit_id < 0")) == []


@pytest.mark.files
def test_spike_times_may_be_changed_by_their_owner(synthetic_database: Any) -> None:
    """What is given out is a copy in memory: the store stays as it is."""
    unit = ecephys.Recording.Unit & {"unit_id": min(ecephys.spike_times(ecephys.Recording.Unit))}
    ((unit_id, times),) = ecephys.spike_times(unit).items()
    times[:] = -1
    assert (ecephys.spike_times(unit)[unit_id] >= 0).all()


@pytest.mark.files
def test_a_probe_is_read_once_for_all_its_units(synthetic_database: Any) -> None:
    probes = list(ecephys.iterate_probe_spikes(ecephys.Recording.Unit))
    assert len(probes) == len(ecephys.Recording.Probe())
    for key, frame, times in probes:
        assert len(frame) == len(ecephys.Recording.Unit & key)
        assert frame["n_spikes"].sum() == len(times)
        assert frame["unit_id"].is_monotonic_increasing


@pytest.mark.files
def test_all_tables_join_without_a_clash_of_names(synthetic_database: Any) -> None:
    query = (
        session.Mouse
        * session.Session
        * session.NwbFile
        * ecephys.Recording
        * ecephys.Recording.Probe
        * ecephys.Recording.Unit
        * psth.Psth
        * psth.Psth.Unit
        * psth.Alignment
        * optotagging.Optotagging
        * performance.Performance
    )
    assert len(query) == len(psth.Alignment()) * len(ecephys.Recording.Unit())


@pytest.mark.files
def test_all_that_is_computed_joins_without_a_clash_of_names(synthetic_database: Any) -> None:
    """One row per unit: all masters with one default set, and the parts of their units."""
    measured = (
        responses.ChangeResponse,
        responses.OmissionResponse,
        responses.ImageSelectivity,
        responses.FullFieldResponse,
        responses.RunningModulation,
        responses.PupilModulation,
        responses.ReceptiveField,
        responses.CellClass,
        optotagging.OptotagLabel,
        psth.Psth,
    )
    query = session.Session * ecephys.Recording * ecephys.Recording.Unit
    for master in measured:
        query = query * master * master.Unit
    for master in (performance.Performance, performance.RollingPerformance, performance.TaskStatistics):
        query = query * master
    for each in (performance.LickBouts, performance.Engagement, performance.FlashBehavior):
        query = query * each
    query = query * psth.AlignedBehavior * psth.TrialResponse
    chosen = {
        "alignment": "change_active",
        "optotag_method": "bennett_2025",
        "lick_bout_params": "piet_2023",
        "engagement_params": "allensdk",
        "trial_response_params": "active",
    }
    assert len(query & chosen) == len(ecephys.Recording.Unit())


@pytest.mark.files
@pytest.mark.parametrize(
    "parts",
    [
        (
            performance.RollingPerformance.Trial,
            performance.TaskStatistics.Trial,
            performance.Engagement.Trial,
        ),
        (psth.AreaPsth.Structure, responses.AreaSummary.Structure, psth.AreaPsth, responses.AreaSummary),
        (optotagging.Optotagging.Evidence, optotagging.Optotagging.Condition, optotagging.OptotagLabel.Unit),
        (performance.LickBouts.Bout, performance.Engagement.Epoch, performance.TaskStatistics.Image),
        (psth.TrialResponse.Window, psth.TrialResponse, behavior.TaskParameters),
    ],
    ids=lambda parts: parts[0].__qualname__,
)
def test_parts_join_without_a_clash_of_names(synthetic_database: Any, parts: tuple[Any, ...]) -> None:
    first, *others = parts
    query = first()
    for other in others:
        query = query * other
    assert len(query) > 0


@pytest.fixture(scope="module")
def own_database(make_database: Callable[..., Any], populated_synthetic: Any) -> Any:
    """Two populated sessions that the tests of this module may change."""
    database = make_database().register_as(populated_synthetic)
    database.call("populate")
    return database


def test_the_same_files_give_the_same_bytes(own_database: Any, populated_synthetic: Any) -> None:
    """Random steps take their seed from the key, and the files are the same."""
    contents, expected = own_database.contents(), populated_synthetic.contents()
    assert contents.keys() == expected.keys()
    for table, rows in expected.items():
        if not table.startswith("session.catalogue_"):  # the tables of the release were not entered here
            assert contents[table] == rows, table


@pytest.mark.files
def test_computing_again_gives_the_same_bytes(own_database: Any) -> None:
    """Of the tables with random steps, whose seed is stored, and of what is made from them."""
    own_database.connect()
    before = own_database.contents()
    drawn = (optotagging.Optotagging, responses.ReceptiveField, responses.RunningModulation)
    for table in drawn:
        table.delete(prompt=False)
    assert own_database.json("populate")["failures"] == []
    after = own_database.contents()
    for table, rows in before.items():
        assert after[table] == rows, table
    seeds = optotagging.Optotagging.to_arrays("optotag_seed").tolist()
    seeds += responses.ReceptiveField.to_arrays("rf_seed").tolist()
    assert len(set(seeds)) == 2 * len(session.Session())


def test_results_disappear_with_their_session_and_the_other_session_stays(
    own_database: Any, synthetic_files: list[Any]
) -> None:
    """Deleting a session deletes everything that was made from it."""
    own_database.connect()
    first, second = (int(path.stem.rsplit("_")[-1]) for path in synthetic_files)
    kept = own_database.row_counts(second)
    (session.Session & {"session_id": first}).delete(prompt=False)
    assert not any(own_database.row_counts(first).values())
    assert own_database.row_counts(second) == kept


def test_a_new_alignment_is_computed_for_all_sessions(own_database: Any) -> None:
    own_database.connect()
    settings = replace(psth.Alignment.get("change_active"), event="omission", window_start=-0.5)
    assert psth.Alignment.add("omission", replace(settings, window_stop=0.75, bin_width=0.05))
    n_sessions, n_filters = len(session.Session()), len(selection.UnitCriteria.for_populations())
    assert own_database.json("populate") == {"done": (2 + n_filters) * n_sessions, "failures": []}
    assert len(psth.Psth() & {"alignment": "omission"}) == n_sessions
    rates = (psth.Psth.Unit & {"alignment": "omission"}).to_arrays("psth_rate")
    assert {rate.shape for rate in rates} == {(25,)}


def test_the_tables_are_listed_in_the_order_of_their_dependencies() -> None:
    names = [cls.__name__ for cls in tables(dj.Imported, dj.Computed)]
    for table, needed in {
        "Stimulus": "ChangeDetection",
        "Psth": "Stimulus",
        "Optotagging": "Recording",
    }.items():
        assert names.index(needed) < names.index(table)
