"""What a mapping says: a TOML file of which every key is checked.

In ``[units]``, ``[electrodes]`` and the columns of trials and stimuli, a key is a column of the release and
its value the column of the file that stands for it. In ``[images]`` and ``[structures]``, a key is a name in
the file and its value the name in the database. docs/rig.md describes each section.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vbn.errors import SettingError, quoted, shortened
from vbn.nearest import nearest
from vbn.nwb.readers.probes import CCF_COLUMNS, SITE_POSITIONS
from vbn.nwb.readers.stimulus import COLUMNS as PRESENTATION_COLUMNS
from vbn.nwb.readers.trials import FLAGS
from vbn.nwb.readers.units import METRICS, SORTER_NUMBERS

RELEASE_PROJECT = "vbn-release"
"""Project of the public release, whose files need no mapping."""

PER_SESSION, STORED = "per session", "stored"
LONGEST_PROJECT = 64
LONGEST_TEXT = 2**16
LARGEST_BLOCK = 2**15 - 1
LARGEST_VOLUME_ML = 1.0

PLACE_HOLDER = re.compile(r"\{(\w+)\}")
"""A column whose value stands in the name of an image."""

STORED_NAMES = {"structure_acronym": "location", **CCF_COLUMNS, "end_time": "stop_time"}
"""Name of a column in the database -> its name in the release's files; a mapping may use either."""

ELECTRODE_COLUMNS = (
    *SITE_POSITIONS,
    *CCF_COLUMNS.values(),
    "location",
    "valid_data",
    "filtering",
    "group_name",
)
UNIT_COLUMNS = (
    "peak_channel_id", *SORTER_NUMBERS, *METRICS, "quality", "spike_times", "spike_amplitudes",
    "waveform_mean",
)  # fmt: skip
TRIAL_COLUMNS = (
    "start_time", "stop_time", "trial_length", "initial_image_name", "change_image_name", *FLAGS,
    "change_frame", "change_time_no_display_delay", "response_time", "reward_time", "reward_volume",
    "lick_times",
)  # fmt: skip
NOT_MAPPED = ("presentation_id", "end_time", "stimulus_name", "active")
STIMULUS_COLUMNS = (*(name for name in PRESENTATION_COLUMNS if name not in NOT_MAPPED), "stop_time")
SESSION_VALUES = (
    "mouse_id", "genotype", "sex", "age", "species", "session_type", "equipment_name", "stimulus_frame_rate",
)  # fmt: skip

SERIES = ("licks", "rewards", "running", "pupil")
UNITS_OF_SPEED = {"cm/s": 1.0, "m/s": 100.0, "mm/s": 0.1}
"""Unit of a running speed -> what makes it cm/s."""
MEASURES = ("area", "diameter", "radius")

Value = str | int | float | bool


@dataclass(frozen=True)
class StimulusTable:
    """A table of intervals in which a stimulus was shown.

    Parameters
    ----------
    table : HDF5 path of the table.
    name : name of the stimulus in the database.
    block : number of the stimulus block of all its rows; None if epochs say it, or a column.
    active : whether the mouse performed the task.
    image : name that all its rows show, ``{column}`` stands for the value of a column; None if a column of
        names is mapped, or the stimulus is no image, and no event.
    columns : column of the release -> column of the file.
    is_own : whether the table has the release's names, and is in no mapping.
    """

    table: str
    name: str
    block: int | None = None
    active: bool = False
    image: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    is_own: bool = False


@dataclass(frozen=True)
class Epochs:
    """A table of intervals that say which block a presentation belongs to.

    Parameters
    ----------
    table : HDF5 path of the table.
    label : its column with the names of epochs.
    blocks : name -> number of the stimulus block.
    active : names of the epochs in which the mouse performed the task.
    """

    table: str
    label: str
    blocks: Mapping[str, int]
    active: tuple[str, ...] = ()


@dataclass(frozen=True)
class MappedSeries:
    """A time series, or a table of events, that is read as the release's.

    Parameters
    ----------
    path : HDF5 path of the group.
    times : its data set with the times (s); None for NWB's ``timestamps`` or ``starting_time``.
    data : its data set with the values.
    unit : of a running speed; None for what the file says.
    measure : what the values of a pupil are, ``area``, ``diameter`` or ``radius``.
    volume : of rewards, mL, or the name of the data set that holds it.
    auto_rewarded : whether rewards came without a lick, or the name of the data set that says so.
    """

    path: str
    times: str | None = None
    data: str = "data"
    unit: str | None = None
    measure: str = MEASURES[0]
    volume: str | float = 0.0
    auto_rewarded: str | bool = False


@dataclass(frozen=True)
class FileMapping:
    """How the files of one rig are read.

    Parameters
    ----------
    text : the TOML file.
    project : data set that the sessions belong to.
    ids : ``per session`` if ids of electrodes and units count from 0 in each file, and become unique by the
        session's; ``stored`` if they are unique in the whole database.
    session : values of the session and its mouse, instead of those of the file.
    electrodes, units : column of the release -> column of the file.
    trials_table : HDF5 path of the trials of a change detection task; None if there is none.
    trials : the same for its columns.
    stimuli : tables of intervals.
    epochs : which block a presentation belongs to.
    series : ``licks``, ``rewards``, ``running``, ``pupil`` -> where the file has them.
    images, structures : name in the file -> name in the database.
    """

    text: str
    project: str
    ids: str = PER_SESSION
    session: Mapping[str, Value] = field(default_factory=dict)
    electrodes: Mapping[str, str] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    trials_table: str | None = None
    trials: Mapping[str, str] = field(default_factory=dict)
    stimuli: tuple[StimulusTable, ...] = ()
    epochs: Epochs | None = None
    series: Mapping[str, MappedSeries] = field(default_factory=dict)
    images: Mapping[str, str] = field(default_factory=dict)
    structures: Mapping[str, str] = field(default_factory=dict)


def read_mapping(path: Path) -> FileMapping:
    """Read a mapping from a file; see `parse_mapping`.

    Raises
    ------
    SettingError
        The file cannot be read, is not text, or is no valid mapping; the message names file and key.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LONGEST_TEXT + 1)
        text = content.decode()
    except OSError as error:
        raise SettingError(f"The mapping {path} cannot be read: {error.strerror}. Check the path.") from error
    except UnicodeDecodeError as error:
        raise SettingError(f"The mapping {path} is not UTF-8 text. Save it as UTF-8.") from error
    if len(content) > LONGEST_TEXT:
        raise SettingError(f"The mapping {path} has more than {LONGEST_TEXT} bytes. Name a TOML file.")
    return parse_mapping(text.replace("\r\n", "\n"), str(path))


def parse_mapping(text: str, place: str = "mapping") -> FileMapping:
    """Parse the text of a mapping, and check all of it.

    Parameters
    ----------
    text : a TOML document.
    place : its file, for messages.

    Raises
    ------
    SettingError
        It is not TOML, a key is unknown or missing, a value is of the wrong type, or one column is taken
        twice. The message names the key, and the nearest known one.
    """
    try:
        return _parsed(text, place)
    except RecursionError as error:
        raise SettingError(f"{place} is nested too deeply for a mapping. See docs/rig.md.") from error


def _parsed(text: str, place: str) -> FileMapping:
    try:
        content = tomllib.loads(text)
    except ValueError as error:  # TOMLDecodeError, or a number of more digits than Python reads
        raise SettingError(f"{place} is no TOML: {shortened(error, 200)}. Correct that line.") from error
    top = _Section(place, "", content)
    top.require_known((*_SECTIONS, "project", "ids"))
    trials = top.section("trials")
    trials.require_known(("table", "columns"))
    stimuli = tuple(_stimulus(each) for each in top.sections("stimuli"))
    _require_once(place, "stimuli", "name", (each.name for each in stimuli))
    trials_table = trials.text("table") if trials.content else None
    return FileMapping(
        text=text,
        project=_project(top),
        ids=top.one_of("ids", (PER_SESSION, STORED)),
        session=_session(top.section("session")),
        electrodes=top.section("electrodes").columns(ELECTRODE_COLUMNS),
        units=top.section("units").columns(UNIT_COLUMNS),
        trials_table=trials_table,
        trials=trials.section("columns").columns(TRIAL_COLUMNS),
        stimuli=stimuli,
        epochs=_epochs(top.section("epochs")),
        series={name: _series(top.section(name)) for name in SERIES if name in content},
        images=_images(top.section("images")),
        structures=top.section("structures").texts(),
    )


_SECTIONS = (
    "session", "electrodes", "units", "trials", "stimuli", "epochs", *SERIES, "images", "structures",
)  # fmt: skip
_KEYS_OF_SERIES = {
    "licks": (),
    "rewards": ("volume", "auto_rewarded"),
    "running": ("data", "unit"),
    "pupil": ("data", "measure"),
}


@dataclass(frozen=True)
class _Section:
    """A part of the document, whose errors say where it stands."""

    place: str
    name: str
    content: Mapping[str, Any]

    def error(self, problem: str) -> SettingError:
        where = f", [{self.name}]" if self.name else ""
        return SettingError(f"{self.place}{where}: {problem}")

    def require_known(self, known: Collection[str]) -> None:
        for key in self.content:
            if key not in known:
                raise self.error(f"{quoted(key)} is not known here.{nearest(key, known)}")

    def text(self, key: str) -> str:
        """Return a required text."""
        if key not in self.content:
            raise self.error(f"{key} is missing.")
        return self._text(key)

    def _text(self, key: str) -> str:
        value = self.content[key]
        if not isinstance(value, str) or not value.strip() or any(not each.isprintable() for each in value):
            raise self.error(f"{quoted(key)} must be a text, and is {shortened(value)}.")
        return value

    def optional_text(self, key: str) -> str | None:
        return self._text(key) if key in self.content else None

    def one_of(self, key: str, values: tuple[str, ...]) -> str:
        """Return one of some texts, the first by default."""
        value = self.content.get(key, values[0])
        if value not in values:
            raise self.error(f"{key} must be {' or '.join(map(repr, values))}, and is {shortened(value)}.")
        return str(value)

    def whole(self, key: str) -> int:
        value = self.content[key]
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LARGEST_BLOCK:
            raise self.error(
                f"{quoted(key)} must be a whole number from 0 to {LARGEST_BLOCK}, and is {shortened(value)}."
            )
        return value

    def flag(self, key: str) -> bool:
        value = self.content.get(key, False)
        if not isinstance(value, bool):
            raise self.error(f"{key} must be true or false, and is {shortened(value)}.")
        return value

    def section(self, key: str) -> _Section:
        """Return a table of the document, empty if there is none."""
        value = self.content.get(key, {})
        name = f"{self.name}.{key}".lstrip(".")
        if not isinstance(value, dict):
            raise self.error(f"{key} must be a table, [{name}], and is {shortened(value)}.")
        return _Section(self.place, name, value)

    def sections(self, key: str) -> list[_Section]:
        """Return an array of tables."""
        value = self.content.get(key, [])
        if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
            raise self.error(f"{key} must be written as [[{key}]], once for each table of intervals.")
        return [_Section(self.place, f"{key} #{at}", each) for at, each in enumerate(value, 1)]

    def texts(self) -> dict[str, str]:
        """Return all keys with their texts."""
        return {key: self._text(key) for key in self.content}

    def columns(self, known: tuple[str, ...]) -> dict[str, str]:
        """Return column of the release -> column of the file."""
        self.require_known((*known, *(name for name, stored in STORED_NAMES.items() if stored in known)))
        found = [(STORED_NAMES.get(key, key), theirs) for key, theirs in self.texts().items()]
        _require_once(self.place, self.name, "column", (ours for ours, _ in found))
        _require_once(self.place, self.name, "column of the file", (theirs for _, theirs in found))
        for _, theirs in found:
            if "/" in theirs:
                raise self.error(f"{quoted(theirs)} must be the name of a column, not a path.")
        return dict(found)


def _require_once(place: str, section: str, what: str, names: Iterable[str]) -> None:
    twice = [name for name, number in Counter(names).items() if number > 1]
    if twice:
        raise SettingError(f"{place}, [{section}]: the {what} {quoted(twice[0])} is named twice. Keep one.")


def _project(top: _Section) -> str:
    project = top.text("project")
    check_project(project, top.place)
    if project == RELEASE_PROJECT:
        raise top.error(
            f"project is {RELEASE_PROJECT!r}, which is the public release. Name your own, such as 'our-rig'."
        )
    return project


def check_project(name: str, place: str) -> None:
    """Refuse names of projects that a command line could not tell.

    Raises
    ------
    SettingError
        It is too long, is ``all``, or has other characters than letters, digits, ``-``, ``_`` and ``.``.
    """
    is_plain = name.isascii() and name.replace("-", "").replace("_", "").replace(".", "").isalnum()
    if not is_plain or name == "all" or len(name) > LONGEST_PROJECT:
        raise SettingError(
            f"{place}: {quoted(name)} cannot be the name of a project. It must have letters, digits, '-', "
            f"'_' and '.' only, at most {LONGEST_PROJECT}, and not be 'all'."
        )


def _session(section: _Section) -> dict[str, Value]:
    section.require_known(SESSION_VALUES)
    values: dict[str, Value] = {}
    for key, value in section.content.items():
        if key == "stimulus_frame_rate":
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e4:
                raise section.error(f"{key} must be a number of Hz, and is {shortened(value)}.")
            values[key] = float(value)
        else:
            values[key] = section.text(key)
    return values


def _images(section: _Section) -> dict[str, str]:
    names = section.texts()
    _require_once(section.place, section.name, "image", names.values())
    return names


def _stimulus(section: _Section) -> StimulusTable:
    section.require_known(("table", "name", "block", "active", "image", "columns"))
    columns = section.section("columns").columns(STIMULUS_COLUMNS)
    image = section.optional_text("image")
    if image is not None and "image_name" in columns:
        raise section.error("image and columns.image_name both say what is shown. Keep one.")
    if image is not None and set("{}") & set(PLACE_HOLDER.sub("", image)):
        raise section.error(
            f"image is {quoted(image)}, and braces must hold the name of a column, of letters, digits and "
            "'_' only, such as {orientation}. Numbers are written as they are stored, and take no format."
        )
    if "block" in section.content and "stimulus_block" in columns:
        raise section.error("block and columns.stimulus_block both say which block it is. Keep one.")
    table = section.text("table").strip("/")
    name = section.optional_text("name") or table.rpartition("/")[2]
    if "/" in name:
        raise section.error(f"name is {quoted(name)}, and must not have a '/'.")
    block = section.whole("block") if "block" in section.content else None
    return StimulusTable(table, name, block, section.flag("active"), image, columns)


def _epochs(section: _Section) -> Epochs | None:
    if not section.content:
        return None
    section.require_known(("table", "label", "blocks", "active"))
    blocks = section.section("blocks")
    numbers = {name: blocks.whole(name) for name in blocks.content}
    active = section.content.get("active", [])
    if not isinstance(active, list) or not all(isinstance(name, str) and name in numbers for name in active):
        raise section.error(f"active must be a list of names in [epochs.blocks], and is {shortened(active)}.")
    return Epochs(section.text("table").strip("/"), section.text("label"), numbers, tuple(active))


def _series(section: _Section) -> MappedSeries:
    section.require_known(("series", "times", *_KEYS_OF_SERIES[section.name]))
    names = {key: section.optional_text(key) for key in ("times", "data")}
    for name in names.values():
        if name is not None and "/" in name:
            raise section.error(f"{quoted(name)} must be the name of a data set of the series, not a path.")
    is_of_rewards = section.name == "rewards"
    return MappedSeries(
        path=section.text("series").strip("/"),
        times=names["times"],
        data=names["data"] or "data",
        unit=section.one_of("unit", tuple(UNITS_OF_SPEED)) if "unit" in section.content else None,
        measure=section.one_of("measure", MEASURES),
        volume=_volume(section) if is_of_rewards else 0.0,
        auto_rewarded=_auto_rewarded(section) if is_of_rewards else False,
    )


def _volume(section: _Section) -> str | float:
    """Return the name of a data set, or a volume; there is no default, as it would be taken for measured."""
    value = section.content.get("volume")
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= LARGEST_VOLUME_ML:
        return float(value)
    return _data_set(section, "volume", f"a volume of 0 to {LARGEST_VOLUME_ML:g} mL")


def _auto_rewarded(section: _Section) -> str | bool:
    value = section.content.get("auto_rewarded")
    return value if isinstance(value, bool) else _data_set(section, "auto_rewarded", "true, false")


def _data_set(section: _Section, key: str, otherwise: str) -> str:
    value = section.content.get(key)
    if not isinstance(value, str) or not value.isprintable() or not value.strip() or "/" in value:
        said = f"is {shortened(value)}" if key in section.content else "is missing"
        raise section.error(
            f"{key} {said}; it must be {otherwise}, or the name of the data set that says it."
        )
    return value
