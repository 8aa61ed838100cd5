"""Common queries: selecting units, sessions and presentations, and fetching their data for figures.

`units`, `sessions`, `changes`, `omissions` ... return DataJoint expressions that can be restricted and joined
further. `psth_matrix`, `responses_table`, `spike_times`, `spike_tensor`, `presentation_counts`,
`trial_table`, `flash_table`, `encoding_table`, `encoding_dropouts`, `decoding_table` and `strategy_table`
fetch data; `to_pynapple`, `to_intervals`, `to_spikeinterface`, `to_arrow`, `to_polars` and `save_matrix`
hand it on. A misspelled name or value raises an error that suggests the nearest valid ones; results that are
not computed yet, or were computed by an earlier method, raise an error, too.
"""

from schemas.bases.lab_queries import lab_queries
from schemas.queries.checks import restrict
from schemas.queries.column_list import columns, with_results
from schemas.queries.columns import RESPONSES
from schemas.queries.connectivity import area_connectivity, connectivity
from schemas.queries.contrast import contrast
from schemas.queries.counts import presentation_counts, spike_tensor
from schemas.queries.decoding import decoding_courses, decoding_table, trial_decoding_table
from schemas.queries.encoding import encoding_dropouts, encoding_kernels, encoding_table
from schemas.queries.flashes import flash_table
from schemas.queries.lab import lab_query
from schemas.queries.layers import layer4_sinks, unit_layers
from schemas.queries.methods import EarlierMethodWarning
from schemas.queries.missing import IncompleteWarning
from schemas.queries.named_lists import list_kind, list_members, lists, remove_list, rename_list, save_list
from schemas.queries.novelty import novelty
from schemas.queries.pairs import correlations, noise_correlation
from schemas.queries.presentations import changes, flashes, full_field_flashes, gabors, omissions
from schemas.queries.results import psth_matrix, responses_table, spike_times, trial_table
from schemas.queries.sessions import REQUIREMENTS, familiar_novel_pairs, sessions
from schemas.queries.strategy import strategy_table, strategy_weights
from schemas.queries.tools import (
    session_intervals,
    to_arrow,
    to_intervals,
    to_polars,
    to_pynapple,
    to_spikeinterface,
)
from schemas.queries.trajectories import images
from schemas.queries.unit_table import count_units, unit_table
from schemas.queries.units import cell_classes, units
from schemas.queries.written_notes import add_notes, notes, withdraw_note
from vbn.interop.matrices import open_matrix, save_matrix

__all__ = [
    "REQUIREMENTS",
    "RESPONSES",
    "EarlierMethodWarning",
    "IncompleteWarning",
    "add_notes",
    "area_connectivity",
    "cell_classes",
    "changes",
    "columns",
    "connectivity",
    "contrast",
    "correlations",
    "count_units",
    "decoding_courses",
    "decoding_table",
    "encoding_dropouts",
    "encoding_kernels",
    "encoding_table",
    "familiar_novel_pairs",
    "flash_table",
    "flashes",
    "full_field_flashes",
    "gabors",
    "images",
    "lab_queries",
    "lab_query",
    "layer4_sinks",
    "list_kind",
    "list_members",
    "lists",
    "noise_correlation",
    "notes",
    "novelty",
    "omissions",
    "open_matrix",
    "presentation_counts",
    "psth_matrix",
    "remove_list",
    "rename_list",
    "responses_table",
    "restrict",
    "save_list",
    "save_matrix",
    "session_intervals",
    "sessions",
    "spike_tensor",
    "spike_times",
    "strategy_table",
    "strategy_weights",
    "to_arrow",
    "to_intervals",
    "to_polars",
    "to_pynapple",
    "to_spikeinterface",
    "trial_decoding_table",
    "trial_table",
    "unit_layers",
    "unit_table",
    "units",
    "with_results",
    "withdraw_note",
]
