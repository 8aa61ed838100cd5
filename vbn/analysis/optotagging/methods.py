"""Rules for labelling units from their laser responses.

A *method* is a named list of criteria on the columns of `laser_evidence_by_condition`, all at the highest
level of their waveform, plus the minimum evidence it needs to label a unit. Methods never change; a new rule
is a new method. The default is ``bennett_2025``, the published one.

Whether a unit *passes* does not depend on the genotype: in wild-type mice, whose cells have no opsin, the
fraction of units that pass is the method's false positive rate.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from vbn.analysis.optotagging.genotype import is_cre_positive
from vbn.analysis.spikes.trains import Booleans
from vbn.analysis.statistics import benjamini_hochberg

PULSE, COSINE = "pulse", "raised_cosine"
TAGGED, UNTAGGED, UNLABELLED = "tagged", "untagged", "unlabelled"
LABELS = (TAGGED, UNTAGGED, UNLABELLED)
REASONS = (
    "",
    "no_response",
    "not_cre",
    "no_laser_table",
    "too_few_pulses",
    "too_few_spikes",
    "artifact_only",
)
_COMPARISONS = MappingProxyType({">": np.greater, ">=": np.greater_equal, "<": np.less, "<=": np.less_equal})


@dataclass(frozen=True)
class LabelCriterion:
    """A condition that a unit must meet: ``column comparison value`` at a waveform's highest level.

    Parameters
    ----------
    column : a column of `laser_evidence_by_condition`; NaN does not meet the criterion.
    comparison : ``>``, ``>=``, ``<`` or ``<=``.
    value : threshold, in the column's unit.
    waveform : stimulus_name of the pulses.
    """

    column: str
    comparison: str
    value: float
    waveform: str = PULSE

    def __post_init__(self) -> None:
        if self.comparison not in _COMPARISONS:
            raise ValueError(f"comparison must be one of {', '.join(_COMPARISONS)}, not {self.comparison!r}.")

    def met(self, evidence: pd.DataFrame) -> Booleans:
        """Return which rows meet the criterion, (n_rows,)."""
        values = evidence[self.column].to_numpy(np.float64)
        return np.asarray(_COMPARISONS[self.comparison](values, self.value), dtype=np.bool_)


@dataclass(frozen=True)
class LabelMethod:
    """A labelling rule and the minimum evidence it needs.

    Parameters
    ----------
    name : unique, human-readable name.
    source : publication or code that defines the rule, and our changes to it.
    criteria : a tagged unit meets all of them.
    p_column : column with the rule's p-value for 10 ms pulses; empty if it uses none.
    max_q : if not None, the p-value adjusted over the session's units must be at most this.
    min_pulses : no unit is labelled with fewer highest-level pulses than this of any waveform in the
        criteria.
    min_spikes : units with fewer spikes in the laser epoch are not labelled: they may have been lost by then.
    max_artifact_p, min_answer_p : a unit that does not pass is not labelled if its spikes at the pulse edges
        are significant at ``max_artifact_p`` while its evoked spikes are not at ``min_answer_p``: it may fire
        artefacts only.
    """

    name: str
    source: str
    criteria: tuple[LabelCriterion, ...]
    p_column: str = ""
    max_q: float | None = None
    min_pulses: int = 3
    min_spikes: int = 5
    max_artifact_p: float = 0.001
    min_answer_p: float = 0.05

    def __post_init__(self) -> None:
        criteria = tuple(c if isinstance(c, LabelCriterion) else LabelCriterion(**c) for c in self.criteria)
        object.__setattr__(self, "criteria", criteria)  # from JSON, criteria come as dicts
        if not criteria:
            raise ValueError(f"method {self.name!r} must have one criterion or more.")
        if self.max_q is not None and not self.p_column:
            raise ValueError(f"method {self.name!r} limits q, so it must name the column of its p-value.")

    @property
    def waveforms(self) -> tuple[str, ...]:
        """Waveforms used by the criteria; the short pulses come first."""
        return tuple(dict.fromkeys((PULSE, *(criterion.waveform for criterion in self.criteria))))


def _bennett(latency: str, jitter: str, z: str, fraction: str) -> tuple[LabelCriterion, ...]:
    return (
        LabelCriterion(z, ">", 2.0),
        LabelCriterion(latency, "<", 0.008),
        LabelCriterion(jitter, "<", 0.002),
        LabelCriterion(fraction, ">", 0.3, COSINE),
    )


_ALL = (
    LabelMethod(
        "bennett_2025",
        "Bennett et al. 2025 (doi 10.1101/2025.10.17.683190), with latencies counted from the pulse's onset, "
        "a z-score also for units silent in the gaps, and bins of the raised cosine tested together where "
        "there are fewer than 50 pulses",
        _bennett("bennett_latency_s", "bennett_jitter_s", "z", "cosine_fraction"),
    ),
    LabelMethod(
        "bennett_2025_code",
        "the same as published in code (corbennett/VBN_code, opto_tagging_utils.py), to the letter",
        _bennett("bennett_code_latency_s", "bennett_code_jitter_s", "bennett_z", "bennett_cosine_fraction"),
    ),
    LabelMethod(
        "swdb_2022",
        "Allen Institute, Summer Workshop on the Dynamic Brain 2022, VBN_Optotagging",
        (LabelCriterion("swdb_evoked_rate_hz", ">", 50.0), LabelCriterion("swdb_fold", ">", 5.0)),
    ),
    LabelMethod(
        "tutorial",
        "windows of AllenSDK's VBN quick-start notebook, which has no threshold; fold above 2 as in "
        "AllenSDK's ecephys_optotagging notebook for Visual Coding",
        (LabelCriterion("tutorial_fold", ">", 2.0),),
    ),
    LabelMethod(
        "salt",
        "Kvitsiani et al. 2013 (doi 10.1038/nature12176): p < 0.001, and a spike in 33 % of the pulses as is "
        "commonly asked besides",
        (LabelCriterion("p_salt", "<", 0.001), LabelCriterion("reliability", ">=", 0.33)),
        p_column="p_salt",
        max_q=0.05,
    ),
    LabelMethod(
        "wilcoxon_latency",
        "paired Wilcoxon test with latency, jitter and reliability, as in the Allen databook's optotagging "
        "pages; their numbers but for the latency (10 ms) are ours",
        (
            LabelCriterion("first_spike_latency_s", "<", 0.010),
            LabelCriterion("first_spike_jitter_s", "<", 0.002),
            LabelCriterion("reliability", ">=", 0.33),
        ),
        p_column="p_wilcoxon",
        max_q=0.05,
        # Even if all pulses evoke spikes, fewer than eight cannot give a p-value that survives correction.
        min_pulses=8,
    ),
    LabelMethod(
        "censored_pulses",
        "this package: the rate of SWDB 2022 outside the artefacts, against a longer baseline, with "
        "reliability, and latency and jitter of Bennett 2025",
        (
            LabelCriterion("evoked_rate_hz", ">", 50.0),
            LabelCriterion("fold", ">", 3.0),
            LabelCriterion("censored_p_wilcoxon", "<=", 0.05),
            LabelCriterion("reliability", ">=", 0.5),
            LabelCriterion("first_spike_latency_s", "<", 0.008),
            LabelCriterion("first_spike_jitter_s", "<", 0.002),
        ),
        p_column="censored_p_wilcoxon",
    ),
)
METHODS: Mapping[str, LabelMethod] = MappingProxyType({method.name: method for method in _ALL})
DEFAULT_METHOD = "bennett_2025"


def label_units_by_method(
    evidence: pd.DataFrame,
    method: LabelMethod,
    genotype: str | None,
    has_laser_table: bool = True,
    *,
    units: ArrayLike | None = None,
) -> pd.DataFrame:
    """Label the units of one session.

    Parameters
    ----------
    evidence : all units of the session, from `laser_evidence_by_condition`; ``unit`` may be any unique id.
    method : the rule to apply.
    genotype : the mouse's genotype or Cre line; None, empty or ``wt/wt`` for a wild type.
    has_laser_table : whether the session has one.
    units : (n_units,) units to label, in this order; needed for sessions without evidence. By default the
        units of the evidence.

    Returns
    -------
    One row per unit, indexed by ``unit``:

    * label: ``tagged``, ``untagged`` or ``unlabelled``;
    * reason: empty if tagged, ``no_response`` if untagged; if unlabelled, the first that applies of
      ``not_cre``, ``no_laser_table``, ``too_few_pulses``, ``too_few_spikes`` (in the laser epoch),
      ``artifact_only`` (does not pass, and fires at the pulse edges but not between them);
    * passes: whether the unit meets the rule, whatever the genotype; NA without enough evidence, that is, no
      laser table, too few pulses or too few spikes;
    * q_value: the method's p-value adjusted by Benjamini and Hochberg over the session's units with enough
      evidence; NaN for others, and for methods without a p-value.
    """
    names = _unit_names(evidence, units)
    rows = _strongest(evidence, method, names)
    enough_pulses = np.min([rows[name]["n_pulses"] for name in method.waveforms], axis=0) >= method.min_pulses
    enough_spikes = rows[PULSE]["n_epoch_spikes"].to_numpy() >= method.min_spikes
    enough = enough_pulses & enough_spikes & has_laser_table
    q = _q_values(rows[PULSE], method, enough)
    met = np.all([c.met(rows[c.waveform]) for c in method.criteria], axis=0).reshape(len(names))
    passes = enough & met & (q <= method.max_q if method.max_q is not None else True)
    responds = rows[PULSE]["p_wilcoxon"].to_numpy() <= method.min_answer_p
    artifact = ~passes & ~responds & (rows[PULSE]["p_artifact"].to_numpy() < method.max_artifact_p)
    reasons = {
        "not_cre": np.full(len(names), not is_cre_positive(genotype)),
        "no_laser_table": np.full(len(names), not has_laser_table),
        "too_few_pulses": ~enough_pulses,
        "too_few_spikes": ~enough_spikes,
        "artifact_only": artifact,
    }
    unlabelled = np.any(list(reasons.values()), axis=0)
    reason = np.select(list(reasons.values()), list(reasons), np.where(passes, "", "no_response"))
    label = np.where(unlabelled, UNLABELLED, np.where(passes, TAGGED, UNTAGGED))
    known = pd.Series(passes, dtype="boolean").where(enough)
    columns = {"label": label, "reason": reason, "passes": known.array, "q_value": q}
    return pd.DataFrame(columns, index=pd.Index(names, name="unit"))


def _unit_names(evidence: pd.DataFrame, units: ArrayLike | None) -> list[Hashable]:
    names = list(pd.unique(evidence["unit"])) if units is None else np.asarray(units).tolist()
    if len(set(names)) < len(names):
        raise ValueError(f"units must be unique: {len(names) - len(set(names))} names are repeated.")
    unknown = set(evidence["unit"]) - set(names)
    if unknown:
        raise ValueError(f"evidence has {len(unknown)} units that are not among the {len(names)} to label.")
    return names


def _strongest(evidence: pd.DataFrame, method: LabelMethod, names: list[Hashable]) -> dict[str, pd.DataFrame]:
    """Return each waveform's rows at the highest level, one per unit; NaN and 0 pulses if there is none."""
    found = {}
    for waveform in method.waveforms:
        here = evidence[evidence["waveform"] == waveform]
        highest = here[here["level_rank"] == here["level_rank"].max()].set_index("unit")
        rows = highest.reindex(names)
        counts = rows[["n_pulses", "n_epoch_spikes"]].astype(np.float64).fillna(0)
        found[waveform] = rows.assign(**{name: counts[name] for name in counts})
    return found


def _q_values(rows: pd.DataFrame, method: LabelMethod, enough: Booleans) -> NDArray[np.float64]:
    if not method.p_column:
        return np.full(len(rows), np.nan)
    return benjamini_hochberg(np.where(enough, rows[method.p_column].to_numpy(np.float64), np.nan))
