"""A process that marks rows as made by an older method, so that `vbn recompute` makes them again."""

from __future__ import annotations

import schemas
from schemas import behavior
from schemas.server.datajoint import dj

if __name__ == "__main__":
    schemas.connect()
    for cls in (behavior.Licks, behavior.Running):
        column = f"{cls.provenance_prefix()}_method_version"
        dj.conn().query(f"UPDATE {cls().full_table_name} SET {column} = 0")
