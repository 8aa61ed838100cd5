"""Numbers from arrays: responses of units, behaviour, task performance, optotagging.

Nothing here knows files or databases. Times are seconds on the session's clock. Spikes come as three arrays,
see `vbn.analysis.spikes`. The functions of the responses are in modules of their own names, such as
``vbn.analysis.change_response.change_response``.
"""

from vbn.analysis.aligned_behavior import AlignedBehavior, align_behavior, align_trace
from vbn.analysis.change_response import ChangeResponseParameters
from vbn.analysis.engagement import ENGAGEMENT, EngagementParameters, engaged_trials, engagement_epochs
from vbn.analysis.events import EventSelection, SessionEvents, find_events
from vbn.analysis.flash_response import FlashResponseParameters
from vbn.analysis.flash_selection import outcome_of_change
from vbn.analysis.image_selectivity import ImageSelectivityParameters, lifetime_sparseness
from vbn.analysis.licking import lick_bouts
from vbn.analysis.omission_response import OmissionResponseParameters
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
from vbn.analysis.performance import (
    PerformanceParameters,
    performance_metrics,
    response_latencies,
    reward_rate,
    rolling_performance,
)
from vbn.analysis.population import area_summary, population_psth
from vbn.analysis.psth import Counts, Psth, TimeAxis, count_spikes, psth
from vbn.analysis.receptive_field import ReceptiveFieldParameters
from vbn.analysis.running_modulation import StateModulationParameters
from vbn.analysis.selection import Criterion, UnitCriteria, passing_units
from vbn.analysis.spikes import SpikePieces
from vbn.analysis.task_statistics import image_statistics, lick_latencies, pooled_statistics
from vbn.analysis.trial_response import trial_counts, trial_events
from vbn.analysis.windows import count_in_windows

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
    "FlashResponseParameters",
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
