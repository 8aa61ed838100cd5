"""Whose sessions are published: the Allen Institute's, those of rigs of a lab, or both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pyarrow import parquet

from vbn.counted import counted
from vbn.nwb.mapping.definition import RELEASE_PROJECT

if TYPE_CHECKING:
    from populate.output.publish.describe import TableFile


@dataclass(frozen=True)
class Origin:
    """Whose sessions are published.

    Attributes
    ----------
    sessions : project -> number of its sessions.
    """

    sessions: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, files: Sequence[TableFile]) -> Origin:
        """Return whose sessions the files of the tables have."""
        found: Counter[str] = Counter()
        for each in files:
            if each.published.name == "Session":
                rows = parquet.read_table(each.path, columns=["project"], partitioning=None)
                found.update(rows["project"].to_pylist())
        return cls(dict(sorted(found.items())))

    @property
    def has_release(self) -> bool:
        """Whether sessions of the release are among them."""
        return RELEASE_PROJECT in self.sessions

    @property
    def others(self) -> str:
        """The projects that are not the release, with their numbers of sessions; empty without any.

        Examples
        --------
        >>> Origin({"our-rig": 2, "vbn-release": 5}).others
        'our-rig (2 sessions)'
        """
        return ", ".join(
            f"{name} ({counted(number, 'session')})"
            for name, number in self.sessions.items()
            if name != RELEASE_PROJECT
        )

    def whose(self, release: str) -> str:
        """Return whose they are in words, of which ``release`` are those for sessions of the release."""
        others = f"the projects of other laboratories: {self.others}" if self.others else ""
        if self.has_release:
            return f"{release}, and of {others}" if others else release
        return others or "no session"
