"""Numbers from arrays: firing rates around events, behaviour, task performance, optotagging.

Nothing here knows files or databases. Times are seconds on the session's clock.
"""

from vbn.analysis.aligned_behavior import AlignedBehavior, align_behavior, align_trace
from vbn.analysis.events import CONDITIONS, EVENTS, select_event_times
from vbn.analysis.optotagging import (
    OptotagParameters,
    highest_level_onsets,
    is_cre_positive,
    label_units,
    laser_evidence,
)
from vbn.analysis.performance import (
    PerformanceParameters,
    performance_metrics,
    response_latencies,
    reward_rate,
    rolling_performance,
)
from vbn.analysis.psth import Counts, Psth, TimeAxis, count_spikes, psth

__all__ = [
    "CONDITIONS",
    "EVENTS",
    "AlignedBehavior",
    "Counts",
    "OptotagParameters",
    "PerformanceParameters",
    "Psth",
    "TimeAxis",
    "align_behavior",
    "align_trace",
    "count_spikes",
    "highest_level_onsets",
    "is_cre_positive",
    "label_units",
    "laser_evidence",
    "performance_metrics",
    "psth",
    "response_latencies",
    "reward_rate",
    "rolling_performance",
    "select_event_times",
]
