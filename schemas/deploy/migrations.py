"""Numbered layout changes, which upgrade a database of an earlier version.

``vbn deploy`` applies the changes that a database lacks, and records them in `administration.Migration`. A
newly created database has all of them from the start. To add a change, append it to `CHANGES`; it must work
on both servers, and also after it was interrupted before (MySQL commits each ALTER TABLE at once).
"""

from __future__ import annotations

import contextlib
import getpass
import itertools
import json
import platform
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import vbn
from schemas.administration import Migration
from schemas.bases import unique_ids
from schemas.bases.parameter_table import parameters_hash
from schemas.bases.registry import schema_names
from schemas.deploy.bounded_modulation import bound_change_modulation
from schemas.deploy.nothing_tested import forget_numbers_of_nothing
from schemas.deploy.other_windows import compare_with_what_came_before
from schemas.deploy.shifts_and_shuffles import correlate_states_within_blocks
from schemas.deploy.stored_table import BLOB, FLAG, FLOAT, INTEGER, NAME, TEXT, TIME, ColumnType, StoredTable
from schemas.server.connection import Database
from vbn.errors import ConflictError

# Case-sensitive, as on PostgreSQL: `CM` is not `cm`. MySQL's default ignores case.
MYSQL_COLLATION = "utf8mb4_0900_bin"
LONGEST_WAIT_S = 120


@dataclass(frozen=True)
class Change:
    """One layout change; `apply` makes it and returns further messages for the user, if any."""

    number: int
    name: str
    apply: Callable[[Database], Iterable[str] | None]


def compare_text_with_case(database: Database) -> None:
    """Make text on MySQL case-sensitive; on PostgreSQL there is nothing to do."""
    if database.backend != "mysql":
        return
    query = database.connection.query
    ours = schema_names(database.prefix)  # not by pattern: another prefix may begin with this one
    among = ", ".join(["%s"] * len(ours))
    with _unchecked_references(database):  # both sides of a foreign key change, one after the other
        schemas = f"SELECT schema_name FROM information_schema.schemata WHERE schema_name IN ({among})"  # noqa: S608
        for (schema,) in query(schemas, args=ours).fetchall():
            query(f"ALTER DATABASE `{schema}` COLLATE {MYSQL_COLLATION}")
        tables = (
            "SELECT DISTINCT c.table_schema, c.table_name FROM information_schema.columns c "  # noqa: S608
            "JOIN information_schema.tables t USING (table_schema, table_name) "
            f"WHERE t.table_type = 'BASE TABLE' AND c.table_schema IN ({among}) AND c.collation_name <> %s"
        )
        for schema, table in query(tables, args=(*ours, MYSQL_COLLATION)).fetchall():
            query(
                f"ALTER TABLE `{schema}`.`{table}` CONVERT TO CHARACTER SET utf8mb4 COLLATE {MYSQL_COLLATION}"
            )


def create_schema(name: str, database: Database) -> None:
    """Create a missing MySQL schema, with case-sensitive text as on PostgreSQL."""
    query = database.connection.query
    if database.backend != "mysql":
        return
    present = "SELECT 1 FROM information_schema.schemata WHERE schema_name = %s"
    if not query(present, args=(name,)).fetchall():
        query(f"CREATE DATABASE IF NOT EXISTS `{name}` COLLATE {MYSQL_COLLATION}")


@contextlib.contextmanager
def _unchecked_references(database: Database) -> Iterator[None]:
    """Disable MySQL's foreign key checks within the block."""
    database.connection.query("SET SESSION foreign_key_checks = 0")
    try:
        yield
    finally:
        database.connection.query("SET SESSION foreign_key_checks = 1")


def index_units_by_id(database: Database) -> None:
    """Add an index on the unit id: the key begins with the mouse, so MySQL would search all units."""
    connection = database.connection
    schema, table = f"{database.prefix}ecephys", "_recording__unit"
    tables = "SELECT table_name FROM information_schema.tables WHERE (table_schema, table_name) = (%s, %s)"
    indexes = (
        "SELECT index_name FROM information_schema.statistics "
        "WHERE (table_schema, table_name, column_name, seq_in_index) = (%s, %s, 'unit_id', 1)"
        if database.backend == "mysql"
        else "SELECT indexname FROM pg_indexes WHERE (schemaname, tablename) = (%s, %s) "
        "AND indexdef LIKE '%%(unit_id)'"
    )
    if not connection.query(tables, args=(schema, table)).fetchall():
        return  # deploy creates it with its index
    if not connection.query(indexes, args=(schema, table)).fetchall():
        quote = connection.adapter.quote_identifier
        name = connection.adapter.make_full_table_name(schema, table)
        connection.query(f"CREATE INDEX {quote('unit_id')} ON {name} ({quote('unit_id')})")


LATER = "absent_passes"
CORRECTED_FILTERS: dict[str, list[tuple[str, str, Any, bool]]] = {
    "good": [("quality", "==", "good", True), ("valid_data", "==", True, False)],
    "visual_coding": [
        ("amplitude_cutoff", "<=", 0.1, False),
        ("isi_violations", "<=", 0.5, False),
        ("presence_ratio", ">=", 0.9, False),
    ],
    "visual_coding_code": [
        ("amplitude_cutoff", "<=", 0.1, False),
        ("isi_violations", "<=", 0.5, False),
        ("presence_ratio", ">=", 0.95, False),
        ("quality", "==", "good", True),
        ("structure_acronym", "is not null", None, False),
        ("valid_data", "==", True, False),
    ],
}
"""Name -> column, comparison, value, absent_passes: as inserted by change 3, regardless of later versions."""


def correct_filters(database: Database) -> list[str]:
    """Insert the corrected unit filters; filters that had their names are renamed, with their results.

    Every criterion gets the field ``absent_passes``, with the value that reproduces the earlier behavior.
    That value is not hashed, so nothing becomes stale.
    """
    stored = _StoredFilters(database)
    if not stored.columns():
        return []  # deploy creates the tables and inserts the filters
    stored.add_later_column()
    unchecked = database.backend == "mysql"
    with (
        _unchecked_references(database) if unchecked else contextlib.nullcontext(),
        database.connection.transaction,
    ):
        stored.fill_later_field()
        return [line for name in CORRECTED_FILTERS for line in stored.correct(name)]


@dataclass(frozen=True)
class _StoredFilters:
    """The unit filters in a database, as change 3 finds them."""

    database: Database

    def query(self, statement: str, *args: Any) -> Any:
        """Run a query, with the names of both tables filled in."""
        named = statement.format(
            filters=self._full_name(self._schema, "#unit_criteria"),
            criteria=self._full_name(self._schema, "#unit_criteria__criterion"),
        )
        return self.database.connection.query(named, args=args)

    def _full_name(self, schema: str, table: str) -> str:
        return str(self.database.connection.adapter.make_full_table_name(schema, table))

    @property
    def _schema(self) -> str:
        return f"{self.database.prefix}selection"

    def columns(self) -> set[str]:
        """Return the columns of the table of criteria; none if it does not exist."""
        columns = (
            "SELECT column_name FROM information_schema.columns WHERE (table_schema, table_name) = (%s, %s)"
        )
        rows = self.query(columns, self._schema, "#unit_criteria__criterion").fetchall()
        return {name for (name,) in rows}

    def add_later_column(self) -> None:
        """Add the column as in the table's definition, without a default, unless it exists."""
        comment = ":bool:whether all units meet it where no unit of the recording has a value"
        if self.database.backend == "mysql":
            if LATER not in self.columns():
                self.query(f"ALTER TABLE {{criteria}} ADD COLUMN {LATER} tinyint NOT NULL DEFAULT 0")
            self.query(f"ALTER TABLE {{criteria}} MODIFY {LATER} tinyint NOT NULL COMMENT '{comment}'")
        else:
            add = f"ADD COLUMN IF NOT EXISTS {LATER} boolean NOT NULL DEFAULT false"
            self.query(f"ALTER TABLE {{criteria}} {add}")
            self.query(f"ALTER TABLE {{criteria}} ALTER COLUMN {LATER} DROP DEFAULT")
            self.query(f"COMMENT ON COLUMN {{criteria}}.{LATER} IS '{comment}'")

    def contents(self) -> dict[str, Any]:
        """Return the filters' contents by name."""
        rows = self.query("SELECT unit_criteria, unit_criteria_content FROM {filters}").fetchall()
        return {name: json.loads(held) if isinstance(held, str) else held for name, held in rows}

    def fill_later_field(self) -> None:
        """Add the field to the criteria of all filters, with the value of the earlier behavior."""
        for name, content in self.contents().items():
            content["criteria"] = [{LATER: False, **criterion} for criterion in content["criteria"]]
            change = "UPDATE {filters} SET unit_criteria_content = %s WHERE unit_criteria = %s"
            self.query(change, json.dumps(content), name)

    def correct(self, name: str) -> Iterator[str]:
        """Insert a corrected filter unless it exists; yield a message if another filter had its name."""
        known, content = self.contents(), _corrected(name)
        if known.get(name) == content:
            return
        if name in known:
            other = next(each for each in _new_names(name) if each not in known)
            self.rename(name, other)
            yield f"The unit filter '{name}' and its results are now named '{other}'."
        self.insert(name, content)

    def rename(self, name: str, other: str) -> None:
        """Rename a filter in its table and wherever it is referenced, including users' own tables."""
        columns = [(self._schema, "#unit_criteria", "unit_criteria"), *self._jobs()]
        for schema, table, _ in self._jobs():  # left over from a deleted filter
            left = f"DELETE FROM {self._full_name(schema, table)} WHERE unit_criteria = %s"  # noqa: S608
            self.query(left, other)
        if self.database.backend == "mysql":
            # PostgreSQL cascades to all references; MySQL not to a table that refers to it in two ways.
            columns += self._references()
        quote = self.database.connection.adapter.quote_identifier
        for schema, table, column in columns:
            full_name, named = self._full_name(schema, table), f"{quote(column)} = %s"
            self.query(f"UPDATE {full_name} SET {named} WHERE {named}", other, name)  # noqa: S608

    def _references(self) -> list[tuple[str, str, str]]:
        """Return schema, table and column of all references, also indirect, to the filters' names (MySQL)."""
        referring = (
            "SELECT table_schema, table_name, column_name FROM information_schema.key_column_usage WHERE "
            "(referenced_table_schema, referenced_table_name, referenced_column_name) = (%s, %s, %s)"
        )
        found = [(self._schema, "#unit_criteria", "unit_criteria")]
        for column in found:  # grows during the loop
            rows = dict.fromkeys(map(tuple, self.query(referring, *column).fetchall()))
            found += [each for each in rows if each not in found]
        return found[1:]

    def _jobs(self) -> list[tuple[str, str, str]]:
        """Return the columns of our job tables that name a filter; job tables have no foreign keys."""
        naming = (
            "SELECT table_schema, table_name, column_name FROM information_schema.columns "
            "WHERE column_name = 'unit_criteria' AND table_schema = %s"
        )
        ours = schema_names(self.database.prefix)
        rows = [tuple(row) for schema in ours for row in self.query(naming, schema).fetchall()]
        return [row for row in rows if row[1].startswith("~~")]

    def insert(self, name: str, content: dict[str, Any]) -> None:
        """Insert a filter and its criteria; if a user's own has that content, the name is hashed too."""
        hashed = {"criteria": [_without_later(criterion) for criterion in content["criteria"]]}
        taken = self.query("SELECT unit_criteria_hash FROM {filters}").fetchall()
        digests = (parameters_hash(hashed, 1), parameters_hash({**hashed, "": name}, 1))
        digest = next(each for each in digests if (each,) not in taken)
        self.query(
            "INSERT INTO {filters} (unit_criteria, unit_criteria_content, unit_criteria_version, "
            "unit_criteria_hash) VALUES (%s, %s, 1, %s)",
            *(name, json.dumps(content), digest),
        )
        for number, criterion in enumerate(content["criteria"]):
            value = None if criterion["value"] is None else json.dumps(criterion["value"])
            self.query(
                "INSERT INTO {criteria} (unit_criteria, criterion, criterion_column, criterion_comparison, "  # noqa: S608
                f"criterion_value, null_passes, {LATER}) VALUES (%s, %s, %s, %s, %s, %s, %s)",
                *(name, number, criterion["column"], criterion["comparison"], value, False, criterion[LATER]),
            )


def _corrected(name: str) -> dict[str, Any]:
    fields = ("column", "comparison", "value", LATER)
    rows = [dict(zip(fields, row, strict=True)) for row in CORRECTED_FILTERS[name]]
    return {"criteria": [{**row, "null_passes": False} for row in rows], "for_populations": False}


def _new_names(name: str) -> Iterator[str]:
    """Yield possible new names for a filter that had a name before."""
    yield f"{name}_0_1"
    yield from (f"{name}_0_1_{number}" for number in itertools.count(2))


def _without_later(criterion: dict[str, Any]) -> dict[str, Any]:
    return {field: value for field, value in criterion.items() if (field, value) != (LATER, False)}


def make_ids_unique(database: Database) -> None:
    """Add unique indexes on the ids of probes, channels and units; `vbn deploy` reports shared ids."""
    unique_ids.make_ids_unique(database)


def name_novelty_for_what_it_is(database: Database) -> None:
    """Rename the index of novel and shared images, drop its p and q, and add the number of runs.

    The p-values compared different images within one session, so image tuning alone made them small.
    """
    units = StoredTable(database, "responses", "__image_selectivity__unit")
    units.drop("selectivity_p_novelty", "selectivity_q_novelty")
    units.rename("selectivity_novelty_index", "selectivity_novel_shared_index")
    units.describe(
        "selectivity_novel_shared_index",
        FLOAT,
        "(1) novel less shared images over the greater",
    )
    units.describe("selectivity_p_selectivity", FLOAT, "(1) Kruskal-Wallis test of run means between images")
    sessions = StoredTable(database, "responses", "__image_selectivity")
    runs = "runs of an image that were tested, NULL before method version 2"
    sessions.add("n_selectivity_runs", INTEGER, runs, after="n_selectivity_familiar_flashes")


def choose_flashes_by_sets(database: Database) -> None:
    """Let parameters of the image selectivity name a flash set, and its flags be NULL where none was tested.

    A set's condition becomes the flash set of the same flashes.
    """
    StoredTable(database, "responses", "#image_selectivity_params").change_contents(_name_flash_set)
    units = StoredTable(database, "responses", "__image_selectivity__unit")
    for name in ("responsive", "selective"):
        tested = "response" if name == "responsive" else "selectivity"
        comment = f"whether q of the {tested} is at most the threshold"
        units.allow_null(f"selectivity_is_{name}", FLAG, comment)
    sessions = StoredTable(database, "responses", "__image_selectivity")
    sessions.allow_null(
        "n_selectivity_responsive", INTEGER, "units that respond to images, NULL where none was tested"
    )


def _name_flash_set(_name: str, content: dict[str, Any]) -> None:
    if "condition" in content:
        content["flash_set"] = f"repeated_{content.pop('condition')}"


def name_full_field_responses(database: Database) -> None:
    """Name responses to full-field flashes, and receptive fields, apart from flashes of images.

    ``FlashResponse`` becomes ``FullFieldResponse``, with its parts, parameters and jobs, ``flash_*`` becomes
    ``full_field_*`` there, and ``field_*`` of receptive fields ``rf_*``. Whether a unit responds to
    full-field flashes may be NULL, where there were none.
    """
    for before, after in (("#", "_params"), ("__", ""), ("__", "__unit"), ("~~", "")):
        named = StoredTable(database, "responses", f"{before}flash_response{after}")
        named.rename_table(f"{before}full_field_response{after}").rename_all("^(n_)?flash_", r"\1full_field_")
    units = StoredTable(database, "responses", "__full_field_response__unit")
    units.allow_null("full_field_is_responsive", FLAG, "whether q of either is at most the threshold")
    for table in ("__receptive_field", "__receptive_field__unit"):
        StoredTable(database, "responses", table).rename_all("^(n_)?field_", r"\1rf_")
    fields = StoredTable(database, "responses", "__receptive_field__unit")
    for name, offset in (("rf_azimuth", "rf_center_x + 50"), ("rf_elevation", "rf_center_y + 10")):
        fields.describe(name, FLOAT, f"(deg) centre in the frame of AllenSDK, {offset}")


def know_the_store(database: Database) -> None:
    """Nothing: the new table for the store's id is created, and filled, by every deploy."""


def record_who_registers(database: Database) -> None:
    """Add the account that registered a file, among which workers share their time."""
    files = StoredTable(database, "session", "nwb_file")
    comment = "account that registered it; workers share their time among these"
    files.add("registered_by", TEXT, comment, after="package_version")


def measure_from_the_pia(database: Database) -> None:
    """Add the distances of channels from the pia; atlases have no streamlines so far."""
    fields = dict.fromkeys(("streamlines", "streamlines_blake2b", "surface", "surface_blake2b"))
    atlases = StoredTable(database, "ecephys", "#atlas_params")
    atlases.change_contents(lambda _name, content: content.update({**fields, **content}))
    comments = {
        "pia_distance": "(um) straight to the pia, where the site's streamline begins",
        "streamline_distance": "(um) from the pia along the streamline, NULL without one",
        "streamline_length": "(um) length of the streamline: the thickness of the cortex there",
    }
    channels = StoredTable(database, "ecephys", "__channel_layer__channel")
    channels.add_all(FLOAT, comments, after="cortical_depth")
    comment = "(1) 0 at the pia, 1 at the white matter, NULL in no layer or snapped"
    channels.describe("cortical_depth", FLOAT, comment)


def tell_peaks_of_published_responses_apart(database: Database) -> None:
    """Let parameters of the published responsiveness say what its peaks are: so far, those over flashes."""
    sets = StoredTable(database, "responses", "#published_response_params")
    sets.change_contents(lambda _name, content: content.setdefault("peak_over", "flashes"))
    units = StoredTable(database, "responses", "__published_response__unit")
    for kind in ("omission", "change"):
        comment = f"(Hz) peak over {kind}s or time less gray"
        units.describe(f"bennett_2025_{kind}_peak_evoked", FLOAT, comment)
    comment = "(Hz) float64, peak over flashes or time less gray"
    units.describe("bennett_2025_image_peak_evoked", BLOB, comment, nullable=False)


OF_OTHER_RIGS: dict[tuple[str, str], dict[str, tuple[ColumnType, str]]] = {
    ("session", "mouse"): {"genotype": (TEXT, "full genotype, wt/wt for a wild type, NULL where not stated")},
    ("session", "session"): {
        "equipment_name": (NAME, "rig that the session was recorded on"),
        "stimulus_frame_rate": (FLOAT, "(Hz) nominal frame rate of the monitor"),
    },
    ("ecephys", "_recording__probe"): {
        "sampling_rate": (FLOAT, "(Hz) measured sampling rate of the spike band")
    },
    ("ecephys", "_recording__channel"): {
        "probe_channel_number": (INTEGER, "index on the probe, 0 at the tip"),
        "probe_vertical_position": (INTEGER, "(um) distance from the tip"),
        "probe_horizontal_position": (INTEGER, "(um) position across the shank"),
        "valid_data": (FLAG, "whether the site is usable"),
    },
    ("behavior", "_change_detection__trial"): {
        "reward_volume": (FLOAT, "(mL) volume of the reward, 0 without"),
        "lick_times": (BLOB, "(s) float64, licks of the trial, frame times without the display lag"),
    },
    ("behavior", "_task_parameters"): {
        "task": (NAME, "name of the task"),
        "stimulus": (NAME, "images or grating"),
        "stimulus_distribution": (NAME, "distribution of the times of changes"),
        "shortest_blank": (FLOAT, "(s) shortest gray between flashes"),
        "longest_blank": (FLOAT, "(s) longest gray between flashes"),
        "response_window_start": (FLOAT, "(s) begin of the response window after the change"),
        "response_window_stop": (FLOAT, "(s) end of the response window after the change"),
        "earned_reward_volume": (FLOAT, "(mL) water for a hit"),
        "auto_reward_volume": (FLOAT, "(mL) water given free"),
        "n_stimulus_frames": (INTEGER, "frames of the behavior block with a stimulus drawn"),
    },
}
"""Table -> columns that are NULL where files of another rig lack them, as change 15 describes them."""


def accept_files_of_other_rigs(database: Database) -> None:
    """Let what files of other rigs lack be NULL, and say of each session which project it belongs to."""
    for (module, table), columns in OF_OTHER_RIGS.items():
        stored = StoredTable(database, module, table)
        for name, (kind, comment) in columns.items():
            stored.allow_null(name, kind, comment)
    comment = "data set that the session belongs to, such as a rig of the lab"
    sessions = StoredTable(database, "session", "session")
    sessions.add_with_default("project", NAME, comment, "abnormal_activity", "vbn-release")


def note_closed_spaces(database: Database) -> None:
    """Add since when the owner of a space may not add to it."""
    spaces = StoredTable(database, "administration", "space")
    comment = "(UTC) since when its owner may not add to it, NULL while she may"
    spaces.add("space_closed_at", TIME, comment, after="space_made_by")


def name_indices_and_latencies_after_their_sources(database: Database) -> None:
    """Give what is an index of AllenSDK's or a latency of Siegle 2021 that name; describe two flags anew."""
    for prefix in ("running", "pupil"):
        units = StoredTable(database, "responses", f"__{prefix}_modulation__unit")
        units.rename(f"{prefix}_modulation_index", f"{prefix}_allensdk_modulation_index")
    units = StoredTable(database, "responses", "__first_spike_latency__unit")
    units.rename_all("^first_spike_response_latency", "first_spike_siegle_2021_response_latency")
    units = StoredTable(database, "responses", "__full_field_response__unit")
    units.describe("full_field_is_responsive", FLAG, "whether q of either is at most half the threshold")
    units = StoredTable(database, "responses", "__receptive_field__unit")
    comment = "whether p and q are below the thresholds, NULL if not tested"
    units.describe("rf_is_significant", FLAG, comment)
    units.describe("rf_fit_amplitude", FLOAT, "(Hz) amplitude of the Gaussian, of units with a small p")
    sets = StoredTable(database, "responses", "#receptive_field_params")
    sets.change_contents(lambda _name, content: content.setdefault("max_q_value", 0.05))
    forget_numbers_of_nothing(database)


CHANGES = (
    Change(1, "text is compared with case on MySQL too", compare_text_with_case),
    Change(2, "units are found by their id alone", index_units_by_id),
    Change(3, "the filters 'good' and 'visual_coding' are AllenSDK's", correct_filters),
    Change(4, "ids of probes, channels and units are unique", make_ids_unique),
    Change(
        5,
        "novel and shared images have an index and no p",
        name_novelty_for_what_it_is,
    ),
    Change(6, "image selectivity is measured on the flashes of a flash set", choose_flashes_by_sets),
    Change(7, "change modulation is of changes without licks near them", bound_change_modulation),
    Change(
        8,
        "omissions and alignments have other windows",
        compare_with_what_came_before,
    ),
    Change(
        9,
        "running and pupil are tested within blocks, fields by as many shuffles as needed",
        correlate_states_within_blocks,
    ),
    Change(10, "full-field flashes and receptive fields are named so", name_full_field_responses),
    Change(11, "the array store is known by an id", know_the_store),
    Change(12, "files have the account that registered them", record_who_registers),
    Change(13, "channels have distances from the pia", measure_from_the_pia),
    Change(14, "the published responsiveness has two variants", tell_peaks_of_published_responses_apart),
    Change(15, "files of other rigs may lack columns, sessions have a project", accept_files_of_other_rigs),
    Change(16, "spaces are closed while they are too large", note_closed_spaces),
    Change(
        17,
        "indices and latencies of a source have its name, fields are significant by q",
        name_indices_and_latencies_after_their_sources,
    ),
)


def pending(database: Database) -> list[Change]:
    """Return the changes that a database lacks, in order; none for a database without our tables.

    Raises
    ------
    ConflictError
        If a newer version of this package has changed the layout.
    """
    applied = applied_changes(database)
    if applied is None:
        return []
    if unknown := sorted(applied - {change.number for change in CHANGES}):
        raise ConflictError(
            f"The tables under '{database.prefix}...' on the {database} are of a newer version of this "
            f"package than {vbn.__version__} (change {unknown[-1]} of the layout). Install that version."
        )
    return [change for change in CHANGES if change.number not in applied]


def applied_changes(database: Database) -> set[int] | None:
    """Return the numbers of the applied changes; None if the database has none of our tables."""
    query = database.connection.query
    present = "SELECT table_schema FROM information_schema.tables WHERE (table_schema, table_name) = (%s, %s)"
    if not query(present, args=(f"{database.prefix}session", "mouse")).fetchall():
        return None
    if not query(present, args=(f"{database.prefix}administration", "migration")).fetchall():
        return set()
    name = database.connection.adapter.make_full_table_name(f"{database.prefix}administration", "migration")
    return {int(row[0]) for row in query(f"SELECT migration FROM {name}").fetchall()}  # noqa: S608


def upgrade(
    database: Database, changes: list[Change], report: Callable[[str], None] = lambda _line: None
) -> None:
    """Apply changes and record each; an interrupted one is applied again the next time.

    Call it while holding the deploy lock, when `administration.Migration` exists.
    """
    if database.backend == "mysql" and changes:
        # A change waits for running queries on the table; all later queries would wait behind it.
        database.connection.query(f"SET SESSION lock_wait_timeout = {LONGEST_WAIT_S}")
    for change in changes:
        report(f"Change {change.number} of the layout: {change.name}.")
        for line in change.apply(database) or ():
            report(line)
        record([change], database)


def record(changes: list[Change], database: Database) -> None:
    """Record changes as applied now."""
    now = datetime.now(UTC).replace(tzinfo=None)
    who = f"{database.connection.get_user()} ({getpass.getuser()} on {platform.node()})"[:255]
    rows = [
        {
            "migration": change.number,
            "migration_name": change.name,
            "applied_at": now,
            "applied_by": who,
            "applied_version": vbn.__version__,
        }
        for change in changes
    ]
    Migration.insert(rows, skip_duplicates=True)
