"""Who writes lists and notes, and what they may write.

The author of a row is the account of the connection, on the embedded server the user of the machine. Readers
and workers withdraw their own rows only, admins any. MySQL grants these tables as a whole, so that this is
held here; PostgreSQL holds it, too (`populate.admin.accounts`).
"""

from __future__ import annotations

import getpass
import re
from typing import Any

from schemas.server import connection
from schemas.server.access import RefusedError
from vbn.errors import SettingError, shortened
from vbn.visible import visible

LONGEST_AUTHOR = 255


def author() -> str:
    """Return who writes: the account, on the embedded server the user of the machine."""
    database = connection.active()
    name = getpass.getuser() if database.embedded else str(database.connection.conn_info["user"])
    return name[:LONGEST_AUTHOR]


def may_withdraw(of: str) -> bool:
    """Return whether the connected account may withdraw what somebody has written."""
    database = connection.active()
    return bool(database.embedded) or database.role not in ("reader", "worker") or of == author()


def require_author(of: str, what: str) -> None:
    """Raise RefusedError unless the connected account may withdraw what somebody has written.

    Parameters
    ----------
    of : its author.
    what : what it is, to begin a sentence with.
    """
    if not may_withdraw(of):
        raise RefusedError(
            f"{what} is by {shortened(of)}, and you are connected as {author()}: only its author or an admin "
            "may remove it."
        )


def checked_name(what: str, name: str, longest: int) -> str:
    """Return a name that is the same on every server, in a shell and in an address.

    Raises
    ------
    SettingError
        If it has other characters than small letters, digits, ``-``, ``_`` and ``.``, or is too long.
    """
    if re.fullmatch(rf"[a-z0-9][a-z0-9_.-]{{0,{longest - 1}}}", name):
        return name
    plain = re.sub(r"[^a-z0-9_.-]+", "-", name.lower()).strip("-_.")[:longest].rstrip("-_.")
    raise SettingError(
        f"'{shortened(name)}' cannot be the name of a {what}: it must begin with a small letter or digit and "
        f"have at most {longest} small letters, digits, '-', '_' and '.'."
        + (f" Perhaps: {plain}" if plain else "")
    )


def checked_text(what: str, text: Any, longest: int) -> str:
    """Return a text on one line, without characters that nobody sees.

    Raises
    ------
    SettingError
        If it is too long, or has control, direction or other invisible characters.
    """
    line = " ".join(str(text).split())
    if len(line) > longest:
        raise SettingError(f"The {what} has {len(line):,} characters; {longest:,} can be kept.")
    if visible(line) != line:
        raise SettingError(
            f"The {what} has characters that cannot be seen, which are shown here by their numbers: "
            f"{shortened(line, 200)} Leave them out."
        )
    return line
