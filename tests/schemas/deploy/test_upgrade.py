"""A database of an earlier version: refused in words, upgraded by ``vbn deploy``, nothing lost."""

from __future__ import annotations

import contextlib
import gzip
import json
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

LAYOUTS = Path(__file__).with_name("layouts")
OLD_SESSION = 9000000001
CHANGES = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17]
FILTERS, CRITERIA = "selection.#unit_criteria", "selection.#unit_criteria__criterion"
# In the dump of layout 2 'good_0_1' and 'visual_coding_code' are somebody's own, as are these.
OWN_FILTERS = ("own_snr", "good_0_1", "inclusive")
RENAMED_FILTERS = {
    "good": "good_0_1_2",
    "visual_coding": "visual_coding_0_1",
    "visual_coding_code": "visual_coding_code_0_1",
}


IMAGE_PARAMETERS = "responses.#image_selectivity_params"
CHANGED_COLUMNS = (
    "session.session",
    "session.nwb_file",
    "responses.__image_selectivity",
    "responses.__image_selectivity__unit",
    IMAGE_PARAMETERS,
    "responses.#change_response_params",
    "responses.__change_response__unit",
    "responses.__omission_response",
    "responses.__omission_response__unit",
    "responses.#omission_response_params",
    "psth.#alignment",
    "psth.__psth__unit",
    "responses.__running_modulation",
    "responses.__running_modulation__unit",
    "responses.__pupil_modulation",
    "responses.__pupil_modulation__unit",
    "responses.#state_modulation_params",
    "responses.#receptive_field_params",
    *("responses.__flash_response", "responses.__flash_response__unit", "responses.#flash_response_params"),
    *("responses.__full_field_response", "responses.__full_field_response__unit"),
    "responses.#full_field_response_params",
    *("responses.__receptive_field", "responses.__receptive_field__unit"),
)
STALE = {
    "ImageSelectivity",  # by changes 5 and 6
    *("ChangeResponse", "AreaSummary"),  # by change 7
    *("OmissionResponse", "Psth", "AlignedBehavior", "AreaPsth"),  # by change 8
    *("Optotagging", "OptotagLabel", "CellClass"),
    *("RunningModulation", "PupilModulation", "ReceptiveField"),  # by change 9
    "FullFieldResponse",  # by change 10
}
FILLED = (
    *("administration.migration", "ecephys.#structure", "performance.#flash_sets", FILTERS, CRITERIA),
    *("ecephys.#layer4_sink_params", "psth.#presentation_counts_params"),  # tables that came later
    *("responses.#published_response_params", "responses.#novelty_response_params"),
    "responses.#first_spike_latency_params",
    *("responses.#reliability_params", "responses.#variability_params"),
    *("interactions.#correlation_params", "interactions.#dimensionality_params"),
    *("interactions.#connectivity_params", "responses.#intrinsic_timescale_params"),
    *("encoding.#encoding_params", "encoding.#encoding_null_params", "decoding.#decoding_params"),
    "decoding.#trial_decoding_params",
    *("performance.#engagement_params", "strategy.#strategy_params"),
)


def load(database: Any, dump: str) -> None:
    """Load a dump into an empty prefix, as a client of the server does."""
    backend = "mysql" if database.server.backend == "mysql" else "embedded"
    with gzip.open(LAYOUTS / f"{dump}_{backend}.sql.gz", "rt") as file:
        text = file.read().replace(f"{dump.replace('_', '')}_", database.prefix)
    statements = text.split(";\n") if backend == "mysql" else [text]
    with contextlib.closing(database.server.open_connection()) as connection, connection.cursor() as cursor:
        for statement in filter(str.strip, statements):
            cursor.execute(statement)


def own_contents(database: Any) -> dict[str, Any]:
    """Return the rows of all tables but those that a deploy fills or changes the columns of."""
    left = (*FILLED, *CHANGED_COLUMNS)
    return {name: rows for name, rows in database.contents().items() if name not in left and rows}


def layout_of(database: Any) -> dict[str, list[str]]:
    return {name.replace(database.prefix, ""): columns for name, columns in database.tables().items()}


@pytest.fixture
def old_database(make_database: Callable[..., Any]) -> Any:
    database = make_database(deployed=False)
    load(database, "layout_0")
    yield database
    database.drop()


def test_an_upgrade_keeps_all_rows_and_gives_the_layout_of_a_new_database(
    old_database: Any, shared_database: Any, synthetic_files: list[Path]
) -> None:
    before = own_contents(old_database)
    files = '"session_id", "relative_path", "size_bytes", "registered_at"'
    place = f'"{old_database.prefix}session"."nwb_file"'
    registered = old_database.server.query(f"SELECT {files} FROM {place}")
    sessions = f'"{old_database.prefix}session"."session"'
    described = '"session_id", "session_type", "equipment_name", "stimulus_frame_rate", "age_in_days"'
    known = old_database.server.query(f"SELECT {described} FROM {sessions}")
    assert len(before) >= 13
    engagement = set(old_database.contents()["performance.#engagement_params"])
    if old_database.server.backend == "mysql":  # on the embedded server every command upgrades
        refused = old_database.vbn("status", check=False)
        assert refused.returncode == 1
        assert "are of an earlier version of this package (text is compared with case" in refused.stderr
        assert refused.stderr.strip().endswith("vbn backup DIR && vbn deploy")
    checked = old_database.vbn("deploy", "--check", check=False)
    assert checked.returncode == 1
    assert "due: change 1 of the layout: text is compared with case" in checked.stdout
    assert f"missing: {old_database.prefix}administration.migration" in checked.stdout
    assert own_contents(old_database) == before

    assert "Change 1 of the layout" in old_database.vbn("deploy").stdout

    assert "are up to date" in old_database.vbn("deploy", "--check").stdout
    assert own_contents(old_database) == before
    assert engagement < set(old_database.contents()["performance.#engagement_params"])  # one was added
    assert layout_of(old_database) == layout_of(shared_database)
    entered = old_database.server.query(
        f'SELECT migration FROM "{old_database.prefix}administration"."migration"'
    )
    assert sorted(row[0] for row in entered) == CHANGES
    assert old_database.server.query(f"SELECT {files} FROM {place}") == registered
    assert old_database.server.query(f"SELECT DISTINCT registered_by FROM {place}") == [(None,)]
    assert old_database.server.query(f"SELECT {described} FROM {sessions}") == known
    assert old_database.server.query(f"SELECT DISTINCT project FROM {sessions}") == [("vbn-release",)]
    structures = old_database.server.query(
        f'SELECT count(*) FROM "{old_database.prefix}ecephys"."#structure"'
        " WHERE structure_acronym IN ('cm', 'CM', 'Cm')"
    )
    assert structures == [(2,)]
    # and it works on: the old session's rows stand beside a new one's
    old_database.vbn("register", synthetic_files[1])
    old_database.vbn("populate", "--table", "Recording", "--table", "ChangeDetection", check=False)
    old_database.connect()
    from schemas import behavior, ecephys

    assert len(behavior.ChangeDetection & {"session_id": OLD_SESSION}) == 1
    assert len(behavior.ChangeDetection()) == 2
    assert len(ecephys.Recording()) == 1


def test_an_upgrade_that_was_interrupted_is_made_again(old_database: Any) -> None:
    """MySQL commits each table's change at once: some are of the new layout, and no entry says so.

    A database whose prefix begins alike is left alone.
    """
    if old_database.server.backend != "mysql":
        pytest.skip("PostgreSQL has nothing to change in this layout: run with --backend mysql")
    for table in ("session.mouse", "ecephys.#structure"):
        schema, name = table.split(".")
        old_database.server.query("SET foreign_key_checks = 0")
        old_database.server.query(
            f'ALTER TABLE "{old_database.prefix}{schema}"."{name}" '
            "CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin"
        )
    old_database.server.query("SET foreign_key_checks = 1")
    before = own_contents(old_database)
    neighbour = f"{old_database.prefix}other_session"
    query = old_database.server.query
    query(f'CREATE DATABASE "{neighbour}" COLLATE utf8mb4_0900_ai_ci')
    try:
        query(f'CREATE TABLE "{neighbour}"."mouse" (mouse_id varchar(32) PRIMARY KEY)')
        old_database.vbn("deploy")
        assert own_contents(old_database) == before
        pattern = old_database.prefix.replace("_", "\\_") + "%"
        columns = "FROM information_schema.columns WHERE collation_name IS NOT NULL AND table_schema"
        ours = query(
            f"SELECT DISTINCT collation_name {columns} LIKE '{pattern}' AND table_schema <> '{neighbour}'"
        )
        assert ours == [("utf8mb4_0900_bin",)]
        assert query(f"SELECT collation_name {columns} = '{neighbour}'") == [("utf8mb4_0900_ai_ci",)]
    finally:
        query(f'DROP DATABASE "{neighbour}"')


def indexes_of_units(database: Any) -> list[tuple[Any, ...]]:
    """Return the indexes by which a unit is found by its id alone."""
    schema = f"{database.prefix}ecephys"
    if database.server.backend == "mysql":
        return database.server.query(
            f"SELECT index_name FROM information_schema.statistics WHERE table_schema = '{schema}' "
            "AND table_name = '_recording__unit' AND column_name = 'unit_id' AND seq_in_index = 1"
        )
    return database.server.query(
        f"SELECT indexname FROM pg_indexes WHERE schemaname = '{schema}' "
        "AND tablename = '_recording__unit' AND indexdef LIKE '%(unit_id)'"
    )


def test_two_deploys_at_once_make_each_change_once(old_database: Any, shared_database: Any) -> None:
    assert indexes_of_units(old_database) == []
    processes = [old_database.start("deploy") for _ in range(2)]
    outputs = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert sum("Change 1 of the layout" in output for output, _ in outputs) == 1
    assert len(old_database.contents()["administration.migration"]) == len(CHANGES)
    assert len(indexes_of_units(old_database)) == len(indexes_of_units(shared_database)) == 1
    # entered, but not yet noted, when it was interrupted
    migration = f'"{old_database.prefix}administration"."migration"'
    old_database.server.query(f"DELETE FROM {migration} WHERE migration = 2")
    assert "Change 2 of the layout" in old_database.vbn("deploy").stdout
    assert len(indexes_of_units(old_database)) == 1


def load_results(database: Any) -> None:
    """Load a database of version 0.1 with a session, its results, and filters of somebody's own."""
    load(database, "layout_2")
    for path in database.referenced_files():  # the dump has the rows, not the arrays
        (database.store / path).parent.mkdir(parents=True, exist_ok=True)
        (database.store / path).write_text(path.name)


@pytest.fixture
def old_results(make_database: Callable[..., Any]) -> Iterator[Any]:
    database = make_database(deployed=False)
    load_results(database)
    yield database
    database.drop()


# What an upgrade is to keep and to change: each enters what it needs into the old database, remembers what is
# there, yields, gets what `vbn deploy` printed, and looks. One upgrade, which takes long, serves all.
Case = Generator[None, str, None]
CASES: list[Callable[[Any, Any], Case]] = []


@dataclass
class Upgrade:
    """An upgraded database, and the cases that have yet to look at it."""

    database: Any
    cases: dict[str, Case]
    said: str


@pytest.fixture(scope="module")
def upgrade(make_database: Callable[..., Any], shared_database: Any) -> Iterator[Upgrade]:
    database = make_database(deployed=False)
    load_results(database)
    mysql, schema = database.server.backend == "mysql", f"{database.prefix}lab"
    collation = " COLLATE utf8mb4_0900_bin" if mysql else ""
    database.server.query(f'CREATE {"DATABASE" if mysql else "SCHEMA"} "{schema}"{collation}')
    try:
        cases = {case.__name__: case(database, shared_database) for case in CASES}
        for case in cases.values():
            next(case)
        yield Upgrade(database, cases, database.vbn("deploy").stdout)
    finally:
        database.server.query(f'DROP DATABASE "{schema}"' if mysql else f'DROP SCHEMA "{schema}" CASCADE')
        database.drop()


def place_of(database: Any, name: str) -> str:
    """Return the full name of ``schema.table``."""
    schema, table = name.split(".")
    return f'"{database.prefix}{schema}"."{table}"'


def with_other_names(database: Any, contents: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """Return the rows of `own_contents` with other names of filters."""
    columns = {name: sorted(of_table) for name, of_table in layout_of(database).items()}
    changed = {}
    for table, rows in contents.items():
        place = [
            name == "unit_criteria"
            for name in columns[place_of(database, table).replace(database.prefix, "")]
        ]
        changed[table] = sorted(
            (
                tuple(
                    names.get(value, value) if named else value
                    for value, named in zip(row, place, strict=False)
                )
                for row in rows
            ),
            key=repr,
        )
    return changed


def filters_of(database: Any) -> dict[str, tuple[Any, str]]:
    """Return name -> content, without the field that came later where it says what was before, and hash."""
    columns = "unit_criteria, unit_criteria_content, unit_criteria_hash"
    rows = database.server.query(f"SELECT {columns} FROM {place_of(database, FILTERS)}")
    found = {}
    for name, held, digest in rows:
        content = json.loads(held) if isinstance(held, str) else held
        kept = [
            {field: value for field, value in criterion.items() if (field, value) != ("absent_passes", False)}
            for criterion in content["criteria"]
        ]
        found[name] = ({**content, "criteria": kept}, digest)
    return found


def selectivity_of(database: Any, *columns: str) -> dict[int, tuple[Any, ...]]:
    return unit_columns(database, "responses.__image_selectivity__unit", *columns)


def unit_columns(database: Any, table: str, *columns: str) -> dict[int, tuple[Any, ...]]:
    names = ", ".join(("unit_id", *columns))
    return {
        row[0]: row[1:] for row in database.server.query(f"SELECT {names} FROM {place_of(database, table)}")
    }


def described_columns(database: Any) -> dict[str, tuple[Any, ...]]:
    """Return type, comment and whether it may be NULL, of the columns of the tables that were changed."""
    from schemas import optotagging, psth, responses
    from schemas.server.datajoint.binding import part_classes

    database.connect()
    masters = [cls for module in (responses, psth, optotagging) for cls in module.schema.masters]
    headings = [table.heading for cls in masters for table in (cls, *part_classes(cls))]
    attributes = {
        name: each
        for heading in headings
        for name, each in heading.attributes.items()
        if not name.endswith("_content")  # their comments name modules, which were moved
    }
    return {name: (each.type, each.comment, each.nullable) for name, each in attributes.items()}


def the_index_of_novel_images_is_renamed_and_its_p_dropped(old_results: Any, shared_database: Any) -> Case:
    from populate.work.staleness import stale_rows

    before = selectivity_of(old_results, "selectivity_novelty_index", "selectivity_p_selectivity")
    assert len(before) > 10
    assert "Change 5 of the layout: novel and shared images" in (yield)

    now = ("selectivity_novel_shared_index", "selectivity_p_selectivity")
    assert selectivity_of(old_results, *now) == before
    assert layout_of(old_results) == layout_of(shared_database)
    new = described_columns(shared_database)
    assert described_columns(old_results) == new
    assert "selectivity_p_novelty" not in new
    sessions = place_of(old_results, "responses.__image_selectivity")
    assert old_results.server.query(f"SELECT n_selectivity_runs FROM {sessions}") == [(None,)]
    old_results.connect()
    reasons = {row.reason for row in stale_rows() if row.table == "ImageSelectivity"}
    assert reasons == {"the method has changed, the parameters have changed"}


def rows_of(database: Any, table: str, *columns: str) -> list[tuple[Any, ...]]:
    return sorted(
        database.server.query(f"SELECT {', '.join(columns)} FROM {place_of(database, f'responses.{table}')}")
    )


def contents_of_sets(database: Any) -> dict[str, dict[str, Any]]:
    """Return the contents of the default sets for states and fields."""
    found = {}
    for name in ("state_modulation", "receptive_field"):
        for held, _ in rows_of(database, f"#{name}_params", f"{name}_content", f"{name}_params"):
            found[name] = json.loads(held) if isinstance(held, str) else held
    return found


def states_are_tested_within_blocks_and_allensdks_p_keeps_its_values(
    old_results: Any, shared_database: Any
) -> Case:
    from populate.work.staleness import stale_rows

    kept = {
        (prefix, name): rows_of(old_results, f"__{prefix}_modulation__unit", "unit_id", f"{prefix}_{name}")
        for prefix in ("running", "pupil")
        for name in ("modulation_index", "p_value")
    }
    fields = rows_of(
        old_results, "__receptive_field__unit", "unit_id", "field_p_value", "field_is_significant"
    )
    assert len(kept["running", "p_value"]) == len(fields) > 10
    assert contents_of_sets(old_results)["state_modulation"]["min_shift_s"] == 10
    # interrupted before, on MySQL, which commits each change of a column at once
    units = place_of(old_results, "responses.__pupil_modulation__unit")
    old_results.server.query(f"ALTER TABLE {units} DROP COLUMN pupil_q_rank_sum")
    units = place_of(old_results, "responses.__running_modulation__unit")
    old_results.server.query(f"ALTER TABLE {units} RENAME COLUMN running_p_value TO running_allensdk_p_value")
    assert "Change 9 of the layout: running and pupil" in (yield)

    for (prefix, name), rows in kept.items():
        now = f"{prefix}_allensdk_{name}"
        assert rows_of(old_results, f"__{prefix}_modulation__unit", "unit_id", now) == rows
    found = rows_of(old_results, "__receptive_field__unit", "unit_id", "rf_p_value", "rf_is_significant")
    assert found == fields
    assert set(rows_of(old_results, "__receptive_field__unit", "n_rf_shuffles")) == {(None,)}
    assert set(rows_of(old_results, "__running_modulation__unit", "running_p_shift_active")) == {(None,)}
    assert rows_of(old_results, "__running_modulation", "n_running_bins_active") == [(None,)]
    assert layout_of(old_results) == layout_of(shared_database)
    assert described_columns(old_results) == described_columns(shared_database)
    assert contents_of_sets(old_results) == contents_of_sets(shared_database)
    old_results.connect()
    assert {row.table for row in stale_rows()} == STALE


def what_was_not_tested_of_full_field_flashes_may_be_null(old_results: Any, shared_database: Any) -> Case:
    from populate.work.staleness import stale_rows
    from schemas import responses

    assert "Change 10 of the layout" in (yield)
    found = []
    for database in (old_results, shared_database):
        database.connect()
        attribute = responses.FullFieldResponse.Unit.heading.attributes["full_field_is_responsive"]
        found.append((attribute.type, attribute.comment, attribute.nullable))
    assert found[0] == found[1]
    assert found[0][2]
    old_results.connect()
    assert ("FullFieldResponse", "the method has changed") in {
        (row.table, row.reason) for row in stale_rows()
    }


def lineages(database: Any, schema: str) -> set[tuple[str, ...]]:
    rows = database.server.query(f'SELECT table_name, attribute_name, lineage FROM "{schema}"."~lineage"')
    return {tuple(text.replace(database.prefix, "") for text in row) for row in rows}


def renamed_tables_keep_rows_and_jobs_and_what_others_made_of_them(
    old_results: Any, shared_database: Any
) -> Case:
    query, prefix = old_results.server.query, old_results.prefix
    units = place_of(old_results, "responses.__flash_response__unit")
    job = place_of(old_results, "responses.~~flash_response")
    key = "mouse_id, session_id, flash_response_params, probe_name, unit_id"
    before = query(f"SELECT unit_id, flash_p_white FROM {units} ORDER BY unit_id")
    fields = query(
        f"SELECT unit_id, field_p_value FROM {place_of(old_results, 'responses.__receptive_field__unit')}"
    )
    query(
        f"INSERT INTO {job} (mouse_id, session_id, flash_response_params, status, priority) "
        f"VALUES ('990001', {OLD_SESSION}, 'gone', 'ignore', 5)"
    )
    schema = f"{prefix}lab"
    query(
        f'CREATE TABLE "{schema}"."mine" (mouse_id varchar(32), session_id bigint, '
        "flash_response_params varchar(64), probe_name varchar(32), unit_id bigint, "
        f"PRIMARY KEY ({key}), FOREIGN KEY ({key}) REFERENCES {units} ({key}))"
    )
    query(f'INSERT INTO "{schema}"."mine" SELECT {key} FROM {units}')
    query(
        f'CREATE TABLE "{schema}"."~lineage" (table_name varchar(64), attribute_name varchar(64), '
        "lineage varchar(255), PRIMARY KEY (table_name, attribute_name))"
    )
    origin = f"{prefix}responses.#flash_response_params.flash_response_params"
    query(f"INSERT INTO \"{schema}\".\"~lineage\" VALUES ('mine', 'flash_response_params', '{origin}')")
    yield
    units, job = (text.replace("flash_response", "full_field_response") for text in (units, job))
    assert query(f"SELECT unit_id, full_field_p_white FROM {units} ORDER BY unit_id") == before
    fields_now = place_of(old_results, "responses.__receptive_field__unit")
    assert sorted(query(f"SELECT unit_id, rf_p_value FROM {fields_now}")) == sorted(fields)
    assert query(f"SELECT full_field_response_params, status FROM {job}") == [("gone", "ignore")]
    assert query(f'SELECT count(*) FROM "{schema}"."mine"') == [(len(before),)]
    with pytest.raises(Exception, match="foreign key"):
        query(f"DELETE FROM {units}")
    renamed = "responses.#full_field_response_params.full_field_response_params"
    assert lineages(old_results, schema) == {("mine", "flash_response_params", renamed)}
    ours, new = (lineages(each, f"{each.prefix}responses") for each in (old_results, shared_database))
    assert {row for row in ours if "flash_response" in "".join(row)} == set()
    assert {row for row in new if "full_field" in row[0]} <= ours
    assert layout_of(old_results) == layout_of(shared_database)


def test_columns_that_were_changed_in_part_are_changed_again(old_results: Any, shared_database: Any) -> None:
    """As MySQL leaves them, which commits each change of a column at once."""
    before = selectivity_of(old_results, "selectivity_novelty_index")
    units = place_of(old_results, "responses.__image_selectivity__unit")
    old_results.server.query(f"ALTER TABLE {units} DROP COLUMN selectivity_q_novelty")
    old_results.server.query(
        f"ALTER TABLE {units} RENAME COLUMN selectivity_novelty_index TO selectivity_novel_shared_index"
    )
    old_results.vbn("deploy")
    assert selectivity_of(old_results, "selectivity_novel_shared_index") == before
    assert described_columns(old_results) == described_columns(shared_database)
    everything = old_results.contents()
    old_results.server.query(
        f"DELETE FROM {place_of(old_results, 'administration.migration')} WHERE migration = 5"
    )
    assert "Change 5 of the layout" in old_results.vbn("deploy").stdout
    assert old_results.contents() == everything


def image_parameters(database: Any) -> dict[str, Any]:
    """Return name -> content."""
    columns = "image_selectivity_params, image_selectivity_content"
    rows = database.server.query(f"SELECT {columns} FROM {place_of(database, IMAGE_PARAMETERS)}")
    return {name: json.loads(held) if isinstance(held, str) else held for name, held in rows}


def the_condition_of_image_parameters_becomes_a_flash_set(old_results: Any, shared_database: Any) -> Case:
    before = image_parameters(old_results)
    assert before["repeated_active"]["condition"] == "active"
    own = json.dumps({**before["repeated_active"], "condition": "passive", "max_q_value": 0.1})
    place = place_of(old_results, IMAGE_PARAMETERS)
    old_results.server.query(
        f"INSERT INTO {place} (image_selectivity_params, image_selectivity_content, "
        "image_selectivity_version, image_selectivity_hash) VALUES ('mine', %s, 1, 'x')",
        own,
    )
    flags = ("selectivity_is_responsive", "selectivity_is_selective")
    stored = selectivity_of(old_results, *flags)
    assert "Change 6 of the layout: image selectivity" in (yield)

    old_results.connect()
    from schemas.performance import FlashSets
    from schemas.responses import ImageSelectivityParams

    now = image_parameters(old_results)
    assert now.keys() == {"lick_free", "mine", "repeated_active"}
    assert all("condition" not in content for content in now.values())
    mine = ImageSelectivityParams.get("mine")
    assert (mine.flash_set, mine.max_q_value) == ("repeated_passive", 0.1)
    assert FlashSets.get(ImageSelectivityParams.get("repeated_active").flash_set).lick_free == "none"
    for name in now:
        assert ImageSelectivityParams.add(name, ImageSelectivityParams.get(name)) is False
    assert selectivity_of(old_results, *flags) == stored  # kept, and may be NULL from now on
    assert described_columns(old_results) == described_columns(shared_database)


def omissions_and_alignments_get_other_windows(old_results: Any, shared_database: Any) -> Case:
    """A set of somebody's own too; one interrupted in the middle is made again."""
    from schemas import psth, responses
    from vbn.analysis.responses.omission_response import OmissionResponseParameters

    query = old_results.server.query
    place = place_of(old_results, "responses.#omission_response_params")
    query(f"INSERT INTO {place} SELECT 'own', omission_response_content, 1, 'its hash' FROM {place}")
    alignments = place_of(old_results, "psth.#alignment")
    query(
        f"INSERT INTO {alignments} (alignment, event, bout_gap, window_start, window_stop, bin_width, "
        "alignment_version, alignment_hash) VALUES ('licks', 'lick_bout', 0.7, -1, 1, 0.1, 1, 'its hash')"
    )
    units = place_of(old_results, "responses.__omission_response__unit")
    query(f"ALTER TABLE {units} DROP COLUMN omission_late_index_active")
    before = query(f"SELECT unit_id, omission_p_value, omission_sign FROM {units}")

    said = yield
    assert "Change 8 of the layout: omissions and alignments have other windows" in said
    assert "The parameters 'own' of the omission response have other windows now." in said

    assert query(f"SELECT unit_id, omission_p_value, omission_sign FROM {units}") == before
    assert layout_of(old_results) == layout_of(shared_database)
    assert described_columns(old_results) == described_columns(shared_database)
    old_results.connect()
    for name in ("own", "two_windows"):
        assert responses.OmissionResponseParams.get(name) == OmissionResponseParameters()
    assert psth.Alignment.get("licks") == psth.AlignmentSettings("lick_bout", -1, 1, 0.1)
    for name, settings in psth.Alignment.defaults.items():
        assert psth.Alignment.get(name) == settings


CHANGE_UNITS = "responses.__change_response__unit"
CHANGE_SETS = "responses.#change_response_params"


def change_sets(database: Any) -> dict[str, dict[str, Any]]:
    from schemas import responses

    database.connect()
    return {row["change_response_params"]: row for row in responses.ChangeResponseParams.to_dicts()}


def the_index_of_changes_is_named_after_its_source_and_what_took_its_place_is_null(
    old_results: Any, shared_database: Any
) -> Case:
    from populate.work.staleness import stale_rows
    from schemas import responses

    own = {"max_q_value": 0.01, "smoothing_s": 0.02}  # of a set that somebody has added
    rows = old_results.server.query(
        f"SELECT change_response_content FROM {place_of(old_results, CHANGE_SETS)}"
    )
    ((held,),) = rows
    content = json.loads(held) if isinstance(held, str) else held
    columns = ", ".join(f"change_response_{name}" for name in ("params", "content", "version", "hash"))
    old_results.server.query(
        f"INSERT INTO {place_of(old_results, CHANGE_SETS)} ({columns}) VALUES ('mine', %s, 1, 'x')",
        json.dumps(content | own),
    )
    old = ("active", "passive", "hit", "miss")
    names = [*(f"change_modulation_{of}" for of in old), "change_first_spike_latency", "change_is_responsive"]
    before = unit_columns(old_results, CHANGE_UNITS, *names)
    assert len(before) > 10
    assert any(value is not None for row in before.values() for value in row)

    assert "Change 7 of the layout: change modulation is of changes without" in (yield)

    now = [*(f"change_siegle_2021_modulation_{of}" for of in old), "change_siegle_2021_first_spike_latency"]
    assert unit_columns(old_results, CHANGE_UNITS, *now, "change_is_responsive") == before
    added = [f"{name}_{of}" for name in ("change_modulation", "change_response_sign") for of in old]
    added += ["change_latency", "change_latency_low", "change_latency_high", "change_siegle_2021_responsive"]
    assert {value for row in unit_columns(old_results, CHANGE_UNITS, *added).values() for value in row} == {
        None
    }
    assert layout_of(old_results) == layout_of(shared_database)
    new = described_columns(shared_database)
    assert described_columns(old_results) == new
    assert new["change_is_responsive"][2]
    assert not {"change_half_maximum_latency", "change_modulation_pooled_active"} & new.keys()

    sets = change_sets(old_results)
    assert sets["siegle_2021_bennett_2025"] == change_sets(shared_database)["siegle_2021_bennett_2025"]
    old_results.connect()
    mine = responses.ChangeResponseParams.get("mine")
    assert (mine.engaged, mine.lick_margin_s, mine.max_q_value) == ("none", None, 0.01)
    reasons = {row.table: row.reason for row in stale_rows()}
    assert reasons.keys() == STALE
    assert reasons["ChangeResponse"] == "the method has changed, the parameters have changed"


def test_filters_that_were_corrected_in_part_are_corrected_again(old_results: Any) -> None:
    """After the column was added, which MySQL commits at once, and before the change was noted."""
    mysql, query = old_results.server.backend == "mysql", old_results.server.query
    kind = "tinyint NOT NULL DEFAULT 0" if mysql else "boolean NOT NULL DEFAULT false"
    query(f"ALTER TABLE {place_of(old_results, CRITERIA)} ADD COLUMN absent_passes {kind}")
    tables = [name for name, columns in old_results.tables().items() if "unit_criteria" in columns]
    if mysql:
        query("SET FOREIGN_KEY_CHECKS = 0")
    for table in tables if mysql else [place_of(old_results, FILTERS)]:
        query(f"UPDATE {table} SET unit_criteria = 'elsewhere' WHERE unit_criteria = 'good_0_1'")
    if mysql:
        query("SET FOREIGN_KEY_CHECKS = 1")
    before = own_contents(old_results)
    assert "'good' and its results are now named 'good_0_1'" in old_results.vbn("deploy").stdout
    names = {**RENAMED_FILTERS, "good": "good_0_1"}
    after = old_results.contents()
    assert own_contents(old_results) == with_other_names(old_results, before, names)
    query(f"DELETE FROM {place_of(old_results, 'administration.migration')} WHERE migration = 3")
    again = old_results.vbn("deploy").stdout
    assert "Change 3 of the layout" in again
    assert "are now named" not in again
    assert old_results.contents() == after


def jobs_and_tables_of_others_follow_a_renamed_filter(old_results: Any, _shared: Any) -> Case:
    query, filters = old_results.server.query, place_of(old_results, FILTERS)
    job = place_of(old_results, "selection.~~unit_selection")
    for name, status in (("good", "ignore"), ("good_0_1_2", "error")):  # the second is of a deleted filter
        query(
            f"INSERT INTO {job} (mouse_id, session_id, unit_criteria, status, priority) "
            f"VALUES ('990001', {OLD_SESSION}, '{name}', '{status}', 5)"
        )
    selected = place_of(old_results, "selection.__unit_selection")
    key = "mouse_id, session_id, unit_criteria"
    schema = f"{old_results.prefix}lab"
    query(
        f'CREATE TABLE "{schema}"."ours" (mouse_id varchar(32), session_id bigint, '
        f"unit_criteria varchar(64), again varchar(64), PRIMARY KEY ({key}), "
        f"FOREIGN KEY ({key}) REFERENCES {selected} ({key}) ON UPDATE CASCADE ON DELETE RESTRICT, "
        f"FOREIGN KEY (unit_criteria) REFERENCES {filters} (unit_criteria) ON UPDATE CASCADE, "
        f"FOREIGN KEY (again) REFERENCES {filters} (unit_criteria) ON UPDATE CASCADE)"
    )
    query(f"INSERT INTO \"{schema}\".\"ours\" VALUES ('990001', {OLD_SESSION}, 'good', 'visual_coding')")
    yield
    assert query(f'SELECT unit_criteria, again FROM "{schema}"."ours"') == [
        ("good_0_1_2", "visual_coding_0_1")
    ]
    assert query(f"SELECT unit_criteria, status FROM {job}") == [("good_0_1_2", "ignore")]


def corrected_filters_leave_the_results_of_the_old_ones_under_other_names(
    old_results: Any, shared_database: Any
) -> Case:
    from populate.work.staleness import stale_rows
    from schemas.deploy import seeds
    from schemas.selection import UnitCriteria

    before, filters = own_contents(old_results), filters_of(old_results)
    assert before["psth.__area_psth__structure"]
    assert before["responses.__area_summary__structure"]
    checked = old_results.vbn("deploy", "--check", check=False)
    assert checked.returncode == 1
    assert "due: change 3 of the layout: the filters 'good' and 'visual_coding'" in checked.stdout
    assert filters_of(old_results) == filters

    said = yield
    for name, other in RENAMED_FILTERS.items():
        assert f"The unit filter '{name}' and its results are now named '{other}'." in said
    assert said.count("are now named") == len(RENAMED_FILTERS)

    assert own_contents(old_results) == with_other_names(old_results, before, RENAMED_FILTERS)
    now = filters_of(old_results)
    assert {RENAMED_FILTERS.get(name, name): held for name, held in filters.items()}.items() <= now.items()
    assert now.keys() == {RENAMED_FILTERS.get(name, name) for name in filters} | UnitCriteria.defaults.keys()
    assert layout_of(old_results) == layout_of(shared_database)
    old_results.connect()
    assert {row.table for row in stale_rows()} == STALE
    for name, settings in UnitCriteria.defaults.items():
        assert UnitCriteria.get(name) == settings
        assert UnitCriteria.add(name, settings) is False
    for name in OWN_FILTERS:
        assert UnitCriteria.add(name, UnitCriteria.get(name)) is False
    assert seeds._tables_to_seed() == []


def case_name(case: Callable[..., Case]) -> str:
    return case.__name__


CASES += [
    the_index_of_novel_images_is_renamed_and_its_p_dropped,
    states_are_tested_within_blocks_and_allensdks_p_keeps_its_values,
    what_was_not_tested_of_full_field_flashes_may_be_null,
    renamed_tables_keep_rows_and_jobs_and_what_others_made_of_them,
    the_condition_of_image_parameters_becomes_a_flash_set,
    omissions_and_alignments_get_other_windows,
    the_index_of_changes_is_named_after_its_source_and_what_took_its_place_is_null,
    jobs_and_tables_of_others_follow_a_renamed_filter,
    corrected_filters_leave_the_results_of_the_old_ones_under_other_names,  # with what others enter
]


@pytest.mark.parametrize("case", CASES, ids=case_name)
def test_after_an_upgrade(case: Callable[..., Case], upgrade: Upgrade) -> None:
    with pytest.raises(StopIteration):
        upgrade.cases[case.__name__].send(upgrade.said)


def test_changes_that_were_not_yet_noted_are_made_again_and_change_nothing(upgrade: Upgrade) -> None:
    """Of change 17, the dumps lack the table of first spikes: its columns get their former names."""
    database = upgrade.database
    everything, layout = database.contents(), layout_of(database)
    units = place_of(database, "responses.__first_spike_latency__unit")
    for end in ("", "_low", "_high"):
        name = f"first_spike_siegle_2021_response_latency{end}"
        database.server.query(
            f"ALTER TABLE {units} RENAME COLUMN {name} TO {name.replace('siegle_2021_', '')}"
        )
    assert layout_of(database) != layout
    migration = place_of(database, "administration.migration")
    database.server.query(f"DELETE FROM {migration} WHERE migration IN (3, 6, 7, 8, 9, 17)")
    said = database.vbn("deploy").stdout
    assert [number for number in CHANGES if f"Change {number} of the layout" in said] == [3, 6, 7, 8, 9, 17]
    assert "are now named" not in said
    assert database.contents() == everything
    assert layout_of(database) == layout
    assert "Change" not in database.vbn("deploy").stdout
    assert database.contents() == everything
    assert "are up to date" in database.vbn("deploy", "--check").stdout


METRICS = ("isi_violations", "amplitude_cutoff", "presence_ratio")


def test_the_corrected_filters_are_computed_beside_the_old_ones(upgrade: Upgrade) -> None:
    old_results = upgrade.database
    old_results.vbn("populate", "--table", "UnitSelection")
    old_results.connect()
    from schemas import selection
    from schemas.rows.fetch import fetch_frame

    def passing(name: str) -> set[int]:
        return set((selection.UnitSelection.Unit & {"unit_criteria": name}).to_arrays("unit_id").tolist())

    units = fetch_frame(selection.ecephys.Recording.Unit.proj("quality", "peak_channel_id", *METRICS))
    channels = fetch_frame(selection.ecephys.Recording.Channel.proj("valid_data", "structure_acronym"))
    units = units.merge(channels, left_on="peak_channel_id", right_on="channel_id").set_index("unit_id")
    valid = units.query("valid_data and quality == 'good'").index
    limits = units.query("isi_violations <= 0.5 and amplitude_cutoff <= 0.1 and presence_ratio >= 0.9").index
    assert passing("good") == set(valid)
    assert passing("visual_coding") == passing("inclusive") == set(limits)
    present = units.query("presence_ratio >= 0.95 and structure_acronym.notna()").index
    assert passing("visual_coding_code") == set(valid) & set(limits) & set(present)
    # The session was made so that each has units exactly on its bounds, on a bad site, and without a label.
    assert len(passing("good_0_1_2") - passing("good")) == 2
    assert len(passing("visual_coding") - passing("visual_coding_0_1")) == 3


def test_a_database_of_a_newer_version_is_left_alone(empty_database: Any) -> None:
    migration = f'"{empty_database.prefix}administration"."migration"'
    empty_database.server.query(
        f"INSERT INTO {migration} VALUES (99, 'something new', '2030-01-01', 'somebody', '9.9')"
    )
    try:
        for command in ("status", "deploy"):
            done = empty_database.vbn(command, check=False)
            assert done.returncode == 1
            assert "are of a newer version of this package than" in done.stderr
            assert "(change 99 of the layout)" in done.stderr
    finally:
        empty_database.server.query(f"DELETE FROM {migration} WHERE migration = 99")


def test_a_table_that_somebody_changed_by_hand_is_named(make_database: Callable[..., Any]) -> None:
    database = make_database()
    try:
        mouse = f'"{database.prefix}session"."mouse"'
        database.server.query(f"ALTER TABLE {mouse} ADD COLUMN favourite_cheese varchar(32) NULL")
        checked = database.vbn("deploy", "--check", check=False)
        assert checked.returncode == 1
        found = f"{database.prefix}session.mouse has columns that are not in its definition: favourite_cheese"
        assert checked.stdout == f"differs: {found}\n"
    finally:
        database.drop()


def test_spaces_of_an_earlier_layout_are_open(database: Any) -> None:
    spaces, migration = (place_of(database, f"administration.{name}") for name in ("space", "migration"))
    query = database.server.query
    query(f"ALTER TABLE {spaces} DROP COLUMN space_closed_at")
    query(f"DELETE FROM {migration} WHERE migration = 16")
    row = "'space_ada', 'ada', NULL, 5, '2026-01-01', 'root'"
    query(f"INSERT INTO {spaces} VALUES ({row})")
    assert "Change 16 of the layout" in database.vbn("deploy").stdout
    assert query(f"SELECT space_owner, space_closed_at FROM {spaces}") == [("ada", None)]
    (state,) = database.json("admin", "spaces", "--json")
    assert (state["quota_bytes"], state["closed_at"]) == (5, None)
