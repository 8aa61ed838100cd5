"""The connected account: its role, an explanation of what the server refuses it, and encryption.

Accounts are granted one of three roles on the server, one set for each prefix: ``vbn_reader``,
``vbn_worker``, ``vbn_admin``. `populate.admin.accounts` creates them and grants their privileges.
"""

from __future__ import annotations

import re
from typing import Any

from schemas.server import published, settings
from schemas.server.datajoint import dj, explain_errors
from schemas.server.error_codes import (
    DISK_FULL,
    DIVISION_BY_ZERO,
    MALFORMED,
    READ_ONLY,
    REFUSED,
    code_of,
    has_no_result,
)
from vbn.errors import ServerError, SettingError

ROLES = ("reader", "worker", "admin")

VERBS = {
    "INSERT": "insert into",
    "REPLACE": "insert into",
    "DELETE": "delete from",
    "UPDATE": "change rows of",
    "SELECT": "read",
    "CREATE": "create",
    "ALTER": "alter",
    "DROP": "drop",
}


class RefusedError(ServerError, dj.errors.AccessError):
    """The account may not do this on the server."""


def role_name(prefix: str, role: str) -> str:
    """Return the name of a role of this package on the server, such as ``vbn_reader``."""
    return prefix + role


def role_of(connection: Any, prefix: str) -> str | None:
    """Return the most privileged of our roles that the connected account has; None if it has none.

    A superuser of PostgreSQL, who implicitly has every role, counts as having none.
    """
    if connection.adapter.backend == "mysql":
        text = connection.query("SELECT CURRENT_ROLE()").fetchone()[0]
        found = set(re.findall(r"`([^`]+)`@", text or ""))
    else:
        query = (
            "SELECT r.rolname FROM pg_roles r, pg_roles me WHERE me.rolname = current_user "
            "AND NOT me.rolsuper AND r.rolname IN (%s, %s, %s) AND pg_has_role(me.oid, r.oid, 'USAGE')"
        )
        names = [role_name(prefix, role) for role in ROLES]
        found = {row[0] for row in connection.query(query, args=names).fetchall()}
    held = [role for role in ROLES if role_name(prefix, role) in found]
    return held[-1] if held else None


def require_admin(database: Any, action: str) -> None:
    """Raise RefusedError if the account is that of a reader or a worker."""
    if database.role in ("reader", "worker"):
        raise RefusedError(
            f"The account '{database.connection.conn_info['user']}' ({database.role}) may not {action} on "
            f"the {database}. Ask its administrator, or use an account that may."
        )


def explain_refusals(connection: Any, prefix: str, role: str | None) -> None:
    """Turn what the server refuses the account, or has no room for, into errors with an explanation."""
    backend, info = connection.adapter.backend, connection.conn_info

    def explain(error: Exception, translated: Exception, query: str) -> Exception:
        refused_access = isinstance(translated, dj.errors.AccessError) or code_of(error) in REFUSED
        if (folder := published.configured()) is not None and (refused_access or code_of(error) in READ_ONLY):
            return RefusedError(f"{folder}, which can only be read ({_first_line(error)}). {folder.way_back}")
        if _is_read_only(error):
            refused = RefusedError(
                f"The {backend} server {info['host']}:{info['port']} is read-only, like a replica. "
                "Set DJ_HOST to the server that accepts writes."
            )
            refused.__cause__ = error  # tells a worker that it may be temporary
            return refused
        if code_of(error) in DISK_FULL:
            full = ServerError(
                f"The disk of the database ({backend}, {info['host']}:{info['port']}) is full, so this was "
                f"not stored ({_first_line(error)}). Make room."
            )
            full.__cause__ = error
            return full
        if has_no_result(code_of(error)) and query.lstrip().upper().startswith("SELECT"):
            return _without_result(error)
        if not refused_access:
            return translated
        account = f"'{info['user']}'" + (f" ({role})" if role else "")
        return RefusedError(
            f"The account {account} may not {_attempt(query, prefix)} on the {backend} server "
            f"{info['host']}:{info['port']} ({_first_line(error)}). "
            "Ask its administrator, or use an account that may."
        )

    explain_errors(connection, explain)


def _without_result(error: Exception) -> SettingError:
    code, hint = code_of(error), ""
    problem = "The server cannot calculate this for the values that are there"
    if code in MALFORMED:
        problem = "A value of the question has not the form of what it is compared with"
    elif code == DIVISION_BY_ZERO:
        hint = " Where a divisor can be 0, write NULLIF(divisor, 0): what is divided by it is then missing."
    failed = SettingError(f"{problem} ({_first_line(error)}).{hint}")
    failed.__cause__ = error
    return failed


def _first_line(error: Exception) -> str:
    """Return the first line of a driver's message."""
    lines = str(error.args[-1] if error.args else error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _is_read_only(error: Exception) -> bool:
    """Return whether the server accepts no changes from anybody: a replica, or a server being taken down."""
    code = code_of(error)
    return code in READ_ONLY and ("read-only" in str(error) or not isinstance(code, int))


def _attempt(query: str, prefix: str) -> str:
    """Return what a statement would have done, such as ``insert into session.mouse``."""
    verb = VERBS.get(query.split(maxsplit=1)[0].upper() if query.strip() else "")
    table = re.search(r'[`"]([^`"]+)[`"]\.[`"]([^`"]+)[`"]', query)
    if verb and table:
        return f"{verb} {table[1].removeprefix(prefix)}.{table[2]}"
    return "do this"


def tls_setting(info: Any) -> bool | dict[str, Any] | None:
    """Return DataJoint's ``use_tls`` argument: encryption is required for a server on another machine.

    Parameters
    ----------
    info : DataJoint's database settings; ``use_tls`` of True or False applies to any server.

    Notes
    -----
    With True, DataJoint lets the MySQL driver continue without encryption if the server offers none; a
    dictionary that is not empty makes it mandatory. The certificate is verified if `settings.certificates`
    names those to verify it by: the ones that MySQL makes by itself are self-signed.

    Raises
    ------
    SettingError
        If a file of certificates is named and cannot be used, or encryption is switched off.
    """
    if verified := settings.certificates():
        if info.use_tls is False:
            raise SettingError(
                "VBN_TLS_CA names certificates, but DJ_USE_TLS (or use_tls in datajoint.json) switches "
                "encryption off. Remove one of the two."
            )
        return verified
    if info.use_tls is False or (info.use_tls is None and settings.is_local_host(info.host)):
        return None if info.use_tls is None else False
    return {"verify_mode": False} if info.backend == "mysql" else True


def tls_of_postgres(setting: bool | dict[str, Any] | None) -> dict[str, str]:
    """Return the variables by which PostgreSQL's programs encrypt as `tls_setting` says."""
    if isinstance(setting, dict) and "ca" in setting:
        mode = "verify-full" if setting["check_hostname"] else "verify-ca"
        return {"PGSSLMODE": mode, "PGSSLROOTCERT": str(setting["ca"])}
    return {"PGSSLMODE": "prefer" if setting is None else "require" if setting else "disable"}


def explain_tls(text: str) -> str | None:
    """Return why no encrypted connection could be made; None if the text is about something else."""
    if "SSL is required but" in text or "SSL was required" in text:
        return (
            "offers no encryption (TLS), without which passwords and data would cross the network in "
            "clear text. Enable TLS there or, on a network that you trust, do without: DJ_USE_TLS=false "
            """(or "use_tls": false under "database" in datajoint.json)."""
        )
    if "certificate" in text and ("verify failed" in text or "match" in text):
        return (
            f"has a certificate that was not accepted: {text.splitlines()[0]}. Either VBN_TLS_CA names "
            "another server's CA, or the certificate does not name this host, which those that MySQL makes "
            "by itself never do: for these, VBN_TLS_CHECK_HOST=false. Else somebody may be in between."
        )
    if "[SSL" in text or "SSL error" in text:
        return (
            f"could not negotiate encryption (TLS): {text.splitlines()[0]}. Update it or, on a network that "
            "you trust, do without: DJ_USE_TLS=false."
        )
    return None
