"""Numbers from arrays: responses of units, behaviour, task performance, optotagging.

Nothing here reads files or databases. Times are seconds on the session clock. Spikes come as three arrays,
see `vbn.analysis.spikes.trains`. Each response metric has a module of its own name, such as
``vbn.analysis.responses.change_response.change_response``.
"""

from vbn.analysis.optotagging import (
    DEFAULT_METHOD,
    METHODS,
    EvidenceParameters,
    LabelMethod,
    cell_class,
    label_units_by_method,
    laser_conditions,
    laser_evidence_by_condition,
    tagged_shares,
)
from vbn.analysis.responses.change_response import ChangeResponseParameters
from vbn.analysis.responses.flash_selection import outcome_of_change
from vbn.analysis.responses.full_field_response import FullFieldResponseParameters
from vbn.analysis.responses.image_selectivity import ImageSelectivityParameters, lifetime_sparseness
from vbn.analysis.responses.omission_response import OmissionResponseParameters
from vbn.analysis.responses.receptive_field import ReceptiveFieldParameters
from vbn.analysis.responses.running_modulation import StateModulationParameters
from vbn.analysis.selection import Criterion, UnitCriteria, passing_units
from vbn.analysis.spikes.aligned_behavior import AlignedBehavior, align_behavior, align_trace
from vbn.analysis.spikes.population import area_summary, population_psth
from vbn.analysis.spikes.psth import Counts, Psth, TimeAxis, count_spikes, psth
from vbn.analysis.spikes.trains import SpikePieces
from vbn.analysis.spikes.windows import count_in_windows
from vbn.analysis.task.engagement import ENGAGEMENT, EngagementParameters, engaged_trials, engagement_epochs
from vbn.analysis.task.events import EventSelection, SessionEvents, find_events
from vbn.analysis.task.licking import lick_bouts
from vbn.analysis.task.performance import (
    PerformanceParameters,
    performance_metrics,
    response_latencies,
    reward_rate,
    rolling_performance,
)
from vbn.analysis.task.task_statistics import image_statistics, lick_latencies, pooled_statistics
from vbn.analysis.task.trial_response import trial_counts, trial_events

__all__ = [
    "DEFAULT_METHOD",
    "ENGAGEMENT",
    "METHODS",
    "AlignedBehavior",
    "ChangeResponseParameters",
    "Counts",
    "Criterion",
    "EngagementParameters",
    "EventSelection",
    "EvidenceParameters",
    "FullFieldResponseParameters",
    "ImageSelectivityParameters",
    "LabelMethod",
    "OmissionResponseParameters",
    "PerformanceParameters",
    "Psth",
    "ReceptiveFieldParameters",
    "SessionEvents",
    "SpikePieces",
    "StateModulationParameters",
    "TimeAxis",
    "UnitCriteria",
    "align_behavior",
    "align_trace",
    "area_summary",
    "cell_class",
    "count_in_windows",
    "count_spikes",
    "engaged_trials",
    "engagement_epochs",
    "find_events",
    "image_statistics",
    "label_units_by_method",
    "laser_conditions",
    "laser_evidence_by_condition",
    "lick_bouts",
    "lick_latencies",
    "lifetime_sparseness",
    "outcome_of_change",
    "passing_units",
    "performance_metrics",
    "pooled_statistics",
    "population_psth",
    "psth",
    "response_latencies",
    "reward_rate",
    "rolling_performance",
    "tagged_shares",
    "trial_counts",
    "trial_events",
]
