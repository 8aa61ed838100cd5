"""Tables of spaces that would run code of their owners as whoever reads or deletes their rows.

On PostgreSQL, an owner may attach functions of her own to a table: in row-level policies, rules, triggers,
and expressions of indexes, which the server evaluates when it plans a query. They run with the rights of the
account that asks, and to act as the owner (``SET ROLE``) is no protection: her function could end that. So an
admin does not touch such tables at all. Owners of spaces on MySQL may make no functions and no triggers.
"""

from __future__ import annotations

from typing import Any

from vbn.errors import ConflictError

TABLES = """
SELECT c.oid, format('%%I.%%I', n.nspname, c.relname), pg_get_userbyid(c.relowner)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND starts_with(n.nspname, %s)
AND EXISTS (SELECT 1 FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'f')
ORDER BY 2
"""
"""The tables of spaces that refer to others, by which a deletion finds them."""

WITH_CODE = """
SELECT c.oid, CASE
WHEN c.relrowsecurity OR c.relforcerowsecurity THEN 'row-level policies'
WHEN EXISTS (SELECT 1 FROM pg_rewrite r WHERE r.ev_class = c.oid) THEN 'rules'
WHEN EXISTS (SELECT 1 FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal) THEN 'triggers'
WHEN EXISTS (SELECT 1 FROM pg_inherits i WHERE i.inhparent = c.oid) THEN 'tables that inherit from it'
WHEN EXISTS (SELECT 1 FROM pg_statistic_ext s WHERE s.stxrelid = c.oid AND s.stxexprs IS NOT NULL)
THEN 'statistics of expressions'
WHEN EXISTS (SELECT 1 FROM pg_depend d WHERE d.refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass)
AND (d.classid = 'pg_class'::regclass AND d.objid IN
(SELECT c.oid UNION SELECT x.indexrelid FROM pg_index x WHERE x.indrelid = c.oid)
OR d.classid = 'pg_constraint'::regclass AND d.objid IN
(SELECT k.oid FROM pg_constraint k WHERE k.conrelid = c.oid)
OR d.classid = 'pg_attrdef'::regclass AND d.objid IN
(SELECT a.oid FROM pg_attrdef a WHERE a.adrelid = c.oid))) THEN 'functions of its owner'
END FROM pg_class c WHERE c.oid = ANY(%s)
"""
"""What a table has that runs code; the server records no dependence on its own functions."""


Tables = dict[int, tuple[str, str]]  # number on the server -> full name, owner


def tables_of_spaces(connection: Any, spaces: str) -> Tables:
    """Return the tables of spaces that refer to others; none on MySQL.

    Parameters
    ----------
    connection : of DataJoint.
    spaces : what the names of spaces begin with.
    """
    if connection.adapter.backend == "mysql":
        return {}
    return {oid: (name, owner) for oid, name, owner in connection.query(TABLES, args=(spaces,)).fetchall()}


def require_no_code(connection: Any, spaces: str, tables: Tables, mode: str) -> None:
    """Lock the tables of spaces that refer to others until the transaction ends; none may run code.

    Parameters
    ----------
    connection : of DataJoint, in a transaction whose first query this is: it sees what was when it began.
    spaces : what the names of spaces begin with.
    tables : those of `tables_of_spaces`.
    mode : of the lock; one by which nobody can attach code meanwhile.

    Raises
    ------
    ConflictError
        If one runs code, or there are others by now.
    """
    if tables:
        names = ", ".join(name for name, _ in tables.values())
        connection.query(f"LOCK TABLE {names.replace('%', '%%')} IN {mode} MODE")
    if tables_of_spaces(connection, spaces) != tables:
        raise ConflictError(
            "Tables of spaces were made or dropped meanwhile. Nothing was deleted: try again."
        )
    if not tables:
        return
    found = connection.query(WITH_CODE, args=(list(tables),)).fetchall()
    if bad := [(*tables[oid], what) for oid, what in found if what]:
        named = ", ".join(f"{name} of {owner} has {what}" for name, owner, what in sorted(bad))
        raise ConflictError(
            f"Nothing was deleted: code of the owners of spaces would run with your rights ({named}). Ask "
            "them to remove it, or drop the space (vbn admin drop-space)."
        )
