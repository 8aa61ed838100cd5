"""Frames have the types of their columns, whatever is in them."""

from __future__ import annotations

import gc

import pandas as pd
import pytest

from schemas import behavior
from schemas.rows.fetch import _typed, fetch_frame
from schemas.server.connection import Database

BIG = 2**60 + 1


def test_integers_beside_none_keep_all_digits() -> None:
    nullable = pd.Series(_typed((BIG, None), "int64", True))
    assert nullable.dtype == "Int64"
    assert nullable[0] == BIG
    assert pd.isna(nullable[1])
    assert pd.Series(_typed((BIG,), "bigint", True)).dtype == "int64"
    assert pd.Series(_typed((1, None), "int32", False)).dtype == "float64"


@pytest.mark.database
@pytest.mark.parametrize("rows", [True, "trial_id < 0"], ids=["all_null", "no_rows"])
def test_types_do_not_depend_on_what_is_there(populated_synthetic: Database, rows: object) -> None:
    populated_synthetic.connect()
    frame = fetch_frame(behavior.ChangeDetection.Trial & rows)
    assert frame["change_time"].isna().all()
    assert frame.dtypes[["change_time", "trial_start_time", "response_time"]].eq("float64").all()
    assert frame.dtypes[["trial_id", "session_id"]].eq("int64").all()


@pytest.mark.database
def test_garbage_is_collected_again_after_a_query_that_fails(populated_synthetic: Database) -> None:
    populated_synthetic.connect()
    with pytest.raises(Exception, match="no_such"):
        fetch_frame(behavior.ChangeDetection.Trial & "no_such = 1")
    assert gc.isenabled()
