"""Accounts of a lab's server, and what they may do: readers, workers and admins.

Roles are roles on the server, one set for each prefix (``vbn_reader``, ``vbn_worker``, ``vbn_admin``).
``vbn deploy`` creates them and grants the privileges that they need on the existing tables.

=======  ==================================================================================
reader   selects from everything, enters and withdraws lists and notes, changes nothing else
worker   reader, and inserts into and deletes from imported and computed tables, their jobs,
         and the few other tables that imports write; makes freezes, and drops its own
admin    everything in the schemas of the prefix; creates new ones, and manages accounts
=======  ==================================================================================
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import time
import warnings
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2.extensions
import pymysql

from schemas import administration, curation, ecephys, session, stimulus
from schemas.bases.lab import AdoptedSchema, LabSchema, lab_schemas
from schemas.bases.registry import part_classes, schema_names, tables
from schemas.deploy.lab_modules import LabModuleWarning
from schemas.server.access import ROLES, RefusedError, require_admin, role_name
from schemas.server.connection import Database, server_lock
from schemas.server.datajoint import JobTable, dj, driver_of
from schemas.server.error_codes import ACCOUNT_EXISTS, code_of
from schemas.server.restoring import schema_of_mark
from vbn.errors import ConflictError, NotFoundError, ServerError, SettingError

PASSWORD_BYTES = 24
LONGEST_NAME = {"mysql": 32, "postgresql": 63}
SYSTEM_NAMES = frozenset(
    {
        *("root", "mysql", "mariadb", "postgres", "public", "none", "anonymous", "user", "healthcheck"),
        *("current_user", "session_user", "replication", "replicator", "repl", "debian-sys-maint"),
    }
)
"""Names that a server, its packages or its container give a meaning, in lower case."""
SYSTEM_BEGINNINGS = ("mysql.", "mariadb.", "pg_", "rds", "azure", "cloudsql")
ANY_HOST = "%"
LONGEST_END_S = 5.0
LEFT = "vbn_left"
"""Attribute of MySQL's accounts: the spaces in which no connection of theirs kept rights to add."""
REFUSALS = (dj.errors.QueryError, dj.errors.AccessError, pymysql.err.OperationalError)
"""What MySQL raises where this account may not do something."""

# Other tables that imports write. MySQL treats "insert unless present" as an update.
WRITTEN_BY_IMPORTS: tuple[tuple[Any, tuple[str, ...]], ...] = (
    (session.ImportIssue, ("INSERT", "DELETE")),
    (stimulus.Image, ("INSERT", "UPDATE")),
    (stimulus.Image.Set, ("INSERT", "UPDATE")),
    (ecephys.Structure, ("INSERT", "UPDATE")),
    (administration.Deletion, ("INSERT",)),
    (administration.Deletion.Count, ("INSERT",)),
)
# Tables of freezes, whose files are in the array store.
WRITTEN_BY_MAKERS: tuple[Any, ...] = (
    administration.Freeze, administration.Freeze.Piece, administration.Freeze.Array,
)  # fmt: skip
# Tables in which people keep lists and notes, readers too. No row of them is ever changed.
WRITTEN_BY_PEOPLE: tuple[Any, ...] = (
    curation.NamedList, curation.ListUnit, curation.ListSession, curation.UnitNote, curation.SessionNote,
)  # fmt: skip
OF_OWN_LIST = (
    "EXISTS (SELECT 1 FROM {lists} named WHERE named.list_name = {table}.list_name "
    "AND named.list_author = session_user)"
)
OF_OWN_FREEZE = (
    "EXISTS (SELECT 1 FROM {freezes} frozen WHERE frozen.freeze_name = {table}.freeze_name "
    "AND frozen.freeze_author = session_user)"
)
OWN_ROWS: tuple[tuple[Any, str], ...] = (
    (curation.NamedList, "list_author = session_user"),
    (curation.UnitNote, "unit_note_author = session_user"),
    (curation.SessionNote, "session_note_author = session_user"),
    (curation.ListUnit, OF_OWN_LIST),
    (curation.ListSession, OF_OWN_LIST),
    (administration.Freeze, "freeze_author = session_user"),
    (administration.Freeze.Piece, OF_OWN_FREEZE),
    (administration.Freeze.Array, OF_OWN_FREEZE),
)  # fmt: skip
"""Of these tables, what makes a row one's own, to a PostgreSQL."""

# Names of PostgreSQL's schemas, tables and enumerations, by owner.
OWNED = {
    "SCHEMA": "nspname, NULL FROM pg_namespace n WHERE nspowner",
    "TABLE": (
        "nspname, relname FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace "
        "WHERE relkind = 'r' AND relowner"
    ),
    "TYPE": (
        "nspname, typname FROM pg_type JOIN pg_namespace n ON n.oid = typnamespace "
        "WHERE typtype = 'e' AND typowner"
    ),
}


Privileges = dict[tuple[str, str], tuple[str, ...]]  # (schema, table) -> privileges


@dataclass(frozen=True)
class Account:
    """An account with one of the roles."""

    name: str
    host: str  # from where it may connect; empty on PostgreSQL, where pg_hba.conf decides
    role: str


def worker_privileges(masters: Sequence[Any]) -> Privileges:
    """Return the privileges of workers, besides reading, on populated tables with their parts and jobs."""
    found: Privileges = {}
    for cls in masters:
        for table in (cls, *part_classes(cls)):
            found[cls.database, table.table_name] = ("INSERT", "DELETE")
        found[cls.database, JobTable(cls()).table_name] = ("INSERT", "UPDATE", "DELETE")
    return found


def refresh(database: Database) -> tuple[str, ...]:
    """Create the roles and grant their privileges on the existing tables; return their names.

    The embedded server, which belongs to one person, has none.

    Raises
    ------
    RefusedError
        If the account may not do this; the roles are not changed.
    """
    if database.embedded:
        return ()
    server = account_server(database)
    with server_lock("roles", database):
        server.make_roles()
        server.grant()
        for schema in server.adopted:
            _grant_adopted(server, schema)
    roles: tuple[str, ...] = server.roles
    return roles


def _grant_adopted(server: Any, schema: AdoptedSchema) -> None:
    """Grant a schema that the lab has named and made by itself, if it is this account's to grant."""
    try:
        server.grant_reading(schema.database)
        server.grant_working(worker_privileges(_populated(schema.masters)))
    except RefusedError as error:
        warnings.warn(
            f"Readers and workers cannot use the schema {schema.database} of {schema.module}: it is not this "
            f"account's to grant. Its owner grants it with: vbn deploy --module {schema.module}. {error}",
            LabModuleWarning,
            stacklevel=2,
        )


def create_account(
    database: Database, name: str, role: str, password: str, *, host: str = "", replace: bool = False
) -> None:
    """Create an account with a role, and the roles themselves if they are missing.

    Parameters
    ----------
    host : on MySQL, from where it may connect, by default from anywhere (``%``).
    replace : give an existing account of this package the password and the role.

    Raises
    ------
    ConflictError
        If the account exists, and may not be replaced, is not ours, or has a space and another role.
    SettingError
        If name, host or password cannot be used.
    ServerError
        If the connected account may not do this.
    """
    require_admin(database, "make accounts")
    server = account_server(database)
    host = server.usable_host(host)
    require_usable_name(name, LONGEST_NAME[database.backend], server.roles)
    if database.role is None:  # an admin's account implies that the roles exist
        refresh(database)
    with server_lock("roles", database):
        known = [account for account in server.accounts() if (account.name, account.host) == (name, host)]
        if known and not replace:
            raise ConflictError(
                f"The account '{name}' exists ({known[0].role}). Give it another password or role with "
                "--replace, or choose another name."
            )
        if known and known[0].role != role:
            _require_no_space(known[0], role)
        server.replace(known[0], role, password) if known else server.create(name, host, role, password)


def _require_no_space(account: Account, role: str) -> None:
    """Raise ConflictError if an account that is made anew, for another role, would lose its space."""
    if administration.Space & {"space_owner": account.name}:
        raise ConflictError(
            f"'{account.name}' is a {account.role} with a space, and cannot become a {role} while it has "
            "one: nothing was changed. Give the space to somebody else (vbn admin hand-over-space "
            f"{account.name} --to NAME) or drop it (vbn admin drop-space {account.name}), or make another "
            "account."
        )


def require_usable_name(name: str, longest: int, roles: Collection[str] = ()) -> None:
    """Raise SettingError if a person's account cannot have this name.

    Parameters
    ----------
    name : the name.
    longest : how many characters the server allows.
    roles : names of roles, which are taken.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name) or len(name) > longest or name in roles:
        raise SettingError(
            f"'{name}' cannot be the name of an account: it must be letters, digits, '_', '.' and '-', "
            f"at most {longest} of them, and not the name of a role."
        )
    if name.lower() in SYSTEM_NAMES or name.lower().startswith(SYSTEM_BEGINNINGS):
        raise SettingError(
            f"'{name}' is the name of a system account. Choose another one: each person needs an account of "
            "their own, and what runs by itself one that says what it is for."
        )


def drop_account(database: Database, name: str, *, with_space: bool = False) -> int:
    """Remove the accounts of a name (on MySQL there may be one for each host); return how many.

    Parameters
    ----------
    with_space : whether its space is being removed, too.

    Raises
    ------
    NotFoundError
        If no account of this package has the name.
    ConflictError
        If it is the connected account, or has a space (`populate.admin.spaces`).
    """
    require_admin(database, "remove accounts")
    server = account_server(database)
    found = [account for account in server.accounts() if account.name == name]
    if not found:
        names = ", ".join(sorted({account.name for account in server.accounts()})) or "none"
        raise NotFoundError(f"There is no account '{name}' with a role of this database. There are: {names}.")
    if name == database.connection.conn_info["user"]:
        raise ConflictError(f"'{name}' is the account that you are connected with. Use another to remove it.")
    if not with_space and (administration.Space & {"space_owner": name}):
        raise ConflictError(
            f"'{name}' has a space with tables. Give it to somebody else (vbn admin hand-over-space {name} "
            f"--to NAME) or drop it (vbn admin drop-space {name}) first."
        )
    for account in found:
        server.drop(account)
    return len(found)


def list_accounts(database: Database) -> list[Account]:
    """Return the accounts with one of the roles, by name."""
    require_admin(database, "list accounts")
    return sorted(account_server(database).accounts(), key=lambda account: (account.name, account.host))


def new_password() -> str:
    """Return a random password of 32 letters, digits, ``-`` and ``_``."""
    return secrets.token_urlsafe(PASSWORD_BYTES)


def read_password(path: Path) -> str:
    """Return the password in a file: its text without the line ending.

    Raises
    ------
    SettingError
        If the file cannot be read, is empty or has several lines.
    """
    try:
        text = path.read_text().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise SettingError(f"The password file {path} cannot be read: {reason}.") from error
    if not text or "\n" in text:
        raise SettingError(f"The password file {path} must hold one line: the password.")
    return text


@contextlib.contextmanager
def password_written_to(path: Path | None, password: str) -> Iterator[None]:
    """Write a password to a new file that only we may read; remove it if the block fails.

    Raises
    ------
    SettingError
        If the file exists or cannot be created.
    """
    if path is None:
        yield
        return
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise SettingError(f"The password cannot be written to {path}: {error.strerror}.") from error
    with os.fdopen(descriptor, "w") as file:
        try:
            file.write(password + "\n")
            file.flush()
            yield
        except BaseException:
            path.unlink()
            raise


class _Server:
    """The statements about roles and accounts of one kind of server."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.roles = tuple(role_name(database.prefix, role) for role in ROLES)
        self.reader, self.worker, self.admin = self.roles
        bound = lab_schemas()
        named = [schema.full_name(database.prefix) for schema in bound if isinstance(schema, LabSchema)]
        self.schemas = tuple(dict.fromkeys([*schema_names(database.prefix), *named]))
        self.adopted = [schema for schema in bound if isinstance(schema, AdoptedSchema)]
        masters = [*tables(), *(cls for each in bound if each not in self.adopted for cls in each.masters)]
        self.written = {(cls.database, cls.table_name): needed for cls, needed in WRITTEN_BY_IMPORTS}
        self.written |= worker_privileges(_populated(masters))
        self.written |= {(cls.database, cls.table_name): ("INSERT", "DELETE") for cls in WRITTEN_BY_MAKERS}
        self.kept: Privileges = {
            (cls.database, cls.table_name): ("INSERT", "DELETE") for cls in WRITTEN_BY_PEOPLE
        }
        longest = LONGEST_NAME[database.backend]
        if len(self.worker) > longest:
            raise RefusedError(
                f"The prefix '{database.prefix}' is too long for roles such as '{self.worker}': their names "
                f"have at most {longest} characters on this server."
            )

    def query(self, statement: str, *args: Any) -> Any:
        return self.database.connection.query(statement, args=args)


class _MySQL(_Server):
    """Grants schemas to readers and workers one by one: a pattern would match other prefixes too.

    In the schema name of a grant, ``_`` stands for any character unless it is escaped.
    """

    def usable_host(self, host: str) -> str:
        return host or ANY_HOST

    def make_roles(self) -> None:
        self.query(f"CREATE ROLE IF NOT EXISTS {', '.join(map(_name, self.roles))}")

    def grant(self) -> None:
        # With the mark of a restore, which whoever may read finds when it stands.
        for name in (*self.schemas, schema_of_mark(self.database.prefix)):
            self.grant_reading(name)
            self.query(f"GRANT ALL ON `{self.pattern(name)}`.* TO {_name(self.admin)} WITH GRANT OPTION")
        pattern = self.pattern(self.database.prefix)
        if (
            pattern != self.database.prefix
        ):  # schemas of later versions, and prefixes that begin with this one
            self.query(f"GRANT ALL ON `{pattern}%%`.* TO {_name(self.admin)} WITH GRANT OPTION")
        self.grant_working(self.written)
        self.grant_working(self.kept, self.reader, self.worker)
        # To see all connections, which distinguishes reservations of dead workers from others.
        self.query(f"GRANT PROCESS ON *.* TO {_name(self.worker)}")
        self.query(
            f"GRANT PROCESS, FLUSH_TABLES, CREATE USER ON *.* TO {_name(self.admin)} WITH GRANT OPTION"
        )
        self.query(f"GRANT SELECT ON mysql.role_edges TO {_name(self.admin)} WITH GRANT OPTION")
        with contextlib.suppress(*REFUSALS):  # of a deploying account that may not end connections itself
            self.query(f"GRANT CONNECTION_ADMIN ON *.* TO {_name(self.admin)} WITH GRANT OPTION")

    def end_connections(self, name: str, schema: str) -> list[int]:
        """End an account's connections in a schema (``USE``); return the ids of those that go on.

        Rights that are taken from an account stay with its connections in the schema until they leave it.
        """
        query = "SELECT id FROM performance_schema.processlist WHERE user = %s AND db = %s"
        for (number,) in self.query(query, name, schema).fetchall():
            with contextlib.suppress(*REFUSALS):  # it may have ended by itself
                self.query(f"KILL {int(number)}")
        deadline = time.monotonic() + LONGEST_END_S
        while (left := self.query(query, name, schema).fetchall()) and time.monotonic() < deadline:
            time.sleep(0.05)
        return [int(number) for (number,) in left]

    def has_left(self, account: Account, schema: str) -> bool:
        """Return whether `note_left` was told so: no connection has kept rights that were taken."""
        query = "SELECT attribute FROM information_schema.user_attributes WHERE user = %s AND host = %s"
        noted = self.query(query, account.name, account.host).fetchone()
        return bool(noted and noted[0] and schema in json.loads(noted[0]).get(LEFT, {}))

    def note_left(self, account: Account, schema: str, *, has_left: bool) -> None:
        """Note with the account itself, which is lost with it, whether it has left a schema."""
        noted = json.dumps({LEFT: {schema: has_left or None}})  # merged into what is there
        self.query("ALTER USER %s@%s ATTRIBUTE %s", account.name, account.host, noted)

    def grant_reading(self, schema: str) -> None:
        roles = f"{_name(self.reader)}, {_name(self.worker)}"
        self.query(f"GRANT SELECT, SHOW VIEW ON `{self.pattern(schema)}`.* TO {roles}")

    def grant_working(self, written: Privileges, *roles: str) -> None:
        names = ", ".join(map(_name, roles or (self.worker,)))
        for (schema, table), privileges in written.items():
            self.query(f"GRANT {', '.join(privileges)} ON `{schema}`.`{table}` TO {names}")

    def pattern(self, schema: str) -> str:
        """Return a schema's name as a grant takes it."""
        literal = self.query("SELECT @@partial_revokes").fetchone()[0]  # then names are not patterns
        return schema if literal else schema.replace("_", r"\_")

    def accounts(self) -> list[Account]:
        query = "SELECT to_user, to_host, from_user FROM mysql.role_edges WHERE from_user IN (%s, %s, %s)"
        return _with_highest_role(
            self, [tuple(map(_text, row)) for row in self.query(query, *self.roles).fetchall()]
        )

    def create(self, name: str, host: str, role: str, password: str) -> None:
        default = _name(role_name(self.database.prefix, role))
        statement = f"CREATE USER %s@%s IDENTIFIED BY %s DEFAULT ROLE {default}"  # which also grants it
        with _explaining_accounts(name):
            self.query(statement, name, host, password)
        self._grant_roles(name, host, role)

    def replace(self, account: Account, role: str, password: str) -> None:
        name, host = account.name, account.host
        with _explaining_accounts(name):
            self.query("ALTER USER %s@%s IDENTIFIED BY %s", name, host, password)
        self._grant_roles(name, host, role)
        default = _name(role_name(self.database.prefix, role))
        self.query(f"ALTER USER %s@%s DEFAULT ROLE {default}", name, host)
        edges = "SELECT from_user FROM mysql.role_edges WHERE to_user = %s AND to_host = %s"
        held = {_text(row[0]) for row in self.query(edges, name, host).fetchall()}
        for surplus in held & set(self.roles) - set(self._roles_of(role)):
            self.query(f"REVOKE {_name(surplus)} FROM %s@%s", name, host)

    def drop(self, account: Account) -> None:
        self.query("DROP USER %s@%s", account.name, account.host)

    def _roles_of(self, role: str) -> tuple[str, ...]:
        """Return the roles of an account: all three for an admin, who may grant them to others."""
        return self.roles if role == "admin" else (role_name(self.database.prefix, role),)

    def _grant_roles(self, name: str, host: str, role: str) -> None:
        option = " WITH ADMIN OPTION" if role == "admin" else ""
        self.query(f"GRANT {', '.join(map(_name, self._roles_of(role)))} TO %s@%s{option}", name, host)


class _PostgreSQL(_Server):
    """The admin role owns the tables, and admins act as it, so that each can alter what another created."""

    def usable_host(self, host: str) -> str:
        if host:
            raise SettingError(
                "On PostgreSQL pg_hba.conf decides from where accounts may connect: leave out --host."
            )
        return host

    def make_roles(self) -> None:
        present = {row[0] for row in self.query("SELECT rolname FROM pg_roles").fetchall()}
        for role in self.roles:
            if role not in present:
                self.query(
                    f"CREATE ROLE {quote_id(role)} NOLOGIN{' CREATEROLE' if role == self.admin else ''}"
                )
        if self.admin not in present:
            reader, worker, admin = map(quote_id, self.roles)
            self.query(f"GRANT {reader}, {worker} TO {admin} WITH ADMIN OPTION")
            if not self._scalar("SELECT rolsuper FROM pg_roles WHERE rolname = current_user"):
                self.query(f"GRANT {quote_id(self.admin)} TO CURRENT_USER")

    def grant(self) -> None:
        self._take_ownership()
        reader, worker, admin = map(quote_id, self.roles)
        self.grant_reading(*self.schemas)
        schemas = ", ".join(map(quote_id, self.schemas))
        self.query(
            f"ALTER DEFAULT PRIVILEGES FOR ROLE {admin} IN SCHEMA {schemas} "
            f"GRANT SELECT, REFERENCES ON TABLES TO {reader}, {worker}"
        )
        self.grant_working(self.written)
        self.grant_working(self.kept, self.reader, self.worker)
        self._keep_authors_apart()
        here = quote_id(self._scalar("SELECT current_database()"))
        may_create = "SELECT has_database_privilege(%s, current_database(), 'CREATE')"
        self._grant(f"GRANT CREATE ON DATABASE {here} TO {admin}", may_create, self.admin)
        # To see since when others are connected, which identifies reservations of dead workers.
        self._grant(f"GRANT pg_read_all_stats TO {worker}",
                    "SELECT pg_has_role(%s, 'pg_read_all_stats', 'MEMBER')", self.worker)  # fmt: skip

    def grant_reading(self, *names: str) -> None:
        schemas = ", ".join(map(quote_id, names))
        roles = f"{quote_id(self.reader)}, {quote_id(self.worker)}"
        self.query(f"GRANT USAGE ON SCHEMA {schemas} TO {roles}")
        # DataJoint reads primary keys from a catalog that shows them only to accounts that may do more than
        # select. REFERENCES is harmless for an account that may not create tables.
        self.query(f"GRANT SELECT, REFERENCES ON ALL TABLES IN SCHEMA {schemas} TO {roles}")

    def grant_working(self, written: Privileges, *roles: str) -> None:
        grantees = ", ".join(map(quote_id, roles or (self.worker,)))
        named: dict[tuple[str, ...], list[str]] = {}
        for (schema, table), privileges in written.items():
            named.setdefault(privileges, []).append(f"{quote_id(schema)}.{quote_id(table)}")
        for privileges, names in named.items():
            self.query(f"GRANT {', '.join(privileges)} ON {', '.join(names)} TO {grantees}")

    def _keep_authors_apart(self) -> None:
        """Let accounts enter and delete their own lists, notes and freezes only; admins own the tables."""
        places = {
            name: f"{quote_id(cls.database)}.{quote_id(cls.table_name)}"
            for name, cls in (("lists", curation.NamedList), ("freezes", administration.Freeze))
        }
        present = "SELECT count(*) FROM pg_policies WHERE schemaname = %s AND tablename = %s"
        for cls, is_own in OWN_ROWS:
            if self._scalar(present, cls.database, cls.table_name):
                continue  # changing them would wait for whoever reads the table, such as a backup
            table = f"{quote_id(cls.database)}.{quote_id(cls.table_name)}"
            own = is_own.format(**places, table=table)
            with self.database.connection.transaction:
                self.query(f"CREATE POLICY all_read ON {table} FOR SELECT USING (TRUE)")
                self.query(f"CREATE POLICY authors_enter ON {table} FOR INSERT WITH CHECK ({own})")
                self.query(f"CREATE POLICY authors_withdraw ON {table} FOR DELETE USING ({own})")
                self.query(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")

    def accounts(self) -> list[Account]:
        query = (
            "SELECT u.rolname, '', r.rolname FROM pg_auth_members m JOIN pg_roles u ON u.oid = m.member "
            "JOIN pg_roles r ON r.oid = m.roleid WHERE r.rolname IN (%s, %s, %s) AND u.rolcanlogin "
            "AND NOT u.rolsuper"
        )
        return _with_highest_role(self, self.query(query, *self.roles).fetchall())

    def create(self, name: str, _host: str, role: str, password: str) -> None:
        options = "LOGIN CREATEROLE" if role == "admin" else "LOGIN"
        with self.acting_as_owner_of(role), _explaining_accounts(name):
            self.query(f"CREATE ROLE {quote_id(name)} {options} PASSWORD %s", self._hashed(name, password))
            option = " WITH ADMIN OPTION" if role == "admin" else ""
            self.query(f"GRANT {quote_id(role_name(self.database.prefix, role))} TO {quote_id(name)}{option}")
            if role == "admin":
                self.query(f"ALTER ROLE {quote_id(name)} SET role = {quote_id(self.admin)}")

    def replace(self, account: Account, role: str, password: str) -> None:
        if account.role != role:
            self.drop(account)
            self.create(account.name, account.host, role, password)
            return
        with self.acting_as_owner_of(role), _explaining_accounts(account.name):
            statement = f"ALTER ROLE {quote_id(account.name)} LOGIN PASSWORD %s"
            self.query(statement, self._hashed(account.name, password))

    def drop(self, account: Account) -> None:
        with self.acting_as_owner_of(account.role), _explaining_accounts(account.name):
            self.query(f"DROP ROLE {quote_id(account.name)}")

    def _take_ownership(self) -> None:
        """Make the admin role the owner of what others created: schemas, tables and their types."""
        within = f"n.nspname IN ({', '.join(['%s'] * len(self.schemas))})"
        for kind, selected in OWNED.items():
            query = f"SELECT {selected} <> %s::regrole AND {within}"
            for names in self.query(query, quote_id(self.admin), *self.schemas).fetchall():
                place = ".".join(quote_id(name) for name in names if name)
                self.query(f"ALTER {kind} {place} OWNER TO {quote_id(self.admin)}")

    def _grant(self, statement: str, in_effect: str, role: str) -> None:
        """Execute a grant that not every admin may execute, unless it is in effect."""
        if not self._scalar(in_effect, role):
            self.query(statement)

    @contextlib.contextmanager
    def acting_as_owner_of(self, role: str) -> Iterator[None]:
        """Act as the owner of the accounts of a role, in a transaction.

        The creator of an account becomes a member of it, and memberships must not form a cycle: so the admin
        role, of which admins are members, owns readers and workers, and each admin the admins it created.
        """
        before = self._scalar("SELECT current_setting('role')")
        with self.database.connection.transaction:
            self.query("SET ROLE NONE" if role == "admin" else f"SET ROLE {quote_id(self.admin)}")
            yield
            self.query("SET ROLE NONE" if before == "none" else f"SET ROLE {quote_id(before)}")

    def _hashed(self, name: str, password: str) -> str:
        """Return the hash of a password that the server stores, so that no statement log has the password."""
        connection = driver_of(self.database.connection)
        return str(psycopg2.extensions.encrypt_password(password, name, connection, "scram-sha-256"))

    def _scalar(self, query: str, *args: Any) -> Any:
        return self.query(query, *args).fetchone()[0]


def _populated(masters: Sequence[Any]) -> list[Any]:
    return [cls for cls in masters if issubclass(cls, dj.Imported | dj.Computed)]


def account_server(database: Database) -> Any:
    """Return what sends a server the statements about roles and accounts.

    Raises
    ------
    SettingError
        If it is the embedded one, which has no accounts.
    """
    if database.embedded:
        raise SettingError(
            f"The {database} is yours alone and has no accounts. They are for a lab's server: set DJ_HOST."
        )
    return (_MySQL if database.backend == "mysql" else _PostgreSQL)(database)


def _with_highest_role(server: _Server, rows: list[Any]) -> list[Account]:
    """Return one account per name and host in rows of (name, host, role), with the highest role."""
    found: dict[tuple[str, str], int] = {}
    for name, host, role in rows:
        if name not in server.roles:
            found[name, host] = max(found.get((name, host), 0), server.roles.index(role))
    return [Account(name, host, ROLES[number]) for (name, host), number in found.items()]


@contextlib.contextmanager
def _explaining_accounts(name: str) -> Iterator[None]:
    """Raise errors for people if the server does not create or change an account."""
    try:
        yield
    except (pymysql.err.MySQLError, psycopg2.Error) as error:
        if code_of(error) in ACCOUNT_EXISTS:
            raise ConflictError(
                f"The server has an account '{name}' that is not of this database. Choose another name."
            ) from error
        raise ServerError(
            f"The server does not create or change the account '{name}': {error.args[-1]}"
        ) from error


def _name(role: str) -> str:
    return f"`{role}`"


def quote_id(name: str) -> str:
    """Return a name as it stands in a statement for PostgreSQL; the driver takes %% for a percent sign."""
    return '"' + name.replace('"', '""').replace("%", "%%") + '"'


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
