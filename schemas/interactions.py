"""What the units of one session have in common: correlations and coincidences of pairs, and dimensions."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pandas as pd

from schemas import behavior, ecephys, performance, psth, selection, session, stimulus  # noqa: F401
from schemas.bases.parameter_table import ParameterTable, definition_of
from schemas.bases.provenance import provenance_lines, seed_of
from schemas.reading.recordings import located_frame
from schemas.rows.insert import insert_rows, rows_from_frame
from schemas.server.datajoint import dj
from schemas.server.datajoint.binding import Schema
from vbn.analysis.interactions.connectivity import (
    Connectivity,
    ConnectivityParameters,
    area_peaks,
    functional_connectivity,
    pair_distances,
)
from vbn.analysis.interactions.correlations import CorrelationParameters, area_pairs, pair_correlations
from vbn.analysis.interactions.dimensionality import DimensionalityParameters, dimensionality

schema = Schema()

Key = dict[str, Any]
PLACE = ("structure_acronym", "probe_vertical_position")


class OfPairs(selection.OfPopulations):
    """A table of what the units of a session have in common, of those that pass a filter.

    Attributes
    ----------
    parameter_table : the table of the parameter sets.
    """

    also_reads = (behavior.Licks,)
    parameter_table: ClassVar[type[ParameterTable]]

    @property
    def key_source(self) -> Any:
        """Selections by the filters for populations, of recordings whose licks have been imported."""
        return super().key_source & self.wanted_filters() & behavior.Licks.proj()

    @staticmethod
    def population(key: Key) -> tuple[pd.DataFrame, tuple[Any, Any, Any]]:
        """Return the selected units with structure and height above the tip, and their spikes."""
        read = psth.PresentationCounts.session_spikes
        units, spikes = selection.selected_spikes(key, key["unit_criteria"], read)
        where = located_frame(key, (), PLACE).set_index("unit_id")
        for name in PLACE:  # a merge fails where both are empty
            units[name] = units["unit_id"].map(where[name])
        return units, spikes

    def make_fetch(self, key: Key) -> tuple[Any, ...]:
        """Fetch the parameters."""
        return self.provenance(key), self.parameter_table.get(key)


@schema
class CorrelationParams(performance.OfFlashes):
    """One choice of flashes, units and pairs for correlations."""

    settings = CorrelationParameters
    defaults = {"successive_flashes": CorrelationParameters()}
    definition = definition_of(
        "correlation", "correlations", "vbn.analysis.interactions.correlations.CorrelationParameters"
    )


@schema
class Correlations(OfPairs):
    """The correlations between all pairs of units of one session that pass a quality filter."""

    parameter_table = CorrelationParams
    definition = f"""
    # Correlations between the units of one session
    -> selection.UnitSelection
    -> stimulus.Stimulus
    -> CorrelationParams
    ---
    n_correlated_units : int32  # units that pass the filter and fire enough
    n_correlation_flashes : int32  # flashes that were measured on
    n_correlation_differences : int32  # pairs of successive flashes of a run
    n_correlation_images : int32  # images
    correlated_unit_ids : <blob>  # (id) int64, unit of each row and column of the arrays
    noise_correlation : <npy@vbn>  # (1) float32, units by units, of differences between successive flashes
    plain_noise_correlation : <npy@vbn>  # (1) float32, likewise, of deviations from the image's mean
    signal_correlation : <npy@vbn>  # (1) float32, units by units, of means of images in halves of the runs
    {provenance_lines("correlations")}
    """

    class AreaPair(dj.Part):
        """The correlations between the units of two structures, or within one."""

        definition = """
        # Correlations between the units of two structures
        -> master
        -> ecephys.Structure.proj(first_structure="structure_acronym")
        -> ecephys.Structure.proj(second_structure="structure_acronym")
        ---
        n_unit_pairs : int32  # pairs of units, without neighbours on a probe
        noise_correlation_mean : float64  # (1) mean over these pairs
        noise_correlation_sd=null : float64  # (1) standard deviation over them, NULL for a single pair
        plain_noise_correlation_mean : float64  # (1) with slow drift, which units of a session share
        signal_correlation_mean=null : float64  # (1) NULL with too few images or runs
        signal_noise_slope=null : float64  # (1) of noise on signal correlation over the pairs, NULL if few
        """

    def make_compute(self, key: Key, made_with: Key, settings: CorrelationParameters) -> tuple[Any, ...]:
        """Correlate the counts of the units that pass the filter."""
        units, spikes = self.population(key)
        found = pair_correlations(*spikes, performance.chosen_flashes(key, settings.flash_set), settings)
        structures, probes = units["structure_acronym"], units["probe_name"]
        pairs = area_pairs(found, structures, probes, units["probe_vertical_position"], settings)
        return made_with, units.loc[found.is_used, "unit_id"], found, pairs

    def make_insert(self, key: Key, made_with: Key, unit_ids: Any, found: Any, pairs: pd.DataFrame) -> None:
        """Insert the matrices, and the means over pairs of structures."""
        row = {
            "n_correlated_units": len(unit_ids),
            "n_correlation_flashes": found.n_flashes,
            "n_correlation_differences": found.n_pairs,
            "n_correlation_images": found.n_images,
            "correlated_unit_ids": unit_ids.to_numpy(np.int64),
            "noise_correlation": found.noise.astype(np.float32),
            "plain_noise_correlation": found.plain_noise.astype(np.float32),
            "signal_correlation": found.signal.astype(np.float32),
        }
        self.insert1({**key, **made_with, **row})
        insert_rows(self.AreaPair(), rows_from_frame(pairs, self.AreaPair(), key, PAIR_ATTRIBUTES))


PAIR_ATTRIBUTES = {
    "first_structure": "first",
    "second_structure": "second",
    "n_unit_pairs": "n_pairs",
    "noise_correlation_mean": "noise_mean",
    "noise_correlation_sd": "noise_sd",
    "plain_noise_correlation_mean": "plain_noise_mean",
    "signal_correlation_mean": "signal_mean",
}


@schema
class DimensionalityParams(performance.OfFlashes):
    """One choice of flashes and of the numbers of units and flashes that are compared."""

    settings = DimensionalityParameters
    defaults = {"units_30": DimensionalityParameters()}
    definition = definition_of(
        "dimensionality", "dimensions", "vbn.analysis.interactions.dimensionality.DimensionalityParameters"
    )


@schema
class Dimensionality(OfPairs):
    """How many dimensions the activity of the structures of one session has, at equal numbers of units."""

    method_version = 3  # dimensions of images: 2: only where images differ; 3: only possible ones
    parameter_table = DimensionalityParams
    definition = f"""
    # Dimensions of the activity of the structures of one session
    -> selection.UnitSelection
    -> stimulus.Stimulus
    -> DimensionalityParams
    ---
    n_dimensionality_structures : int32  # structures with enough units
    {provenance_lines("dimensionality")}
    """

    class Area(dj.Part):
        """The dimensions of the activity of one structure."""

        definition = """
        # Dimensions of the activity of one structure
        -> master
        -> ecephys.Structure
        ---
        n_dimensionality_units : int32  # units that fire enough, of which the draws are taken
        participation_ratio : float64  # (1) of differences between successive flashes, mean over draws
        participation_ratio_sd=null : float64  # (1) standard deviation over draws
        plain_participation_ratio : float64  # (1) the same, which grows with the number of flashes
        dimensions_80 : float64  # (1) components with four fifths of the variance, mean over draws
        signal_participation_ratio=null : float64  # (1) of means of images, NULL where they do not differ
        """

    def make_compute(self, key: Key, made_with: Key, settings: DimensionalityParameters) -> tuple[Any, ...]:
        """Measure the structures with enough units."""
        units, spikes = self.population(key)
        flashes = performance.chosen_flashes(key, settings.flash_set)
        return made_with, dimensionality(*spikes, units["structure_acronym"], flashes, settings, seed_of(key))

    def make_insert(self, key: Key, made_with: Key, areas: pd.DataFrame) -> None:
        """Insert the structures."""
        self.insert1({**key, **made_with, "n_dimensionality_structures": len(areas)})
        columns = {"structure_acronym": "structure", "n_dimensionality_units": "n_units"}
        insert_rows(self.Area(), rows_from_frame(areas, self.Area(), key, columns))


@schema
class ConnectivityParams(performance.OfFlashes):
    """One choice of flashes, units, jitter and bounds for functional connectivity."""

    settings = ConnectivityParameters
    defaults = {"jitter_25": ConnectivityParameters()}
    definition = definition_of(
        "connectivity",
        "functional connectivity",
        "vbn.analysis.interactions.connectivity.ConnectivityParameters",
    )


@schema
class FunctionalConnectivity(OfPairs):
    """The pairs of units of one session that fire within milliseconds; computed only if requested."""

    is_optional = True
    parameter_table = ConnectivityParams
    definition = f"""
    # Pairs of units of one session that fire together within milliseconds
    -> selection.UnitSelection
    -> stimulus.Stimulus
    -> ConnectivityParams
    ---
    n_connectivity_units : int32  # units that pass the filter and fire enough
    n_connectivity_flashes : int32  # flashes that were measured on
    n_connectivity_pairs : int32  # pairs of these that were tested, with enough coincidences expected
    n_connectivity_peaks : int32  # pairs with a peak
    ccg_surrogate_fraction=null : float64  # (1) share of the tested pairs with a peak after jitter
    ccg_counts=null : <npy@vbn>  # (1) float32 peaks by lags, coincidences in bins of 1 ms, around lag 0
    ccg_expected=null : <npy@vbn>  # (1) float32 likewise, those that jitter leaves
    {provenance_lines("functional_connectivity")}
    """

    class Pair(dj.Part):
        """One pair of units whose cross-correlogram has a peak."""

        definition = """
        # Pair of units whose cross-correlogram has a peak
        -> master
        -> ecephys.Recording.Unit.proj(first_probe_name="probe_name", first_unit_id="unit_id")
        -> ecephys.Recording.Unit.proj(second_probe_name="probe_name", second_unit_id="unit_id")
        ---
        ccg_row : int32  # row of the pair in the arrays
        ccg_peak : float64  # (1) coincidences beyond those expected, per spike, geometric mean of both units
        ccg_peak_lag : float64  # (s) positive where the first unit fires before the second
        ccg_peak_z : float64  # (1) height in standard deviations of flanks or chance, whichever is more
        n_ccg_coincidences : int32  # coincidences at this lag
        ccg_peak_expected : float64  # (1) coincidences that jitter leaves at this lag
        pair_distance=null : float64  # (um) between the peak channels along the probe, NULL for two probes
        """

    class AreaPair(dj.Part):
        """The peaks between the units of two structures, in this order, or within one."""

        definition = """
        # Peaks between the units of two structures, without neighbours on a probe
        -> master
        -> ecephys.Structure.proj(first_structure="structure_acronym")
        -> ecephys.Structure.proj(second_structure="structure_acronym")
        ---
        n_ccg_pairs : int32  # pairs of units that were tested
        n_ccg_peaks : int32  # of which have a peak
        n_ccg_leading=null : int32  # peaks at which the unit of the first fires first, NULL within one
        n_ccg_following=null : int32  # peaks at which it fires second, NULL within one
        ccg_lead_score=null : float64  # (1) their difference over their sum, NULL without any, or within one
        """

    def make_compute(self, key: Key, made_with: Key, settings: ConnectivityParameters) -> tuple[Any, ...]:
        """Compare the spikes of the units that pass the filter."""
        units, spikes = self.population(key)
        flashes = performance.chosen_flashes(key, settings.flash_set)
        place = units["probe_name"], units["probe_vertical_position"]
        found = functional_connectivity(*spikes, flashes, *place, settings, seed_of(key))
        areas = area_peaks(found, units["structure_acronym"], *place, settings)
        return made_with, units, found, areas

    def make_insert(
        self, key: Key, made_with: Key, units: pd.DataFrame, found: Connectivity, areas: pd.DataFrame
    ) -> None:
        """Insert the correlograms with a peak, their pairs, and the numbers of pairs of structures."""
        n_pairs, n_peaks = int(found.is_tested.sum()), len(found.peaks)
        row = {
            "n_connectivity_units": int(found.is_used.sum()),
            "n_connectivity_flashes": found.n_flashes,
            "n_connectivity_pairs": n_pairs,
            "n_connectivity_peaks": n_peaks,
            "ccg_surrogate_fraction": found.n_surrogate_peaks / n_pairs if n_pairs else None,
            "ccg_counts": found.counts.astype(np.float32) if n_peaks else None,
            "ccg_expected": found.expected.astype(np.float32) if n_peaks else None,
        }
        self.insert1({**key, **made_with, **row})
        insert_rows(self.Pair(), rows_from_frame(_pair_rows(units, found.peaks), self.Pair(), key))
        names = {"first_structure": "first", "second_structure": "second", "ccg_lead_score": "lead_score"}
        names |= {f"n_ccg_{name}": f"n_{name}" for name in ("pairs", "peaks", "leading", "following")}
        insert_rows(self.AreaPair(), rows_from_frame(areas, self.AreaPair(), key, names))


def _pair_rows(units: pd.DataFrame, peaks: pd.DataFrame) -> pd.DataFrame:
    """Return the attributes of the pairs with a peak."""
    first, second = (peaks[name].to_numpy(np.int64) for name in ("first", "second"))
    distance = pair_distances(units["probe_name"], units["probe_vertical_position"])
    return pd.DataFrame(
        {
            **{
                f"{name}_{column}": units[column].to_numpy()[of]
                for name, of in (("first", first), ("second", second))
                for column in ("probe_name", "unit_id")
            },
            "ccg_row": np.arange(first.size),
            "ccg_peak": peaks["peak"],
            "ccg_peak_lag": peaks["lag_s"],
            "ccg_peak_z": peaks["z"],
            "n_ccg_coincidences": peaks["n_coincidences"],
            "ccg_peak_expected": peaks["n_expected"],
            "pair_distance": distance[first, second],
        }
    )
