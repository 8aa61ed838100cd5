"""Provenance of a row: package version, method version, parameters and source file.

Every master row of an imported or computed table has these four values, in attributes prefixed with the
table's name, so that tables can be joined. A row whose method, parameters or source have changed is *stale*.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any, ClassVar

import pandas as pd

import vbn
from schemas import session
from schemas.bases.parameter_table import ParameterTable, parameter_tables
from schemas.rows.insert import key_of_session
from schemas.server.datajoint import dj
from vbn.threads import in_one_thread

Key = dict[str, Any]

PACKAGE, METHOD, PARAMETERS, SOURCE = "package_version", "method_version", "params_hash", "source_hash"


def provenance_lines(prefix: str) -> str:
    """Return the lines of a definition for the provenance attributes.

    Parameters
    ----------
    prefix : the table's class name in snake case.
    """
    return f"""
    {prefix}_{PACKAGE} : varchar(32)  # version of vbn-datajoint that made the row
    {prefix}_{METHOD} : int16  # version of the method
    {prefix}_{PARAMETERS} : varchar(64)  # sha256 of the parameter sets, empty without parameters
    {prefix}_{SOURCE} : varchar(160)  # blake2b of the NWB file, or size:bytes where it has no hash
    """


class MadeWith:
    """A table whose rows record their provenance.

    Attributes
    ----------
    method_version : increased when the same parameters and data give a different result.
    source_change : the reason given for rows that are stale because their source has changed.
    session_columns : attributes of the key that name the sessions from whose files a row is made.
    also_reads : tables without a foreign key that ``make`` reads; what is made of their stale rows is stale.
    """

    session_columns: ClassVar[tuple[str, ...]] = ("session_id",)
    also_reads: ClassVar[tuple[type, ...]] = ()
    method_version: ClassVar[int] = 1
    source_change: ClassVar[str] = "the file has changed"

    def __init_subclass__(cls, **named: Any) -> None:
        """Let what a table computes be the same on each machine, whoever calls its ``make``."""
        super().__init_subclass__(**named)
        if "make_compute" in cls.__dict__:
            cls.make_compute = in_one_thread(cls.__dict__["make_compute"])

    @classmethod
    def provenance_prefix(cls) -> str:
        """Return the prefix of the names of the four attributes."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()

    @classmethod
    def parameters(cls) -> list[type[ParameterTable]]:
        """Return the parameter tables that the primary key refers to."""
        table, graph = cls(), cls.connection.dependencies
        if table.full_table_name not in graph:
            graph.load()  # loads the keys of all tables at once; a heading takes eight queries per table
        key = graph.nodes[table.full_table_name]["primary_key"]
        return [each for each in parameter_tables().values() if each.key_name() in key]

    @classmethod
    def wanted_sets(cls, table: type[ParameterTable]) -> list[str]:
        """Return the names of the sets of a parameter table with which this table is computed."""
        return table.wanted()

    @classmethod
    def provenance(cls, key: Key) -> Key:
        """Return the four values for a row that is computed now."""
        hashes = [(table & key).fetch1(f"{table.prefix()}_hash") for table in cls.parameters()]
        sources = [cls.source({**key, "session_id": key[column]}) for column in cls.session_columns]
        values = {
            PACKAGE: vbn.__version__,
            METHOD: cls.method_version,
            PARAMETERS: joint_hash(hashes),
            SOURCE: joint_hash(sources),
        }
        return {f"{cls.provenance_prefix()}_{name}": value for name, value in values.items()}

    @classmethod
    def is_stale(cls, row: Key) -> bool:
        """Return whether one row, all of its attributes, is stale, as `stale_rows` finds of all rows."""
        present = cls.provenance(row)
        return any(row[name] != value for name, value in present.items() if not name.endswith(PACKAGE))

    @classmethod
    def stale_rows(cls, key: Key | None = None) -> pd.DataFrame:
        """Return the rows computed by another method version, with other parameters or from another file.

        Parameters
        ----------
        key : check only the rows with this key.

        Returns
        -------
        One row per stale row: the primary key, and ``reason``. Rows that are only computed from stale
        rows of other tables are not included.
        """
        prefix = cls.provenance_prefix()
        columns = {name: f"{prefix}_{name}" for name in (METHOD, PARAMETERS, SOURCE)}
        rows = cls.proj(**columns) & (key or {})
        frame = pd.DataFrame(rows.to_dicts(), columns=[*cls.primary_key, *columns])
        changed = {
            "the method has changed": frame[METHOD] != cls.method_version,
            "the parameters have changed": frame[PARAMETERS] != cls._present_hashes(frame),
            cls.source_change: frame[SOURCE] != cls._present_sources(frame),
        }
        reasons = pd.DataFrame(changed, index=frame.index)
        frame["reason"] = [", ".join(reasons.columns[row]) for row in reasons.to_numpy(bool)]
        return frame[reasons.any(axis=1)][[*cls.primary_key, "reason"]]

    @classmethod
    def made_from(cls, table: type) -> Any:  # noqa: ARG003
        """Return the rows that are made from rows of a table: of one of `also_reads`, or above this one."""
        return cls()

    @classmethod
    def source(cls, key: Key) -> str:
        """Return an identifier of the current content of the file that an entry is made from."""
        file = (session.NwbFile & key_of_session(key)).proj("blake2b", "size_bytes").fetch1()
        return source_hash(file["blake2b"], file["size_bytes"])

    @classmethod
    def sources(cls) -> pd.DataFrame:
        """Return an identifier of the current content of each file: the file's key, and ``present``."""
        rows = session.NwbFile.proj("blake2b", "size_bytes").to_dicts()
        present = [source_hash(row["blake2b"], row["size_bytes"]) for row in rows]
        return pd.DataFrame(rows, columns=session.NwbFile.primary_key).assign(present=present)

    @classmethod
    def _present_sources(cls, frame: pd.DataFrame) -> pd.Series[Any]:
        sources = cls.sources()
        keys = [name for name in sources.columns if name != "present"]
        present = []
        for column in cls.session_columns:
            rows = frame.rename(columns={column: "session_id"})[keys].astype(
                object
            )  # an empty one has any type
            present.append(rows.merge(sources.astype(object), on=keys, how="left")["present"])
        if len(present) == 1:
            return present[0]
        return pd.Series(
            [joint_hash(list(row)) for row in zip(*present, strict=True)], index=frame.index, dtype=object
        )

    @classmethod
    def _present_hashes(cls, frame: pd.DataFrame) -> pd.Series[Any]:
        columns = []
        for table in cls.parameters():
            rows = table.proj(f"{table.prefix()}_hash").to_dicts()
            known = {row[table.primary_key[0]]: row[f"{table.prefix()}_hash"] for row in rows}
            columns.append(frame[table.primary_key[0]].map(known))
        return pd.Series(
            [joint_hash(list(row)) for row in zip(*columns, strict=True)] if columns else "",
            index=frame.index,
        )


class Computation(MadeWith, dj.Computed):
    """A computed table whose rows record their provenance."""


def seed_of(key: Key) -> int:
    """Return a seed for the random steps of an entry: the same key gives the same results.

    Examples
    --------
    >>> seed_of({"session_id": 1, "mouse_id": "7"}) == seed_of({"mouse_id": "7", "session_id": 1})
    True
    """
    text = json.dumps(key, sort_keys=True, default=str)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4])


def joint_hash(hashes: list[str]) -> str:
    """Return one hash for several parameter sets; the hash itself of a single one.

    Examples
    --------
    >>> joint_hash([]), joint_hash(["a"]), len(joint_hash(["a", "b"]))
    ('', 'a', 64)
    """
    if len(hashes) < 2:
        return "".join(hashes)
    return hashlib.sha256(" ".join(hashes).encode()).hexdigest()


def source_hash(blake2b: str | None, size_bytes: int) -> str:
    """Return an identifier of a file's content: its hash, or its size if it has none."""
    return blake2b or f"size:{size_bytes}"
