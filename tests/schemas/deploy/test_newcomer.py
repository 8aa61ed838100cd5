"""Somebody who has the URL of a published folder and reads its README: three questions, each in two ways."""

from __future__ import annotations

import csv
import io
import re
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import schemas
from schemas import queries
from tests.fixtures.database import Database
from tests.fixtures.web_server import Site

pytestmark = pytest.mark.files


@pytest.fixture
def url(
    published_synthetic: Path, populated_synthetic: Database, make_site: Callable[..., Site]
) -> Iterator[str]:
    populated_synthetic.connect()
    yield make_site(published_synthetic).url.rstrip("/")
    schemas.disconnect()


def read(address: str) -> str:
    with urllib.request.urlopen(address) as sent:
        return str(sent.read().decode())


def test_what_the_readme_of_a_url_says_answers_questions(url: str, capsys: Any) -> None:
    readme = read(f"{url}/README.md")
    assert "`https://host/folder/tables/...`" in readme
    in_polars, *_, with_package = re.findall(r"```python\n(.*?)```", readme, flags=re.DOTALL)
    for name, column in (
        ("Recording.Unit", "snr"), ("Recording.Channel", "structure_acronym"),
        ("ChangeDetection.Trial", "hit"),
    ):  # fmt: skip
        known = csv.DictReader(io.StringIO(read(f"{url}/dictionary.csv")))
        assert any((each["table"], each["column"]) == (name, column) and each["meaning"] for each in known)

    names: dict[str, Any] = {}
    exec(in_polars.replace('"tables/', f'"{url}/tables/'), names)
    counts = dict(names["good"].group_by("structure_acronym").len().collect().iter_rows())
    largest = dict(names["units"].group_by("session_id").agg(pl.col("snr").max()).collect().iter_rows())
    trials = pl.scan_parquet(f"{url}/tables/behavior/ChangeDetection.Trial.parquet")
    hits = dict(trials.group_by("session_id").agg(pl.col("hit").sum()).collect().iter_rows())

    exec(with_package.replace('schemas.open(".")', f'schemas.open("{url}")'), {})
    assert "structure_acronym" in capsys.readouterr().out
    good = queries.unit_table(queries.units(where="isi_violations < 0.5 and presence_ratio > 0.9"))
    assert good["structure_acronym"].value_counts().to_dict() == counts
    assert queries.unit_table(queries.units()).groupby("session_id")["snr"].max().to_dict() == largest
    assert queries.trial_table().groupby("session_id")["hit"].sum().to_dict() == hits
    assert len(hits) == 2
