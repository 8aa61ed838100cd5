"""Arrays in a bucket of S3: a local server of it, which goes away in between."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import h5py
import pytest

from tests.fixtures.bucket import Bucket
from tests.fixtures.database import Database

pytestmark = pytest.mark.files


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_arrays_go_to_a_bucket_and_come_back(
    database: Any, synthetic_files: list[Path], bucket: Bucket, tmp_path: Path
) -> None:
    server, settings = bucket.server, bucket.settings
    refused = database.vbn("register", synthetic_files[0], env=settings, check=False).stderr
    assert f"The array store s3://{bucket.name} is not the one of this database" in refused
    database.vbn("deploy", "--claim-store", env=settings)
    database.vbn("register", synthetic_files[0], env=settings)
    assert f"ok  store          s3://{bucket.name}, writable" in database.vbn("doctor", env=settings).stdout
    database.vbn("populate", "--table", "Running", env=settings)
    assert not database.stored_files()
    exported = tmp_path / "running.parquet"
    database.vbn("export", "Running", "--arrays", "--out", exported, env=settings)
    ((times,),) = duckdb.sql(f"SELECT running_timestamps FROM '{exported}'").fetchall()
    with h5py.File(synthetic_files[0]) as file:
        assert times == file["processing/running/speed/timestamps"][:].tolist()

    server.stop()
    read = database.vbn("export", "Running", "--arrays", "--out", exported, env=settings, check=False)
    assert read.returncode == 1
    assert (
        "which a row refers to, cannot be read from the store s3://lab (EndpointConnectionError: "
        in read.stderr
    )
    assert "Running" in database.vbn("status", env=settings).stdout
    done = database.vbn("populate", "--table", "EyeTracking", env=settings, check=False)
    assert done.returncode == 1
    assert f"The array store s3://{bucket.name} cannot be read (EndpointConnectionError: " in done.stderr
    assert "Compare DJ_STORES" in done.stderr
    assert not database.vbn("errors", env=settings).stdout.count("EyeTracking")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_arrays_are_adopted_into_a_bucket(
    database: Any, published_synthetic: Path, bucket: Bucket, tmp_path: Path
) -> None:
    adopt = ("adopt", published_synthetic, "--json", "--session")
    first, second = (9000000001, 9000000002)
    database.vbn("deploy", "--claim-store", env=bucket.settings)
    (told,) = map(json.loads, database.vbn(*adopt, first, env=bucket.settings).stdout.splitlines())
    assert (told["status"], told["n_unpublished_arrays"]) == ("adopted", 0)
    n_published = len(list((published_synthetic / "arrays").rglob("*.npy")))  # of two sessions
    kept = bucket.keys("_schema/")
    assert 0 < len([key for key in kept if key.endswith(".npy")]) < n_published
    assert not database.stored_files()
    exported = tmp_path / "running.parquet"
    database.vbn("export", "Running", "--arrays", "--out", exported, env=bucket.settings)
    assert duckdb.sql(f"SELECT len(running_timestamps) > 9 FROM '{exported}'").fetchall() == [(True,)]
    again = json.loads(database.vbn(*adopt, first, env=bucket.settings).stdout)
    assert again["status"] == "unchanged"

    bucket.server.stop()
    refused = database.vbn(*adopt, second, env=bucket.settings, check=False)
    assert refused.returncode == 1
    assert f"The array store s3://{bucket.name} cannot be read (EndpointConnectionError: " in refused.stderr
    assert len(json.loads(database.vbn("sessions", "--json", env=bucket.settings).stdout)) == 1


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_arrays_that_were_not_published_are_known_as_such_where_the_store_is_a_bucket(
    database: Any, populated_synthetic: Database, bucket: Bucket, tmp_path: Path
) -> None:
    populated_synthetic.vbn("publish", tmp_path / "bare")
    settings = bucket.settings
    database.vbn("deploy", "--claim-store", env=settings)
    (told,) = map(
        json.loads,
        database.vbn(
            "adopt", tmp_path / "bare", "--json", "--session", 9000000001, env=settings
        ).stdout.splitlines(),
    )
    assert told["n_unpublished_arrays"] > 50
    kept = bucket.keys()
    refused = database.vbn("gc", "--older-than", "0s", "--go", env=settings, check=False)
    assert refused.returncode == 1
    assert "Only stores in folders can be cleaned up" in refused.stderr
    assert bucket.keys() == kept
    checks = json.loads(database.vbn("doctor", "--json", env=settings, check=False).stdout)
    (about,) = (each for each in checks if each["name"] == "adopted")
    assert about["is_good"]
    assert about["values"]["unpublished_arrays"] >= told["n_unpublished_arrays"]
    words = ("export", "Running", "--arrays", "--out", tmp_path / "running.parquet")
    asked = database.vbn(*words, env=settings, check=False)
    assert asked.returncode == 1
    assert "was not published in bare" in asked.stderr
