"""What is recorded of the database itself: deletions, layout changes, the store, spaces, and freezes."""

from __future__ import annotations

from schemas.server.datajoint import dj
from schemas.server.datajoint.binding import Schema

schema = Schema()


@schema
class Migration(dj.Manual):
    """One layout change that was applied to this database."""

    definition = """
    # One change of the layout
    migration : int16  # number of the change
    ---
    migration_name : varchar(128)  # what it changes, in a few words
    applied_at : datetime(6)  # (UTC) when it was made, or when the tables were created with it
    applied_by : varchar(255)  # user of the database and host
    applied_version : varchar(32)  # version of vbn-datajoint that made it
    """


@schema
class ArrayStore(dj.Manual):
    """The array store that the rows of this database refer to."""

    definition = """
    # The array store of this database
    array_store : varchar(32)  # its name in DataJoint's settings
    ---
    store_id : varchar(36)  # random; the store holds the same id, by which every machine recognizes it
    store_place : varchar(1000)  # folder or bucket, as seen from the machine that recorded it
    store_identified_at : datetime(6)  # (UTC) when it was recorded
    store_identified_by : varchar(255)  # user of the database and host
    """


@schema
class Space(dj.Manual):
    """One personal schema: a place for tables of its owner's own."""

    definition = """
    # One personal schema
    space_name : varchar(64)  # name of the schema, without the prefix
    ---
    space_owner : varchar(255)  # user of the database whose tables are in it
    space_course=null : varchar(32)  # course that it was made for, NULL for none
    space_quota_bytes=null : int64  # (bytes) how large it may become, NULL for any size
    space_made_at : datetime(6)  # (UTC) when it was made
    space_made_by : varchar(255)  # user of the database who made it
    space_closed_at=null : datetime(6)  # (UTC) since when its owner may not add to it, NULL while she may
    """


@schema
class Deletion(dj.Manual):
    """One deletion: who deleted what, when and why."""

    definition = """
    # One deletion
    deletion_id : varchar(36)  # random; DataJoint cannot enter its type uuid on PostgreSQL
    ---
    deleted_at : datetime(6)  # (UTC) when it was begun
    deleted_by : varchar(255)  # user of the database
    deleted_from : varchar(255)  # host and operating-system user
    deletion_reason : varchar(1000)  # why, in the words of who did it
    deleted_table : varchar(128)  # the table whose entries were named, for example Session
    deletion_restriction : varchar(2000)  # which of its entries
    n_deleted_sessions : int32  # number of sessions that lost rows
    """

    class Count(dj.Part):
        """The number of rows that one table lost in a deletion."""

        definition = """
        # Rows of one table in a deletion
        -> master
        deleted_from_table : varchar(128)  # name on the server, schema.table
        ---
        n_deleted_rows : int64  # number of rows
        """


@schema
class Freeze(dj.Manual):
    """One freeze: what some sessions and tables held at one moment, kept while the tables go on."""

    has_authors = True  # the server may hold rules about its rows
    definition = """
    # One freeze: rows and arrays as they were at one moment
    freeze_name : varchar(64)  # name of the freeze
    ---
    freeze_author : varchar(255)  # user of the database who made it
    frozen_at : datetime(6)  # (UTC) when it was made
    freeze_made_from : varchar(2000)  # how it was made: a command
    freeze_description : varchar(1000)  # what it is for, in the words of its author
    freeze_package_version : varchar(32)  # version of vbn-datajoint that made it, and reads it
    freeze_digest : varchar(64)  # sha256 of its list of checksums, which lists all files
    freeze_scope : json  # filters, sessions (null: all), computed tables (null: all), whether notes are kept
    freeze_counts : json  # number of mice, sessions, units, tables, rows and arrays
    freeze_size_bytes : int64  # (bytes) size of its tables, without arrays
    """

    class Piece(dj.Part):
        """One piece of a freeze's tables: together, in their order, a ZIP file of a published folder."""

        has_authors = True
        definition = """
        # One piece of the ZIP file with the tables of a freeze
        -> master
        piece : int32  # number of the piece, from 0
        ---
        piece_content : <npy@vbn>  # (bytes) the bytes of the piece
        piece_sha256 : varchar(64)  # sha256 of these bytes
        """

    class Array(dj.Part):
        """One array that a freeze keeps in the store, whatever becomes of the row that it was of."""

        has_authors = True
        definition = """
        # One array of a freeze, which stays in the store
        -> master
        frozen_array : int32  # number of the array, in the order of its paths
        ---
        frozen_array_path : varchar(1000)  # where it is in the published folder
        frozen_array_source : json  # DataJoint's reference to the file in the store
        frozen_array_sha256 : varchar(64)  # sha256 of the file
        """
