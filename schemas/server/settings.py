"""The locations of the database and the array store, as configured for this process.

DataJoint's own settings (``DJ_*``, ``datajoint.json``) decide. If they name no server, an embedded
PostgreSQL under ``VBN_HOME`` is used. Nothing here opens a connection.

==================  ========================================================================
``VBN_HOME``        folder of the embedded server and of the default store; default: the user's
                    data folder, ``/var/lib/vbn`` for root
``VBN_PREFIX``      prefix of the database schemas' names; default ``vbn_``
``VBN_MODULES``     modules with tables of the lab's own, separated by commas
``VBN_LOST_AFTER``  seconds without a sign of life after which a worker is lost; default 90
``VBN_PUBLISHED``   published folder or its URL, read in place of a database (`schemas.server.published`)
``VBN_FREEZE``      freeze that is read in place of the present rows (`schemas.server.frozen`)
``VBN_TLS_CA``      file with the certificates by which the server's is verified; see `certificates`
==================  ========================================================================
"""

from __future__ import annotations

import json
import os
import re
import ssl
from dataclasses import dataclass
from pathlib import Path

from schemas.server import published
from schemas.server.datajoint import dj, find_config_file
from vbn.errors import SettingError
from vbn.home import home_folder

STORE_NAME = "vbn"
DEFAULT_PREFIX = "vbn_"
LONGEST_LOST_AFTER_S = 86_400
MODULES_VARIABLE = "VBN_MODULES"
LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")


def schema_prefix(prefix: str | None = None) -> str:
    """Return the prefix to use: that of a published folder, else the argument, ``VBN_PREFIX``, or ``vbn_``.

    Raises
    ------
    SettingError
        If it is not a plain lower-case identifier of at most 40 characters.
    """
    if (folder := published.configured()) is not None:
        return folder.prefix
    chosen = prefix if prefix is not None else os.environ.get("VBN_PREFIX", DEFAULT_PREFIX)
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", chosen):
        raise SettingError(
            f"The schema prefix '{chosen}' cannot be used: it must consist of lower-case letters, digits "
            "and underscores, start with a letter and have at most 40 characters (VBN_PREFIX, --prefix)."
        )
    return chosen


def lab_modules() -> list[str]:
    """Return the names of the modules with tables of the lab, from ``VBN_MODULES``."""
    return [name.strip() for name in os.environ.get(MODULES_VARIABLE, "").split(",") if name.strip()]


def lost_after_s() -> float:
    """Return after how many seconds without a sign of life a worker is lost, from ``VBN_LOST_AFTER``.

    Raises
    ------
    SettingError
        If it is not a number of at least one.
    """
    text = os.environ.get("VBN_LOST_AFTER") or "90"
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 1 <= seconds <= LONGEST_LOST_AFTER_S:
        raise SettingError(
            f"VBN_LOST_AFTER is '{text}', but must be a number of seconds from 1 to {LONGEST_LOST_AFTER_S}."
        )
    return seconds


def certificates() -> dict[str, object]:
    """Return how the server's certificate is verified: by the file ``ca``, and whether to ``check_hostname``.

    The file is that of ``VBN_TLS_CA``; the dictionary is empty without it. ``VBN_TLS_CHECK_HOST=false`` is
    for certificates that name no host, such as those that MySQL makes by itself.

    Raises
    ------
    SettingError
        If the file cannot be used.
    """
    path, check = os.environ.get("VBN_TLS_CA"), (os.environ.get("VBN_TLS_CHECK_HOST") or "true").lower()
    if check not in ("true", "false"):
        raise SettingError(f"VBN_TLS_CHECK_HOST is '{check}', but must be true or false.")
    if not path:
        return {}
    try:
        ssl.create_default_context(cafile=path)
    except OSError as error:  # ssl's own, too
        problem = "holds no certificate" if isinstance(error, ssl.SSLError) else error.strerror
        raise SettingError(
            f"The file of certificates {path} cannot be used: {problem}. Copy the CA's file of the server "
            "there (PEM; MySQL's own is ca.pem in its data folder), or correct VBN_TLS_CA."
        ) from error
    return {"ca": str(Path(path).absolute()), "check_hostname": check == "true"}


def is_local_host(host: str) -> bool:
    """Return whether a host, with or without a port, names this machine or is a Unix socket's folder."""
    return host.startswith("/") or host.split(":")[0] in LOCAL_HOSTS


def server_is_configured() -> bool:
    """Return whether DataJoint's settings name a database server (otherwise the embedded one is used)."""
    if published.configured() is not None:
        return False
    # The file comes first: an unreadable one is an error even with DJ_HOST, since it may configure the store.
    return _names_host(_configuration_file()) or bool(os.environ.get("DJ_HOST")) or _is_set_in_code()


def _is_set_in_code() -> bool:
    """Return whether a program has set ``dj.config["database.host"]``, to another than the embedded's."""
    database = dj.config.database
    return "host" in database.model_fields_set and database.host != _embedded_host


# Set by `use_embedded`, to distinguish the embedded server's host from one set by a program.
_embedded_host: str | None = None
OF_SOCKET = "trusted by the socket's folder"
"""Stands for the embedded server's password, which it needs none."""


_OF_SERVER = ("backend", "host", "port", "user", "password", "name")
_set_aside: tuple[dict[str, object], object] | None = None
"""DataJoint's settings of the server and the store, while a published folder is read."""


def set_aside_database() -> None:
    """Remember DataJoint's settings of the database, in whose place a published folder is read."""
    global _set_aside
    if _set_aside is None:
        database = dj.config.database
        server = {name: getattr(database, name) for name in _OF_SERVER if name in database.model_fields_set}
        _set_aside = (server, dj.config.stores.get(STORE_NAME))


def return_to_database() -> None:
    """Give DataJoint the settings back that were set aside."""
    global _set_aside
    if _set_aside is None or published.configured() is not None:
        return
    server, store = _set_aside
    _set_aside = None
    database = dj.config.database
    for name in _OF_SERVER:
        if name in server:
            setattr(database, name, server[name])
        else:
            setattr(database, name, type(database).model_fields[name].get_default())
            database.model_fields_set.discard(name)
    dj.config.stores.pop(STORE_NAME, None)
    if store is not None:
        dj.config.stores[STORE_NAME] = store


def store_of_database() -> Store:
    """Return the store of the database, also while a published folder is read in its place."""
    if _set_aside is None:
        return resolve_store()
    server, configured = _set_aside
    if isinstance(configured, dict):
        return Store(configured, is_default=False)
    if not is_local_host(str(server.get("host", LOCAL_HOSTS[0]))):
        return Store({}, is_default=False)
    return Store(_default_spec(), is_default=True)


def use_embedded(socket_folder: Path, port: int, user: str) -> None:
    """Point DataJoint at the embedded server."""
    global _embedded_host
    _embedded_host = str(socket_folder)
    database = dj.config.database
    database.backend = "postgresql"
    database.host, database.port = _embedded_host, port
    database.user, database.password = user, OF_SOCKET
    database.name = "postgres"


def _configuration_file() -> Path | None:
    return None if dj.config.ignore_config_file else find_config_file()


def _names_host(path: Path | None) -> bool:
    """Return whether datajoint.json names a host. DataJoint itself ignores a file that it cannot read."""
    if path is None:
        return False
    try:
        content = json.loads(path.read_text())
        if isinstance(content.get("database", {}).get("use_tls"), dict):
            raise ValueError("use_tls must be true or false; name the CA's file in VBN_TLS_CA")
        return "database.host" in content or "host" in content.get("database", {})
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise SettingError(f"{path} cannot be read: {error}. Correct it or remove it.") from error


# Set by `resolve_store`, to distinguish the default store from a configured one.
_default: dict[str, object] | None = None


def _default_spec() -> dict[str, object]:
    return {"protocol": "file", "location": str(home_folder() / "store")}


NOT_CONFIGURED = (
    "Set a store that every machine can reach, for example "
    """DJ_STORES='{"vbn": {"protocol": "file", "location": "/shared/vbn-store"}}' """
    "or the same under 'stores' in datajoint.json."
)


@dataclass(frozen=True)
class Store:
    """The array store: DataJoint's settings for it, and its location in readable form."""

    spec: dict[str, object]
    is_default: bool

    @property
    def folder(self) -> Path | None:
        """The store's folder, or None if it is not a folder (S3 and the like)."""
        return Path(str(self.spec["location"])) if self.spec.get("protocol") == "file" else None

    def require_configured(self) -> None:
        """Raise SettingError if there is none; only what needs arrays needs one."""
        if not self.spec:
            host = dj.config.database.host
            raise SettingError(
                f"The database is on '{host}', but no array store is configured. {NOT_CONFIGURED}"
            )

    def __str__(self) -> str:
        """Return the location in readable form."""
        if not self.spec:
            return "none is configured"
        return str(self.folder or f"{self.spec.get('protocol')}://{self.spec.get('bucket')}")


def _require_usable(spec: object) -> None:
    """Raise SettingError unless DataJoint can use the store's settings."""
    try:
        if not isinstance(spec, dict):
            raise TypeError(f"it must be an object, not {json.dumps(spec)}")
        dj.config.get_store_spec(STORE_NAME)
    except (TypeError, dj.DataJointError) as error:
        raise SettingError(
            f"The array store '{STORE_NAME}' cannot be used: {error}. Correct it in DJ_STORES or under "
            """'stores' in datajoint.json, as {"vbn": {"protocol": "file", "location": "/shared/store"}}."""
        ) from error


def resolve_store() -> Store:
    """Return the store named ``vbn``: the configured one, else ``VBN_HOME/store``.

    There is none if the server is on another machine and no store is configured: nobody else could read
    arrays written to a folder of this machine.
    """
    global _default
    if (folder := published.configured()) is not None:
        return Store(folder.store_spec, is_default=False)
    configured = dj.config.stores.get(STORE_NAME)
    if configured and configured is not _default:
        _require_usable(configured)
        return Store(configured, is_default=False)
    if server_is_configured() and not is_local_host(dj.config.database.host):
        return Store({}, is_default=False)
    _default = _default_spec()
    return Store(_default, is_default=True)
