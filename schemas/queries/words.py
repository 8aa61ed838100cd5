"""The field's words for columns and arguments: those of AllenSDK and of papers beside the names here.

A word with one meaning stands for its column. One with several, or with another sense than the column that it
looks like, is named in the error: height above the tip is no depth, and d' of behavior is no ``d_prime``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from vbn.errors import SettingError
from vbn.nearest import nearest

AREA = ("structure_acronym", "structure")
COLUMNS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("area", "structure", "brain_area", "region", "ecephys_structure_acronym"), AREA),
    **dict.fromkeys(("ecephys_session_id", "session"), ("session_id",)),
    **dict.fromkeys(("ecephys_channel_id",), ("peak_channel_id", "channel_id")),
    **dict.fromkeys(("ecephys_probe_id",), ("probe_id",)),
    "ecephys_unit_id": ("unit_id",),
    "mouse": ("mouse_id",),
    "firing_rate": ("unit_firing_rate",),
    "amplitude": ("unit_amplitude",),
    "waveform_amplitude": ("unit_amplitude",),
    "waveform_pt_ratio": ("pt_ratio",),
    "full_genotype": ("genotype",),
    "experience": ("experience_level",),
    "layer": ("cortical_layer",),
    "area_group": ("structure_group",),
    "image": ("image_name",),
    "start_time": ("presentation_start_time", "trial_start_time"),
    "end_time": ("presentation_end_time",),
    "stop_time": ("presentation_end_time", "trial_stop_time"),
    "duration": ("presentation_duration",),
    "stimulus_block": ("block",),
    "stimulus_presentations_id": ("presentation_id",),
    "trials_id": ("trial_id",),
}
"""Word, in lower case -> the columns that it may mean, of which a table has one."""
ARGUMENTS = {
    "area": "structure",
    "structure_acronym": "structure",
    "structure_group": "group",
    "ecephys_session_id": "session_id",
    "session": "session_id",
    "mouse": "mouse_id",
    "experience": "experience_level",
    "layer": "cortical_layer",
    "full_genotype": "genotype",
    "filter": "criteria",
    "unit_criteria": "criteria",
    "list": "in_list",
    "not_list": "not_in_list",
    "not_label": "without_label",
}
"""Word -> the argument of queries that it means."""
DEPTH = (
    "Depth is probe_vertical_position, um above the tip of the probe (greater is nearer to the surface); "
    "cortical_depth, 0 at the pia and 1 at the white matter; or dorsal_ventral_ccf_coordinate, um in the "
    "atlas."
)
SENSITIVITY = (
    "d' of behavior belongs to sessions and trials (queries.sessions(dprime=...), vbn query sessions "
    "--dprime-min, rolling_dprime of vbn query trials); d_prime of units is a metric of spike sorting."
)
EXPLAINED = ((re.compile(r"(probe_|unit_)?depth"), DEPTH), (re.compile(r"\w*d_?prime\w*"), SENSITIVITY))
RESPONDS = re.compile(r"responds?|responsive|is_responsive|responded")
RELATED = {
    "depth": ("probe_vertical_position",),
    "responds": ("respons",),
    "respond": ("respons",),
    "dprime": ("d_prime",),
    "d'": ("d_prime",),
}
"""Word -> what else to look for in the list of columns."""
NOTES = {
    "d_prime": "a metric of spike sorting, not d' of behavior",
    "probe_vertical_position": "height above the tip, so that greater is less deep",
}
"""Column -> what it is not to be confused with."""


def our_name(word: str, known: Collection[str]) -> str | None:
    """Return the name among the known ones that a word means, None if there is none.

    Examples
    --------
    >>> our_name("area", ["unit_id", "structure_acronym"]), our_name("depth", ["snr"])
    ('structure_acronym', None)
    """
    if word in known:
        return word
    lower = word.lower()
    meant = (*COLUMNS.get(lower, ()), lower)
    return next((name for name in meant if name in known), None)


def hint(word: str, known: Collection[str]) -> str:
    """Return a sentence, after a blank, about what may be meant by a word that is no name here."""
    lower = word.lower()
    for pattern, text in EXPLAINED:
        if pattern.fullmatch(lower):
            return f" {text}"
    if RESPONDS.fullmatch(lower):
        flags = sorted(name for name in known if name.endswith("_is_responsive"))
        if flags:
            return f" Whether a unit responds is in: {', '.join(flags)}."
    return nearest(word, known)


def our_names(kind: str, words: Iterable[str], known: Collection[str]) -> list[str]:
    """Return the names that words mean, each once; one with ``-`` before it, to sort by, keeps that.

    Raises
    ------
    SettingError
        For a word that means none of them, with what may be meant.
    """
    found = []
    for word in words:
        name = our_name(word.removeprefix("-"), known)
        if name is None:
            plain = word.removeprefix("-")
            raise SettingError(f"There is no {kind} '{plain}'.{hint(plain, known)}")
        found.append(f"-{name}" if word.startswith("-") else name)
    return list(dict.fromkeys(found))


def our_argument(word: str, known: Collection[str]) -> str | None:
    """Return the argument of a query that a word means, None if there is none."""
    meant = ARGUMENTS.get(word)
    return word if word in known else meant if meant in known else None
