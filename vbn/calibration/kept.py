"""Scores that are kept in a file, so that a calibration that was ended goes on where it was."""

from __future__ import annotations

import ast
import inspect
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import vbn
from vbn.calibration import events, trains, worlds
from vbn.calibration.run import CalibrationSettings, CellKey, Part, Score, Scores
from vbn.errors import SettingError

if TYPE_CHECKING:
    from vbn.calibration.models.run import ModelSettings

_BEGINNING = '{"session": '


class KeptScores:
    """A file with one line of JSON for each session, world and table that has been scored.

    Parameters
    ----------
    path : the file; need not exist. Lines of other settings or versions in it are left alone.
    settings : seed and number of units enter; the number of sessions does not, as sessions do not depend on
        each other.
    method_versions : version of the method that fills each table. Scores are used again if it is the same,
        and so are the version of the package, the worlds, and what is asked of the table.
    """

    def __init__(
        self,
        path: Path,
        settings: CalibrationSettings | ModelSettings,
        method_versions: Mapping[str, int],
    ) -> None:
        self._path = path
        if isinstance(settings, CalibrationSettings):
            self._made_with = _of_units(settings, method_versions)
        else:
            self._made_with = _of_models(settings, method_versions)

    def read(self) -> dict[Part, Scores]:
        """Return the scores that can be used again.

        Raises
        ------
        SettingError
            If it is another kind of file.
        """
        lines = self._path.read_text().splitlines() if self._path.exists() else []
        found: dict[Part, Scores] = {}
        for number, line in enumerate(lines, start=1):
            try:
                row = json.loads(line)
                part = Part(row["session"], row["world"], row["table"])
                if row["made_with"] == self._made_with.get(part.table):
                    found[part] = dict(_scores(part, row["scores"]))
            except (ValueError, KeyError, TypeError) as error:
                if line.startswith(_BEGINNING[: len(line)]):
                    continue  # the writer was killed
                raise SettingError(
                    f"'{self._path}', line {number}, is no line of kept scores. Remove the file, or name "
                    "another."
                ) from error
        return found

    def keep(self, scored: Iterable[tuple[Part, Scores]]) -> Iterator[tuple[Part, Scores]]:
        """Yield what is scored, each after it has been written."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a") as file:
            if file.tell() and not self._path.read_bytes().endswith(b"\n"):
                file.write("\n")
            for part, scores in scored:
                file.write(json.dumps(self._row(part, scores)) + "\n")
                file.flush()
                yield part, scores

    def _row(self, part: Part, scores: Scores) -> dict[str, Any]:
        values = [[key.column, key.what, *score] for key, score in scores.items()]
        return {**part._asdict(), "made_with": self._made_with[part.table], "scores": values}


def _of_units(settings: CalibrationSettings, method_versions: Mapping[str, int]) -> dict[str, list[object]]:
    """Return by table what scores depend on."""
    drawn = [vbn.__version__, _sources(worlds, trains, events), settings.seed, settings.units]
    return {
        measure.table: [
            *drawn,
            method_versions.get(measure.table, 0),
            zlib.crc32(repr(measure.columns).encode()),
        ]
        for measure in settings.chosen_measures()
    }


def _of_models(settings: ModelSettings, method_versions: Mapping[str, int]) -> dict[str, list[object]]:
    """Return the same of models; what is computed here only depends on how."""
    from vbn.calibration.models import measures, mice, naive, session
    from vbn.calibration.models import worlds as populations

    drawn = _code(worlds, trains, events, populations, mice, session)
    return {
        measure.table: [
            vbn.__version__,
            drawn,
            settings.seed,
            method_versions.get(measure.table, 0),
            _code(naive if measure.table.startswith("Replaced") else measures),
            zlib.crc32(repr([(each.name, each.kind, each.claims) for each in measure.columns]).encode()),
        ]
        for measure in settings.chosen()
    }


def _code(*modules: ModuleType) -> int:
    """Return a number of the code of modules, whatever its layout and comments."""
    return zlib.crc32("".join(ast.dump(ast.parse(inspect.getsource(each))) for each in modules).encode())


def _sources(*modules: ModuleType) -> int:
    return zlib.crc32("".join(inspect.getsource(module) for module in modules).encode())


def _scores(part: Part, values: Iterable[tuple[str, str, float, float]]) -> Iterator[tuple[CellKey, Score]]:
    for column, what, total, n in values:
        yield CellKey(part.table, column, part.world, what), Score(total, n)
