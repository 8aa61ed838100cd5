"""The table of `benchmarks.shares`: jobs that sleep, in a lab's schema, made by workers as any other."""

from __future__ import annotations

import os
import random
import time
from typing import Any

import datajoint as dj

import schemas
from schemas import session  # noqa: F401 - named in the definition

NAPS = 4  # jobs of a session
SECONDS = "VBN_BENCH_NAP_S"

schema = schemas.lab_schema("naps")


@schema
class NapKind(dj.Lookup):
    """One kind of nap."""

    definition = """
    # A kind of nap
    nap : int16  # number of the nap
    """
    contents = tuple((number,) for number in range(NAPS))


@schema
class Nap(dj.Computed):
    """One nap of a session."""

    definition = """
    # A nap
    -> session.Session
    -> NapKind
    ---
    nap_duration : float64  # (s) how long
    """

    def make(self, key: dict[str, Any]) -> None:
        """Sleep for half to one and a half times the mean."""
        seconds = float(os.environ[SECONDS]) * random.uniform(0.5, 1.5)
        time.sleep(seconds)
        self.insert1({**key, "nap_duration": seconds})
