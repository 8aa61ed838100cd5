"""Optotagging: which units respond to the laser and so belong to the labelled cell class.

In Sst and Vip mice, cells of that class carry channelrhodopsin and fire a few milliseconds after a pulse of
blue light begins. The light also causes an *artefact* at both edges of a pulse, in every mouse, which the
sorter takes for spikes. Laser levels are control voltages that differ from session to session.

`laser_evidence_by_condition` measures each unit's response to each waveform and level;
`label_units_by_method` labels units by one of the rules in `METHODS`, most of them published. Wild-type mice
receive the same pulses, so the share of their units that pass is a rule's false positive rate.
"""

from vbn.analysis.optotagging.conditions import condition_onsets, laser_conditions
from vbn.analysis.optotagging.evidence import CONDITION_EVIDENCE_COLUMNS, laser_evidence_by_condition
from vbn.analysis.optotagging.genotype import is_cre_positive
from vbn.analysis.optotagging.methods import (
    DEFAULT_METHOD,
    LABELS,
    METHODS,
    REASONS,
    TAGGED,
    UNLABELLED,
    UNTAGGED,
    LabelCriterion,
    LabelMethod,
    label_units_by_method,
)
from vbn.analysis.optotagging.parameters import EvidenceParameters
from vbn.analysis.optotagging.report import (
    CELL_CLASSES,
    cell_class,
    false_positive_rate,
    line_of,
    tagged_shares,
    wilson_interval,
)

__all__ = [
    "CELL_CLASSES",
    "CONDITION_EVIDENCE_COLUMNS",
    "DEFAULT_METHOD",
    "LABELS",
    "METHODS",
    "REASONS",
    "TAGGED",
    "UNLABELLED",
    "UNTAGGED",
    "EvidenceParameters",
    "LabelCriterion",
    "LabelMethod",
    "cell_class",
    "condition_onsets",
    "false_positive_rate",
    "is_cre_positive",
    "label_units_by_method",
    "laser_conditions",
    "laser_evidence_by_condition",
    "line_of",
    "tagged_shares",
    "wilson_interval",
]
