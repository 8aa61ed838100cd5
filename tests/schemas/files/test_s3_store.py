"""Arrays in a bucket of S3: a local server of it, which goes away in between."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import h5py
import pytest

from tests.fixtures.bucket import Bucket

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
