"""Quality filters as rows, and the units that pass them."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable
from typing import Any

import pandas as pd

from schemas import ecephys, session
from schemas.bases.parameter_table import ParameterTable, definition_of
from schemas.bases.provenance import Computation, provenance_lines
from schemas.reading.recordings import located_frame, session_spikes
from schemas.rows.fetch import fetch_frame
from schemas.rows.insert import insert_rows, key_of_session, rows_from_frame
from schemas.server.datajoint import dj
from schemas.server.datajoint.binding import Schema
from vbn.analysis.selection import COMPARISONS, Criterion, passing_units
from vbn.analysis.selection import UnitCriteria as Filters
from vbn.analysis.spikes.trains import SpikePieces
from vbn.errors import SettingError

schema = Schema()

Key = dict[str, Any]
SessionSpikes = Callable[[Key], tuple[pd.DataFrame, SpikePieces]]

UNIT_METRICS = (
    "quality", "unit_firing_rate", "presence_ratio", "isi_violations", "amplitude_cutoff", "snr",
    "isolation_distance", "l_ratio", "d_prime", "nn_hit_rate", "nn_miss_rate", "silhouette_score",
    "max_drift", "cumulative_drift", "unit_amplitude", "waveform_duration", "pt_ratio",
    "repolarization_slope", "recovery_slope", "spread", "velocity_above", "velocity_below", "n_spikes",
)  # fmt: skip
CHANNEL_COLUMNS = ("structure_acronym", "probe_vertical_position", "probe_horizontal_position", "valid_data")
SESSION_COLUMNS = ("abnormal_histology", "abnormal_activity", "experience_level", "image_set")

STRICT_LIMITS = (
    Criterion("isi_violations", "<", 0.5),
    Criterion("amplitude_cutoff", "<", 0.1),
    Criterion("presence_ratio", ">", 0.9),
)
ISOLATED = (Criterion("isi_violations", "<=", 0.5), Criterion("amplitude_cutoff", "<=", 0.1))
VALID = (Criterion("valid_data", "==", True), Criterion("quality", "==", "good", absent_passes=True))


@schema
class UnitCriteria(ParameterTable):
    """One quality filter: criteria, all of which a unit must meet.

    ``all``: no filter, as AllenSDK's ``get_units`` without limits. ``good``: its
    ``filter_by_validity``, which requires a valid peak channel and the label good (files before release
    v0.5.0 have no labels, and none is required). ``quickstart``: the quick-start notebook.
    ``visual_coding``: AllenSDK's limits, inclusive, with the values given in the notebooks of the Visual
    Coding release. ``visual_coding_code``: AllenSDK's defaults for that release.
    ``bennett_2025``: the notebooks' limits, exclusive, for good units in sessions without abnormal
    histology or activity (Bennett et al. 2025). The sources, line by line, are in docs/definitions.md.
    """

    settings = Filters
    descriptive = ("for_populations",)
    later = {"absent_passes": False}
    defaults = {
        "all": Filters(for_populations=False),
        "good": Filters(VALID, for_populations=False),
        "quickstart": Filters(
            (
                Criterion("snr", ">", 1.0),
                Criterion("isi_violations", "<", 1.0),
                Criterion("unit_firing_rate", ">", 0.1),
            )
        ),
        "visual_coding": Filters((*ISOLATED, Criterion("presence_ratio", ">=", 0.9)), for_populations=False),
        "visual_coding_code": Filters(
            (
                *ISOLATED,
                Criterion("presence_ratio", ">=", 0.95),
                *VALID,
                Criterion("structure_acronym", "is not null"),
            ),
            for_populations=False,
        ),
        "bennett_2025": Filters(
            (
                *STRICT_LIMITS,
                Criterion("quality", "==", "good", null_passes=True),
                Criterion("abnormal_histology", "is null"),
                Criterion("abnormal_activity", "is null"),
            )
        ),
    }
    definition = definition_of(
        "unit_criteria", "a quality filter", "vbn.analysis.selection.UnitCriteria", key="unit_criteria"
    )

    class Criterion(dj.Part):
        """One criterion of a filter, for reading and searching; the master's content is authoritative."""

        definition = f"""
        # One criterion of a filter
        -> master
        criterion : int16  # number of the criterion
        ---
        criterion_column : varchar(64)  # attribute of Recording.Unit, Recording.Channel or Session
        criterion_comparison : enum({", ".join(f"'{name}'" for name in COMPARISONS)})  # kind of comparison
        criterion_value=null : json  # what it is compared with, NULL for the tests of NULL
        null_passes : bool  # whether a unit without a value meets it
        absent_passes : bool  # whether all units meet it where no unit of the recording has a value
        """

    @classmethod
    def checked(cls, content: Any) -> Filters:
        """Return content as a filter; refuse columns that units do not have."""
        filters: Filters = super().checked(content)
        frame = pd.DataFrame(columns=[*UNIT_METRICS, *CHANNEL_COLUMNS, *SESSION_COLUMNS, "structure_group"])
        try:
            passing_units(frame, filters)
        except ValueError as error:
            raise SettingError(str(error)) from error
        absent = [criterion.column for criterion in filters.criteria if criterion.absent_passes]
        if elsewhere := [column for column in absent if column not in UNIT_METRICS]:
            raise SettingError(f"absent_passes is for metrics of the units, not {', '.join(elsewhere)}.")
        return filters

    @classmethod
    def session_columns(cls, name: str) -> list[str]:
        """Return the attributes of the session that a filter uses."""
        return [each.column for each in cls.get(name).criteria if each.column in SESSION_COLUMNS]

    @classmethod
    def for_populations(cls) -> list[str]:
        """Return the names of the filters used for population averages."""
        return [name for name, content in cls.contents_by_name().items() if content["for_populations"]]

    @classmethod
    def _insert_checked(cls, row: Key) -> None:
        """Insert a filter and its criteria."""
        name = row["unit_criteria"]
        connection = cls.connection
        with contextlib.nullcontext() if connection.in_transaction else connection.transaction:
            super()._insert_checked(row)
            cls.Criterion.insert(
                {
                    "unit_criteria": name,
                    "criterion": number,
                    "criterion_column": criterion.column,
                    "criterion_comparison": criterion.comparison,
                    "criterion_value": criterion.value,
                    "null_passes": criterion.null_passes,
                    "absent_passes": criterion.absent_passes,
                }
                for number, criterion in enumerate(cls.get(name).criteria)
            )


@schema
class UnitSelection(Computation):
    """The units of one session that pass a quality filter.

    A filter may use attributes of the session, such as an abnormality, that are only known once the release's
    tables are loaded. A selection made before that is stale afterwards.
    """

    source_change = "the file, or what the catalogue says of the session, has changed"

    definition = f"""
    # The units of one session that pass a quality filter
    -> ecephys.Recording
    -> UnitCriteria
    ---
    n_selected : int32  # number of units that pass
    {provenance_lines("unit_selection")}
    """

    class Unit(dj.Part):
        """One unit that passes."""

        definition = """
        # One unit that passes the filter
        -> master
        -> ecephys.Recording.Unit
        """

    @classmethod
    def provenance(cls, key: Key) -> Key:
        """Return the current provenance values, including the session attributes that the filter uses."""
        made_with = super().provenance(key)
        row = (session.Session & key_of_session(key)).fetch1()
        made_with["unit_selection_source_hash"] += _values_hash(row, key["unit_criteria"])
        return made_with

    @classmethod
    def _present_sources(cls, frame: pd.DataFrame) -> pd.Series[Any]:
        rows = {row["session_id"]: row for row in session.Session.proj(*SESSION_COLUMNS).to_dicts()}
        pairs = zip(frame["session_id"], frame["unit_criteria"], strict=True)
        values = [_values_hash(rows[number], criteria) for number, criteria in pairs]
        return super()._present_sources(frame) + pd.Series(values, index=frame.index, dtype=object)

    def make_fetch(self, key: Key) -> tuple[Any, ...]:
        """Fetch the filter."""
        return self.provenance(key), UnitCriteria.get(key)

    def make_compute(self, key: Key, made_with: Key, filters: Filters) -> tuple[Any, ...]:
        """Find the units that pass."""
        units = described_units(key)
        return made_with, units.loc[passing_units(units, filters), ["probe_name", "unit_id"]]

    def make_insert(self, key: Key, made_with: Key, units: pd.DataFrame) -> None:
        """Insert the number of selected units, and the units."""
        self.insert1({**key, **made_with, "n_selected": len(units)})
        insert_rows(self.Unit(), rows_from_frame(units, self.Unit(), key))


def _values_hash(row: Key, criteria: str) -> str:
    """Return a hash of the session attributes that a filter uses; empty if none is known."""
    values = {name: row[name] for name in UnitCriteria.session_columns(criteria) if row[name] is not None}
    if not values:
        return ""
    return f":{hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]}"


def described_units(key: Key) -> pd.DataFrame:
    """Return a session's units with all columns that a filter may use, sorted by probe and unit id."""
    frame = located_frame(key, UNIT_METRICS, CHANNEL_COLUMNS)
    row = (session.Session & key_of_session(key)).fetch1()
    groups = ecephys.Structure.proj("structure_group").to_dicts()
    group_of = {structure["structure_acronym"]: structure["structure_group"] for structure in groups}
    frame["structure_group"] = frame["structure_acronym"].map(group_of)
    return frame.assign(**{name: [row[name]] * len(frame) for name in SESSION_COLUMNS})


def selected_spikes(
    key: Key, criteria: str, read: SessionSpikes = session_spikes
) -> tuple[pd.DataFrame, tuple[Any, Any, Any]]:
    """Return the units of a session that pass a filter, by probe and unit id, and their spikes.

    Parameters
    ----------
    key : contains the key of the session.
    criteria : name of the filter.
    read : what reads the spikes of all units, as `schemas.reading.recordings.session_spikes` does.
    """
    units, times = read(key)
    chosen = UnitSelection.Unit & key_of_session(key) & {"unit_criteria": criteria}
    passing = units["unit_id"].isin(fetch_frame(chosen.proj())["unit_id"])
    units = units[passing].reset_index(drop=True)
    return units, (times, units["spike_offset"], units["n_spikes"])


class OfPopulations(Computation):
    """A table of averages over units, computed with the filters for populations."""

    @classmethod
    def wanted_sets(cls, table: type[ParameterTable]) -> list[str]:
        """Return all sets; of the filters, only those for populations."""
        return UnitCriteria.for_populations() if table is UnitCriteria else super().wanted_sets(table)

    @classmethod
    def wanted_filters(cls) -> list[Key]:
        """Return the filters for populations as a restriction."""
        return [{"unit_criteria": name} for name in cls.wanted_sets(UnitCriteria)]
