"""What the columns of models and populations claim, in the words of the field."""

from __future__ import annotations

from dataclasses import dataclass

P, FLAG, LATENCY, DEVIATION, PAIRS, SHARE, SHOWN = (
    "p", "flag", "latency", "deviation", "pairs", "share", "shown",
)  # fmt: skip
DEFAULT, NO_TEST, PUBLISHED, REPLACED = "default", "no test", "published", "replaced"
MOST_PAIRS = 0.001
"""Most pairs without a synapse that may have a peak: a tenth of a percent."""


@dataclass(frozen=True)
class ModelColumn:
    """A column, and what it claims.

    Parameters
    ----------
    name : of the column, and of what it is of if there are several.
    kind : ``p``; ``flag``; ``latency`` (missing without the effect); ``deviation``, a value less its true
        one; ``pairs``, whether a pair has a peak; ``share``, one that is at most .05; ``shown``, a value that
        is neither true nor false.
    says : what a small p, a flag or a value says, and for a deviation, from what.
    claims : of `vbn.calibration.models.worlds`, one of which must hold for that to be true.
    most : of a deviation, the greatest that its mean may have.
    status : ``default`` of a default parameter set; ``no test``, of one, but said to be none; ``published``
        under a source's name or definition, feeds
        no flag; ``replaced``, of no table, computed here only.
    """

    name: str
    kind: str
    says: str
    claims: tuple[str, ...] = ()
    most: float = 0.0
    status: str = DEFAULT


OF_LABEL = {
    "image": ("image",),
    "change": ("change",),
    "lick_matched_change": ("change",),
    "hit": ("outcome",),
    "omission": ("omission", "flash"),
}
"""Label -> claims one of which makes the population tell its classes apart."""

KERNELS = {
    "images": ("all_images", ("image_kernel",)),
    "omissions": ("omissions", ("omission_kernel",)),
    "task": ("task", ("task_kernel",)),
    "running": ("running", ("running",)),
    "pupil": ("pupil", ("pupil",)),
    "licks": ("lick_bouts", ("licks",)),
}
"""Word of a column -> dropout, claims."""

ENCODING = (
    ModelColumn("glm_is_explained", FLAG, "something in the task drives the unit", ("driven",)),
    *(
        ModelColumn(f"glm_{word}_change", FLAG, f"less than -.01: {word} drive the unit", claims)
        for word, (_, claims) in KERNELS.items()
    ),
)
PUBLISHED_ENCODING = (
    ModelColumn(
        "glm_is_explained (allen_v110_active)", FLAG, "the same of the published set", ("driven",),
        status=PUBLISHED,
    ),
    *(
        ModelColumn(
            f"glm_{word}_change (allen_v110_active)", FLAG, "the same of the published set", claims,
            status=PUBLISHED,
        )
        for word, (_, claims) in KERNELS.items()
    ),
)  # fmt: skip
ENCODING_NULL = (
    ModelColumn("glm_p_explained", P, "something in the task drives the unit", ("driven",)),
    *(
        ModelColumn(
            f"glm_p_{word}", P, f"{word} drive the unit, if nothing else does", claims, status=NO_TEST
        )
        for word, (_, claims) in KERNELS.items()
    ),
)
DECODING = (
    *(
        ModelColumn(f"decoding_p ({label})", P, f"the population tells the classes of `{label}`", claims)
        for label, claims in OF_LABEL.items()
    ),
    *(
        ModelColumn(f"decoding_latency ({label})", LATENCY, "when it tells them from then on", claims)
        for label, claims in OF_LABEL.items()
    ),
    *(
        ModelColumn(
            f"decoding_accuracy ({label})", DEVIATION, "less `decoding_chance`, where there is nothing",
            claims, 0.02 if label == "image" else 0.05,
        )
        for label, claims in OF_LABEL.items()
    ),
    *(
        ModelColumn(
            f"decoding_random_accuracy ({label})", DEVIATION, "the same by random folds, as published",
            claims, 0.02 if label == "image" else 0.05, PUBLISHED,
        )
        for label, claims in OF_LABEL.items()
    ),
    ModelColumn("choice_p", P, "hits and misses differ in the unit's firing", ("outcome",)),
    ModelColumn("choice_probability", DEVIATION, "less .5, where there is nothing", ("outcome",), 0.01),
)  # fmt: skip
_TRIAL_CLAIMS = ("outcome", "after_hits")
TRIAL_DECODING = (
    ModelColumn(
        "trial_circular_p", P, "the population tells hits from misses", _TRIAL_CLAIMS, status=NO_TEST
    ),
    ModelColumn("trial_free_p", P, "the same by outcomes permuted freely", _TRIAL_CLAIMS, status=PUBLISHED),
    ModelColumn(
        "trial_accuracy", DEVIATION, "less .5, where there is nothing", _TRIAL_CLAIMS, 0.05, PUBLISHED
    ),
)  # fmt: skip
NAIVE_DECODING = (
    *(
        ModelColumn(
            f"p_of_random_folds ({label})", P, "random folds, labels permuted freely", OF_LABEL[label],
            status=REPLACED,
        )
        for label in ("image", "hit")
    ),
    ModelColumn(
        "p_of_rank_sum (hit)", P, "rank sum over hits and misses of the session", ("outcome",),
        status=REPLACED,
    ),
)  # fmt: skip
VARIABILITY = tuple(
    ModelColumn(name, DEVIATION, says, (), 0.1, status)
    for name, says, status in (
        ("fano_factor_local", "less 1 of Poisson units, 3 of bursts of two (geometric)", DEFAULT),
        ("baseline_fano_factor_local", "the same before the flash", DEFAULT),
        ("isi_cv2", "less 1 of Poisson units", DEFAULT),
        ("isi_lv", "less 1 of Poisson units", DEFAULT),
        ("fano_factor", "as usual, drift of the rate included", PUBLISHED),
    )
)
TIMESCALE = (
    ModelColumn("timescale_is_valid_intrinsic", FLAG, "the unit has a timescale at rest", ("timescale",)),
    ModelColumn("timescale_is_valid_decay", FLAG, "full-field flashes drive it, with a decay", ("decay",)),
    ModelColumn("timescale_intrinsic", SHOWN, "s, of valid ones, less the true one"),
    ModelColumn("timescale_decay", SHOWN, "s, of valid ones, less the true one"),
    ModelColumn(
        "timescale_is_valid_intrinsic (siegle_2021)", FLAG, "the published bounds", ("timescale",),
        status=PUBLISHED,
    ),
    ModelColumn(
        "timescale_is_valid_decay (siegle_2021)", FLAG, "the published bounds", ("decay",), status=PUBLISHED
    ),
)  # fmt: skip
CORRELATIONS = (
    ModelColumn("noise_correlation", DEVIATION, "less the true one, 0 of independent units", (), 0.01),
    ModelColumn("signal_correlation", DEVIATION, "less 0, of units tuned independently or not", (), 0.05),
    ModelColumn(
        "plain_noise_correlation", DEVIATION, "as usual, drift of the rates included", (), 0.01, PUBLISHED
    ),
)
DIMENSIONALITY = (
    ModelColumn("participation_ratio", DEVIATION, "over the true one, less 1", (), 0.05),
    ModelColumn(
        "signal_participation_ratio", LATENCY, "NULL unless the mean counts of images differ", ("image",)
    ),
    ModelColumn(
        "plain_participation_ratio", DEVIATION, "as usual, of the same pairs of flashes", (), 0.05, PUBLISHED
    ),
)
CONNECTIVITY = (
    ModelColumn("FunctionalConnectivity.Pair", PAIRS, "one fires after the other, within ms", ("synapse",)),
    ModelColumn("ccg_surrogate_fraction", PAIRS, "share with a peak after jitter: should be 0"),
)
NAIVE_CONNECTIVITY = (
    ModelColumn(
        "peaks_without_jitter", PAIRS, "the same height over two constant rates", ("synapse",),
        status=REPLACED,
    ),
)  # fmt: skip
_NATS = 3.0
STRATEGY = (
    *(
        ModelColumn(
            f"strategy_evidence_lost ({name})", FLAG, "more than 3 nats: the mouse goes by it", (name,)
        )
        for name in ("task0", "timing1D", "omissions", "omissions1")
    ),
    ModelColumn("strategy_label", FLAG, "`visual` or `timing`: it goes by either", ("task0", "timing1D")),
    ModelColumn("visual_index", DEVIATION, "in percent, where it does not go by changes", ("task0",), 2.0),
    ModelColumn("timing_index", DEVIATION, "in percent, where it does not go by time", ("timing1D",), 2.0),
    ModelColumn("strategy_weight_sd", SHARE, "share of true weights that are beyond two of them"),
    ModelColumn(
        "strategy_conditional_sd", SHARE, "the same of the published standard deviation", status=PUBLISHED
    ),
)
LEFT_OUT = {
    "Reliability": "above, among the measures of single units",
    "Decoding.decoding_random_excess": "the difference of two accuracies, both of which are tested",
    "Variability.burst_fraction": "a description: Poisson units have as many short intervals as they have",
    "Dimensionality.dimensions_80": "of the plain covariance, for comparison",
    "Correlations.AreaPair.signal_noise_slope": "of two columns that are tested",
    "FunctionalConnectivity.AreaPair": "counts of the pairs that are tested",
    "StrategyModel.strategy_auc": "in-sample, as published: too good, and said so",
    "StrategyModel.post_omission_index": "by the evidence that is lost, which is tested",
}
"""What is not put to the test, and why."""
