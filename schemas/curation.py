"""What people keep about units and sessions: named lists, and notes with labels.

Rows are entered and withdrawn by their authors, readers included, and never changed. They name units by their
ids and depend on the session only: importing or computing everything anew loses no list and no note, deleting
the session does.
"""

from __future__ import annotations

from schemas import session  # noqa: F401 - named in the definitions
from schemas.server.datajoint import dj
from schemas.server.datajoint.binding import Schema

schema = Schema()

UNITS, SESSIONS = "units", "sessions"


class Authored:
    """Of a table whose rows belong to their authors: the server may hold rules about its rows."""

    has_authors = True


@schema
class NamedList(Authored, dj.Manual):
    """One list of units or of sessions, by its name."""

    definition = """
    # One list of units or of sessions
    list_name : varchar(64)  # name of the list
    ---
    list_kind : enum('units', 'sessions')  # what it lists
    n_listed : int32  # how many it listed when it was made; fewer are left where sessions were deleted
    list_description : varchar(1000)  # what it is for, in the words of its author
    list_author : varchar(255)  # user of the database who made it
    list_made_at : datetime(6)  # (UTC) when it was made
    list_made_from : varchar(2000)  # how it was made: a command, a file
    """


@schema
class ListUnit(Authored, dj.Manual):
    """One unit of a list."""

    definition = """
    # One unit of a list
    -> NamedList
    -> session.Session
    unit_id : int64  # id of the unit
    ---
    index (unit_id)
    """


@schema
class ListSession(Authored, dj.Manual):
    """One session of a list."""

    definition = """
    # One session of a list
    -> NamedList
    -> session.Session
    """


@schema
class UnitNote(Authored, dj.Manual):
    """One note of a person on a unit: a label, a text, or both."""

    definition = """
    # One note on a unit
    -> session.Session
    unit_id : int64  # id of the unit
    unit_note_id : varchar(16)  # random
    ---
    unit_label=null : varchar(32)  # label, such as noise, NULL for a text alone
    unit_note=null : varchar(2000)  # text, NULL for a label alone
    unit_note_author : varchar(255)  # user of the database who wrote it
    unit_noted_at : datetime(6)  # (UTC) when it was written
    index (unit_id)
    """


@schema
class SessionNote(Authored, dj.Manual):
    """One note of a person on a session: a label, a text, or both."""

    definition = """
    # One note on a session
    -> session.Session
    session_note_id : varchar(16)  # random
    ---
    session_label=null : varchar(32)  # label, such as sleepy, NULL for a text alone
    session_note=null : varchar(2000)  # text, NULL for a label alone
    session_note_author : varchar(255)  # user of the database who wrote it
    session_noted_at : datetime(6)  # (UTC) when it was written
    """
