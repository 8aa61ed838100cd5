"""A process that makes entries by hand, as from a notebook, without using the job tables.

With ``VBN_INTRUDER_FORKS`` it forks after it has connected, and both make entries.
"""

from __future__ import annotations

import os
import random

os.environ["DJ_LOG_LEVEL"] = "CRITICAL"

import schemas
from schemas.bases.registry import tables
from schemas.server.datajoint import dj

if __name__ == "__main__":
    schemas.connect()
    child = os.fork() if "VBN_INTRUDER_FORKS" in os.environ else None
    chooser = random.Random(f"{os.environ['VBN_INTRUDER_SEED']} {child == 0}")
    classes = [cls for cls in tables(dj.Imported, dj.Computed) if not getattr(cls, "is_optional", False)]
    for cls in chooser.sample(classes, 4):
        cls().populate(suppress_errors=True, max_calls=2)
    if child:
        os.waitpid(child, 0)
