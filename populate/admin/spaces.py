"""Personal schemas on a lab's server, for tables of people's own, and courses of many.

A space is a schema after the prefix, such as ``vbn_space_ada``, in which its owner may do everything and
which all accounts may read. A row of `administration.Space` says whose it is; it is written first and removed
last, so that whatever is interrupted can be run again.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from populate.admin import accounts
from populate.admin.accounts import account_server, list_accounts, quote_id
from populate.admin.snapshot import references
from populate.admin.space_quotas import rule_alone, schema_exists, still_within
from populate.work.quotas import BEGINNING, UNITS, sizes
from schemas.administration import Space
from schemas.deploy import migrations
from schemas.server.access import require_admin
from schemas.server.connection import Database, server_lock
from schemas.server.datajoint import dj
from vbn.errors import ConflictError, NotFoundError, SettingError, shortened
from vbn.nearest import nearest

LONGEST_SCHEMA = 63  # on both servers
LONGEST_COURSE = 20
MOST_PEOPLE = 500
OF_OWNERS = (
    "SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, DROP, INDEX, REFERENCES, CREATE VIEW, SHOW VIEW, "
    "CREATE TEMPORARY TABLES, LOCK TABLES"
)


@dataclass(frozen=True)
class SpaceState:
    """A space as it is.

    Attributes
    ----------
    name : of the schema on the server.
    n_tables : tables of its owner, without DataJoint's own.
    size_bytes : of all its tables and indexes, as the server says; on MySQL a recent estimate. Without the
        arrays in the store.
    quota_bytes : how large it may become; None for any size.
    closed_at : (UTC) since when its owner may not add to it, as it is too large; None while it is open.
    """

    name: str
    owner: str
    course: str | None
    n_tables: int
    size_bytes: int
    quota_bytes: int | None
    closed_at: datetime | None = None

    @property
    def is_too_large(self) -> bool:
        """Whether it has more than it may."""
        return self.quota_bytes is not None and self.size_bytes > self.quota_bytes


@dataclass(frozen=True)
class Participant:
    """One account of a course."""

    name: str
    password: str
    space: str


def quota_bytes(text: str) -> int:
    """Return a size such as ``5GB`` in bytes.

    Raises
    ------
    SettingError
        If it is none.
    """
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([KMGT]?B?)", text.strip().upper())
    if not found or found[2] not in UNITS or (size := float(found[1]) * UNITS[found[2]]) < 1:
        raise SettingError(f"'{shortened(text)}' is no size. Write it as 500MB, 5GB or 1.5TB.")
    if size >= 2**63:
        raise SettingError(f"'{shortened(text)}' is more than any disk has.")
    return int(size)


def space_of(account: str) -> str:
    """Return the name of an account's space, without the prefix."""
    return BEGINNING + re.sub(r"[^a-z0-9_]", "_", account.lower())


def create_space(
    database: Database, account: str, *, quota: int | None = None, course: str | None = None
) -> str:
    """Make a personal schema for an account; return its name on the server.

    Run again for the same account, it grants everything anew, as is needed after a restore.

    Raises
    ------
    NotFoundError
        If there is no such account.
    ConflictError
        If the schema exists and is not hers.
    SettingError
        If its name would be too long, or the account is an admin's.
    RefusedError
        If the connected account may not do this.
    """
    require_admin(database, "make spaces")
    name = space_of(account)
    full = _full_name(database, name)
    known = [row for row in Space.to_dicts() if row["space_name"] == name]
    if known and known[0]["space_owner"] != account:
        raise ConflictError(
            f"The schema {full} is the space of {known[0]['space_owner']}: their names differ in signs and "
            "capitals only. Choose another name for one of the accounts."
        )
    people = _accounts(database, account)
    with server_lock("spaces", database):
        if not known:
            if schema_exists(database, full):
                raise ConflictError(f"There is a schema {full} already, which no space is known to be.")
            _enter(database, account, course, quota)
        elif quota is not None:
            Space.update1({"space_name": name, "space_quota_bytes": quota})
        _make(database, full, people)
        rule_alone(database, name)
    return full


def hand_over_space(database: Database, name: str, to: str) -> str:
    """Give a space to another account, tables and all; return the name of the schema, which it keeps.

    Parameters
    ----------
    name : its owner, or its own name.
    to : the account that gets it; its present owner, to be granted everything anew.

    Raises
    ------
    NotFoundError
        If there is no such space or account.
    SettingError
        If the other account is an admin's.
    ConflictError
        If connections of its former owner keep their rights in it, and cannot be ended. Run it again.
    """
    require_admin(database, "hand spaces over")
    row = _row(database, name)
    full, people = _full_name(database, row["space_name"]), _accounts(database, to)
    with server_lock("spaces", database):
        if to != row["space_owner"]:
            _take_back(database, full, row["space_owner"])
            if left := still_within(database, full, row["space_owner"]):
                raise ConflictError(f"{full} is not handed over. {left}, then run this again.")
        _make(database, full, people)
        course = row["space_course"] if to == row["space_owner"] else None  # it would be dropped with that
        Space.update1({"space_name": row["space_name"], "space_owner": to, "space_course": course})
        rule_alone(database, row["space_name"])
    return full


def drop_space(database: Database, name: str) -> str:
    """Drop a space with all its tables and rows; return the name of the schema.

    Parameters
    ----------
    name : its owner, or its own name.

    Raises
    ------
    NotFoundError
        If there is no such space.
    ConflictError
        If tables of others refer to it.
    """
    require_admin(database, "drop spaces")
    row = _row(database, name)
    full = _full_name(database, row["space_name"])
    require_unneeded(database, [full])
    with server_lock("spaces", database):
        _drop(database, full)
        (Space & {"space_name": row["space_name"]}).delete_quick()
    return full


def require_unneeded(database: Database, names: Sequence[str]) -> None:
    """Raise ConflictError if tables elsewhere refer to schemas that are to be dropped."""
    pairs = references(database.connection)
    needed = sorted({child for child, parent in pairs if parent in names} - {*names})
    if needed:
        raise ConflictError(
            f"Tables of {', '.join(needed)} refer to those of {', '.join(names)}. Have them dropped first. "
            "Nothing was dropped."
        )


def spaces(database: Database) -> list[SpaceState]:
    """Return the spaces, by name."""
    rows = Space.to_dicts(order_by="space_name")
    size_of = sizes(database, [database.prefix + row["space_name"] for row in rows])
    found = []
    for row in rows:
        full = database.prefix + row["space_name"]
        n_tables, size = size_of.get(full, (0, 0))
        owner, course, quota, closed_at = (
            row[f"space_{name}"] for name in ("owner", "course", "quota_bytes", "closed_at")
        )
        found.append(SpaceState(full, owner, course, n_tables, size, quota, closed_at))
    return found


def space_named(database: Database, name: str) -> SpaceState:
    """Return a space by its own name, or by that of an owner who has no other; NotFoundError if none."""
    full = database.prefix + _row(database, name)["space_name"]
    return next(state for state in spaces(database) if state.name == full)


def owners(database: Database) -> dict[str, str]:
    """Return schema on the server -> owner, of all spaces."""
    names, people = Space.to_arrays("space_name", "space_owner")
    return {database.prefix + str(name): str(owner) for name, owner in zip(names, people, strict=True)}


def people_of(text: str, course: str) -> list[str]:
    """Return the names of a course's accounts: those in a file, one a line, or as many as a number says.

    Raises
    ------
    SettingError
        If it is neither, a name occurs twice, or there are too many.
    """
    if text.isdecimal():
        number = int(text) if len(text) < 5 else MOST_PEOPLE + 1
        names = [f"{course}-{each:02d}" for each in range(1, min(number, MOST_PEOPLE + 1) + 1)]
    else:
        try:
            lines = Path(text).read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            raise SettingError(f"The file of people {text} cannot be read: {reason}.") from error
        names = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not 0 < len(names) <= MOST_PEOPLE:
        raise SettingError(f"A course has 1 to {MOST_PEOPLE} people.")
    if len({space_of(name) for name in names}) < len(names):
        raise SettingError("Two of these names are the same, or differ in signs and capitals only.")
    return names


def create_course(
    database: Database, course: str, names: Sequence[str], *, quota: int | None = None
) -> Iterator[Participant]:
    """Make reader accounts with random passwords, each with a space; yield each when it is made.

    Run again after an interruption, it makes those that are missing and gives all new passwords.

    Raises
    ------
    SettingError
        If a name cannot be one of an account, or the course has a name that cannot be one.
    ConflictError
        If an account exists that is not of this course.
    """
    require_admin(database, "make courses")
    if not re.fullmatch(rf"[a-z0-9][a-z0-9-]{{0,{LONGEST_COURSE - 1}}}", course):
        raise SettingError(
            f"'{shortened(course)}' cannot be the name of a course: at most {LONGEST_COURSE} small letters, "
            "digits and '-'."
        )
    server = account_server(database)
    longest = accounts.LONGEST_NAME[database.backend]
    of_course = set((Space & {"space_course": course}).to_arrays("space_owner").tolist())
    known = {account.name for account in list_accounts(database)}
    for name in names:
        accounts.require_usable_name(name, longest, server.roles)
        _full_name(database, space_of(name))
        if name in known and name not in of_course:
            raise ConflictError(f"There is an account '{name}' already. Nothing was made.")
    for name in names:
        if name not in of_course:
            _enter(database, name, course, quota)  # before the account, so that drop_course finds both
        password = accounts.new_password()
        accounts.create_account(database, name, "reader", password, replace=True)
        yield Participant(name, password, create_space(database, name, quota=quota))


def _enter(database: Database, account: str, course: str | None, quota: int | None) -> None:
    """Write down whose a space is."""
    row: dict[str, Any] = {
        "space_name": space_of(account),
        "space_owner": account,
        "space_course": course,
        "space_quota_bytes": quota,
        "space_made_at": datetime.now(UTC).replace(tzinfo=None),
        "space_made_by": str(database.connection.conn_info["user"]),
    }
    try:
        Space.insert1(row)
    except dj.errors.DuplicateError as error:
        raise ConflictError(f"There is a space {database.prefix}{space_of(account)} already.") from error


def course_people(course: str) -> list[str]:
    """Return the accounts of a course; raise NotFoundError, with the nearest, if there is none."""
    names = sorted(map(str, (Space & {"space_course": course}).to_arrays("space_owner")))
    if not names:
        known = {str(each) for each in Space.to_arrays("space_course") if each}
        raise NotFoundError(f"There is no course '{shortened(course)}'.{nearest(course, known)}")
    return names


def drop_course(database: Database, course: str) -> Iterator[str]:
    """Drop the spaces and accounts of a course; yield the name of each that is gone.

    Raises
    ------
    NotFoundError
        If there is no such course.
    ConflictError
        If tables of others refer to one of the spaces; then nothing is dropped.
    """
    require_admin(database, "drop courses")
    people = course_people(course)
    full = {name: database.prefix + space_of(name) for name in people}
    require_unneeded(database, list(full.values()))
    known = {account.name for account in list_accounts(database)}
    # Tables of one may refer to those of another.
    for name in people:
        _drop(database, full[name])
    for name in people:
        if name in known:
            accounts.drop_account(database, name, with_space=True)
        (Space & {"space_name": space_of(name)}).delete_quick()
        yield name


def write_passwords(path: Path, people: Iterator[Participant]) -> list[Participant]:
    """Write accounts as they are made into a new CSV file that only we may read; return them.

    Raises
    ------
    SettingError
        If the file exists or cannot be made; then no account is.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise SettingError(f"The passwords cannot be written to {path}: {error.strerror}.") from error
    made = []
    with os.fdopen(descriptor, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("name", "password", "space"))
        try:
            for each in people:
                writer.writerow((each.name, each.password, each.space))
                file.flush()
                made.append(each)
        finally:
            if not made:
                path.unlink()
    return made


def _row(database: Database, name: str) -> dict[str, Any]:
    """Return the row of a space, by its own name or by that of an owner who has no other."""
    rows: list[dict[str, Any]] = Space.to_dicts(order_by="space_name")
    found = [row for row in rows if name in (row["space_name"], database.prefix + row["space_name"])]
    found = found or [row for row in rows if row["space_owner"] == name]
    if not found:
        raise NotFoundError(
            f"'{shortened(name)}' has no space.{nearest(name, {row['space_owner'] for row in rows})}"
        )
    if len(found) > 1:
        names = ", ".join(database.prefix + row["space_name"] for row in found)
        raise ConflictError(f"'{name}' has several spaces. Name one of them: {names}.")
    return found[0]


def _full_name(database: Database, name: str) -> str:
    full = database.prefix + name
    if len(full) > LONGEST_SCHEMA:
        raise SettingError(
            f"The schema {full} would have more than {LONGEST_SCHEMA} characters. Choose a shorter name."
        )
    return full


def _accounts(database: Database, name: str) -> list[Any]:
    """Return the accounts of a name, on MySQL one for each host."""
    everybody = list_accounts(database)
    found = [account for account in everybody if account.name == name]
    if not found:
        advice = nearest(name, {account.name for account in everybody})
        raise NotFoundError(
            f"There is no account '{shortened(name)}' of this database.{advice} Make it with: vbn admin "
            "create-user NAME --role reader"
        )
    if any(account.role == "admin" for account in found):
        raise SettingError(f"'{name}' is an admin, who may make schemas without a space.")
    return found


def _make(database: Database, full: str, people: Sequence[Any]) -> None:
    """Make a schema, and let its owner do everything in it and refer to the lab's, and the lab read it."""
    server = account_server(database)
    if database.backend == "mysql":
        migrations.create_schema(full, database)
        for account in people:
            to = (account.name, account.host)
            server.note_left(account, full, has_left=False)  # before: see `space_quotas`
            server.query(f"GRANT {OF_OWNERS} ON `{server.pattern(full)}`.* TO %s@%s", *to)
            for schema in server.schemas:
                server.query(f"GRANT REFERENCES ON `{server.pattern(schema)}`.* TO %s@%s", *to)
        server.grant_reading(full)
        return
    schema, owner = quote_id(full), quote_id(people[0].name)
    readers = f"{quote_id(server.reader)}, {quote_id(server.worker)}"
    with server.acting_as_owner_of("reader"):
        server.query(f"GRANT {owner} TO CURRENT_USER")  # to give her the schema, and for backups to read it
        server.query(f"CREATE SCHEMA IF NOT EXISTS {schema} AUTHORIZATION {owner}")
        _give(database, full, owner)
        server.query(f"GRANT USAGE ON SCHEMA {schema} TO {readers}")
        server.query(f"GRANT SELECT, REFERENCES ON ALL TABLES IN SCHEMA {schema} TO {readers}")
        server.query(
            f"ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA {schema} "
            f"GRANT SELECT, REFERENCES ON TABLES TO {readers}"
        )


def _give(database: Database, full: str, owner: str) -> None:
    """Make an account of PostgreSQL the owner of a schema and of all that is in it."""
    query, schema = database.connection.query, quote_id(full)
    query(f"ALTER SCHEMA {schema} OWNER TO {owner}")
    query(f"GRANT CREATE ON SCHEMA {schema} TO {owner}")  # which a closed one's owner lacks, and tables need
    tables = (
        "SELECT relname FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace "
        "WHERE nspname = %s AND relkind IN ('r','p','v','m')"
    )
    for (name,) in query(tables, args=(full,)).fetchall():
        query(f"ALTER TABLE {schema}.{quote_id(name)} OWNER TO {owner}")
    types = (
        "SELECT typname FROM pg_type JOIN pg_namespace n ON n.oid = typnamespace "
        "WHERE nspname = %s AND typtype = 'e'"
    )
    for (name,) in query(types, args=(full,)).fetchall():
        query(f"ALTER TYPE {schema}.{quote_id(name)} OWNER TO {owner}")


def _take_back(database: Database, full: str, account: str) -> None:
    """Take a schema away from its owner, if that account still exists."""
    server = account_server(database)
    former = [each for each in server.accounts() if each.name == account]
    if database.backend == "mysql":
        for each in former:
            server.query(
                f"REVOKE IF EXISTS {OF_OWNERS} ON `{server.pattern(full)}`.* FROM %s@%s", each.name, each.host
            )
        return
    if former:
        schema, owner = quote_id(full), quote_id(account)
        readers = f"{quote_id(server.reader)}, {quote_id(server.worker)}"
        with server.acting_as_owner_of("reader"):
            server.query(f"GRANT {owner} TO CURRENT_USER")
            server.query(
                f"ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA {schema} "
                f"REVOKE SELECT, REFERENCES ON TABLES FROM {readers}"
            )


def _drop(database: Database, full: str) -> None:
    """Drop a schema if it is there."""
    query = database.connection.query
    if database.backend == "mysql":
        query("SET SESSION foreign_key_checks = 0")  # of a course, one may refer to another, which goes next
        try:
            query(f"DROP DATABASE IF EXISTS `{full}`")
        finally:
            query("SET SESSION foreign_key_checks = 1")
        return
    with account_server(database).acting_as_owner_of("reader"):
        query(f"DROP SCHEMA IF EXISTS {quote_id(full)} CASCADE")
