"""Issues of imported files, and their codes.

An issue records an anomaly of a file, so that nothing is lost or changed silently. One of severity ``error``
stops the import of its table; ``warning`` and ``info`` do not.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from vbn.errors import shortened

Severity = Literal["info", "warning", "error"]

_KNOWN: dict[str, tuple[Severity, str]] = {
    "mixed_block": ("error", "A stimulus block holds more than one stimulus."),
    "invalid_channels": ("info", "Channels that the release marks as unusable, such as reference sites."),
    "unit_on_invalid_channel": ("warning", "Units whose peak channel is marked as unusable."),
    "nan_metrics": ("info", "Units with quality metrics that could not be computed; stored as missing."),
    "infinite_values": (
        "warning",
        "Infinite numbers, and times more than a day from the session's start; stored as missing.",
    ),
    "missing_pupil": ("warning", "The recording has no eye tracking, or its pupil was never fitted."),
    "missing_laser_table": ("warning", "The recording has no laser pulses, so no unit can be optotagged."),
    "missing_ccf": ("info", "Channels without coordinates in the common coordinate framework."),
    "zero_ccf": (
        "warning",
        "Channels at (0, 0, 0) of the common coordinate framework: not registered; stored as missing.",
    ),
    "missing_structure": ("info", "Channels without a structure acronym."),
    "spikes_after_recording": (
        "info",
        "Spikes after everything else had stopped recording; a warning if by more than a minute.",
    ),
    "unsorted_times": ("warning", "Times that are not ascending."),
    "missing_times": (
        "warning",
        "Times that are NaN, infinite, or more than a day from the session's start.",
    ),
    "trial_outcome_not_one": (
        "warning",
        "Trials that are not exactly one of hit, miss, false alarm, correct reject, aborted, auto-rewarded.",
    ),
    "change_without_presentation": (
        "warning",
        "Changes or sham changes without an active presentation that starts within one frame of them.",
    ),
    "change_beside_presentation": (
        "info",
        "Changes or sham changes one frame off the start of an active presentation; they are not joined.",
    ),
    "overlapping_presentations": ("warning", "Presentations that start before an earlier one has ended."),
    "unknown_trial": (
        "warning",
        "Presentations that refer to a trial missing from the file; their trial is stored as missing.",
    ),
    "frame_without_time": ("warning", "Frame numbers without a stimulus timestamp."),
    "licks_out_of_order": ("warning", "Licks whose time or frame is earlier than that of the lick before."),
    "reward_without_lick": ("warning", "Earned rewards without a lick in the second before them."),
    "no_licks": ("info", "The file has no licks; the mouse may not have licked."),
    "no_rewards": ("info", "The file has no rewards; the mouse may not have earned any."),
    "not_checked": (
        "info",
        "A valid file that pynwb cannot read: without cached specifications, or written as MATLAB does.",
    ),
    "unknown_column": (
        "warning",
        "Columns and data sets outside the known layout; not imported.",
    ),
    "unknown_table": ("warning", "Groups outside the known layout; not imported."),
    "unknown_attribute": ("warning", "Metadata outside the known layout; not imported."),
    "derived_column": (
        "info",
        "Columns that an older release does not store, derived from trials, images or names.",
    ),
    "missing_column": ("info", "Columns that the file does not store and that cannot be derived."),
    "missing_table": (
        "warning",
        "Tables and series that the release's files hold and this one lacks; what is made of them is empty.",
    ),
    "no_quality": ("info", "The units have no quality label, which was introduced with release 0.5.0."),
    "missing_waveforms": ("info", "The file has no mean waveforms."),
    "missing_amplitudes": ("info", "The file has no spike amplitudes."),
    "image_differs": (
        "warning",
        "Images whose pixels differ from those entered earlier under the same name; the first are kept.",
    ),
    "missing_templates": ("info", "The file has no images."),
    "abnormal_session": (
        "warning",
        "The release's tables flag abnormal histology or activity; bennett_2025 leaves the session out.",
    ),
    "incomplete_mouse": (
        "info",
        "The file does not state the mouse's sex, or lines that another file states; known values are kept.",
    ),
    "unclear_age": (
        "info",
        "The mouse's age is missing or not a number of days (such as a range or months); stored as missing.",
    ),
    "catalogue_disagrees": ("warning", "The release's CSV tables disagree with the file."),
    "unlisted_structure": (
        "info",
        "Acronyms that are not among the known structures; entered without a name.",
    ),
    "lfp_of_no_probe": ("warning", "LFP files whose probe does not belong to the recording; not imported."),
    "missing_csd": ("info", "The LFP file has no current source density."),
}

CODES: dict[str, str] = {code: explanation for code, (_, explanation) in _KNOWN.items()}
"""Code -> its explanation."""

SEVERITIES: dict[str, Severity] = {code: severity for code, (severity, _) in _KNOWN.items()}
"""Code -> its default severity."""

N_NAMED = 5
"""Number of rows named in an issue."""

LONGEST_NAME = 150
"""Longest name shown in an issue, in characters; paths in a file have up to a hundred."""


@dataclass(frozen=True)
class Issue:
    """An anomaly in one table of one file.

    Parameters
    ----------
    code : one of `CODES`.
    severity : ``error`` stops the import of the table, ``warning`` and ``info`` do not.
    table : name of the reader without ``read_``: ``units``, ``trials`` ...; ``file`` for the layout.
    detail : number of rows, and the first of them.
    """

    code: str
    severity: Severity
    table: str
    detail: str


def issue(code: str, table: str, detail: str, severity: Severity | None = None) -> Issue:
    """Create an issue with a known code.

    Raises
    ------
    KeyError
        If the code is not one of `CODES`.
    """
    return Issue(code, severity or SEVERITIES[code], table, detail)


def first_of(rows: Collection[Any]) -> str:
    """Return the number of rows and the first of them, as text.

    Examples
    --------
    >>> first_of([3, 4])
    '2: 3, 4'
    >>> first_of(range(10, 18))
    '8: 10, 11, 12, 13, 14 and 3 more'
    """
    listed: Sequence[Any] = list(rows)
    more = len(listed) - N_NAMED
    first = ", ".join(shortened(row, LONGEST_NAME) for row in listed[:N_NAMED])
    return f"{len(listed)}: {first}" + (f" and {more} more" if more > 0 else "")
