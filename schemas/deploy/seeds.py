"""Default rows of the tables: parameter sets, and the structures of the atlas."""

from __future__ import annotations

from collections.abc import Mapping

from schemas import ecephys
from schemas.bases.parameter_table import ParameterTable, as_json, parameter_tables
from schemas.rows.insert import rows_from_frame
from schemas.server.datajoint import dj
from vbn.anatomy import structures


def seed_defaults() -> None:
    """Insert missing structures and default parameter sets (part of the deploy step)."""
    seed_structures()
    for table in _tables_to_seed():
        table.seed()


def _tables_to_seed() -> list[type[ParameterTable]]:
    """Return the tables that may lack a default set, or have sets of an earlier version, with one query."""
    tables = list(parameter_tables().values())
    quote = dj.conn().adapter.quote_identifier
    query = " UNION ALL ".join(
        f"SELECT {number}, {quote(table.key_name())}, {table.prefix()}_version, {table.prefix()}_hash "  # noqa: S608
        f"FROM {table().full_table_name}"
        for number, table in enumerate(tables)
    )
    known: list[dict[str, tuple[int, str]]] = [{} for _ in tables]
    for number, name, version, digest in dj.conn().query(query).fetchall():
        known[number][name] = (version, digest)
    return [table for table, sets in zip(tables, known, strict=True) if not _has_defaults(table, sets)]


def _has_defaults(table: type[ParameterTable], known: Mapping[str, tuple[int, str]]) -> bool:
    """Return whether versions and hashes, by name, are those of a table with all defaults."""
    if any(version < table.method_version for version, _ in known.values()):
        return False
    hash_name = f"{table.prefix()}_hash"
    return all(
        name in known
        and any(known[name][1] == stamp[hash_name] for stamp in table.stamps(name, as_json(settings)))
        for name, settings in table.defaults.items()
    )


def seed_structures() -> None:
    """Insert missing structures of the release; correct those that differ from this version's."""
    if _structures_are_seeded():
        return
    renamed = {"structure_acronym": "acronym", "structure_name": "name", "parent_acronym": "parent"}
    rows = rows_from_frame(structures(), ecephys.Structure(), {}, {**renamed, "structure_group": "group"})
    known = {row["structure_acronym"]: row for row in ecephys.Structure.to_dicts()}
    ecephys.Structure.insert([row for row in rows if row["structure_acronym"] not in known])
    for row in rows:
        if known.get(row["structure_acronym"], row) != row:
            ecephys.Structure.update1(row)


def _structures_are_seeded() -> bool:
    """Return whether all structures are up to date, with one query and without the table's heading."""
    columns = "structure_acronym, structure_name, parent_acronym, structure_group"
    query = f"SELECT {columns} FROM {ecephys.Structure.full_table_name}"  # noqa: S608
    wanted = structures()[["acronym", "name", "parent", "group"]].itertuples(index=False, name=None)
    return set(wanted) <= set(ecephys.Structure.connection.query(query).fetchall())
