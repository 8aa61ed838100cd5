"""Arrays in a bucket of S3: a local server of it, which goes away in between."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import h5py
import pytest

pytestmark = pytest.mark.files

KEYS = {"access_key": "key", "secret_key": "secret"}
BUCKET = "lab"


@pytest.fixture
def bucket() -> Iterator[tuple[Any, dict[str, str]]]:
    """A server with a bucket, and the setting that leads there."""
    from moto.server import ThreadedMotoServer

    boto3 = pytest.importorskip("boto3")
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    place = {"endpoint": f"{host}:{port}", "bucket": BUCKET, "location": "arrays", "secure": False}
    client = boto3.client(
        "s3", endpoint_url=f"http://{host}:{port}", aws_access_key_id=KEYS["access_key"],
        aws_secret_access_key=KEYS["secret_key"], region_name="us-east-1",
    )  # fmt: skip
    client.create_bucket(Bucket=BUCKET)
    yield server, {"DJ_STORES": json.dumps({"vbn": {"protocol": "s3", **place, **KEYS}})}
    server.stop()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_arrays_go_to_a_bucket_and_come_back(
    database: Any, synthetic_files: list[Path], bucket: Any, tmp_path: Path
) -> None:
    server, settings = bucket
    refused = database.vbn("register", synthetic_files[0], env=settings, check=False).stderr
    assert f"The array store s3://{BUCKET} is not the one of this database" in refused
    database.vbn("deploy", "--claim-store", env=settings)
    database.vbn("register", synthetic_files[0], env=settings)
    assert f"ok  store          s3://{BUCKET}, writable" in database.vbn("doctor", env=settings).stdout
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
    assert f"The array store s3://{BUCKET} cannot be read (EndpointConnectionError: " in done.stderr
    assert "Compare DJ_STORES" in done.stderr
    assert not database.vbn("errors", env=settings).stdout.count("EyeTracking")
