"""Make ``first_version_*``: a database that the first version (commit 5e3df33) filled, on one server.

``python make_first_version.py FOLDER``, in a clone with that commit, uses a new folder, and the server that
``DJ_BACKEND``, ``DJ_HOST`` ... name, without these an embedded PostgreSQL in the folder. ``pg_dump`` of the
embedded server's version, or ``mysqldump`` and ``mysql``, must be in ``PATH``. The run on the embedded server
comes first: it makes the session and keeps it, with the arrays, in ``first_version.tar.xz``.
"""

from __future__ import annotations

import gzip
import io
import json
import lzma
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

COMMIT, PREFIX = "5e3df33", "firstversion_"
HERE = Path(__file__).parent
PACKED = HERE / "first_version.tar.xz"
SESSION = """
import sys
from pathlib import Path
from vbn.synthetic import SyntheticSettings, write_sessions
write_sessions(Path(sys.argv[1]), SyntheticSettings(
    sessions=1, seed=5, probes=1, units_per_probe=8, minutes=3, genotype=("sst",), waveforms=False,
    eye_tracking=False, template_shape=(8, 8)))
"""
OWN_FILTER = {
    "criteria": [{"column": "snr", "comparison": ">=", "value": 2.0, "null_passes": False}],
    "for_populations": True,
}
OWN_WINDOW = {
    "response_window_s": [0.05, 0.2],
    "baseline_window_s": [-0.15, 0.0],
    "condition": "active",
    "max_q_value": 0.05,
}
COMMANDS = (
    "deploy",
    "register {data} --catalogue {data}/project_metadata",
    "params add ImageSelectivityParams own_window --content {own_window}",
    "params add FlashResponseParams own_flashes --like allensdk --set max_q_value=0.01",
    "params add UnitCriteria own_snr --content {own_filter}",
    "populate",
)


def main(folder: Path) -> None:
    """Fill a database and write what the test needs beside this file."""
    folder = folder.absolute()
    code, data, store = folder / "code", folder / "data", folder / "store"
    for each in (code, data, store):
        each.mkdir(parents=True)
    git = ["git", "-C", str(HERE.parents[3]), "archive", COMMIT]
    archive = subprocess.run(git, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(code, filter="data")
    environment = {
        **os.environ,
        "PYTHONPATH": str(code),
        "VBN_HOME": str(folder),
        "VBN_PREFIX": PREFIX,
        "VBN_ROOTS": json.dumps({"data": str(data)}),
        "DJ_STORES": json.dumps({"vbn": {"protocol": "file", "location": str(store)}}),
    }

    def python(*arguments: str) -> None:
        subprocess.run([sys.executable, *arguments], cwd=code, env=environment, check=True)

    mysql = os.environ.get("DJ_BACKEND") == "mysql"
    if mysql:  # files that are made again differ in their identifiers
        with tarfile.open(PACKED) as tar:
            tar.extractall(folder, [each for each in tar if each.name.startswith("data/")], filter="data")
    else:
        python("-c", SESSION, str(data))
    own = {"own_filter": folder / "own_filter.json", "own_window": folder / "own_window.json"}
    own["own_filter"].write_text(json.dumps(OWN_FILTER))
    own["own_window"].write_text(json.dumps(OWN_WINDOW))
    for command in COMMANDS:
        words = command.format(data=data, **own).split()
        python("-m", "populate", *words)
    dump = _dump_of_mysql() if mysql else _dump_of_postgresql(folder / "postgres")
    name = f"first_version_{'mysql' if mysql else 'embedded'}.sql.gz"
    (HERE / name).write_bytes(gzip.compress(dump, 9, mtime=0))
    if not mysql:
        _pack(data, store)


def _dump_of_postgresql(socket: Path) -> bytes:
    options = ["--column-inserts", "--no-owner", "--no-privileges", "-n", f"{PREFIX}*"]
    command = ["pg_dump", "-h", str(socket), "-U", "vbn", *options, "postgres"]
    lines = subprocess.run(command, check=True, capture_output=True).stdout.splitlines(keepends=True)
    return b"".join(line for line in lines if not line.startswith((b"--", b"\\")))


def _dump_of_mysql() -> bytes:
    place = ["-h", os.environ["DJ_HOST"], "-P", os.environ["DJ_PORT"], "-u", os.environ["DJ_USER"]]
    secret = {**os.environ, "MYSQL_PWD": os.environ["DJ_PASS"]}
    names = ["mysql", *place, "-N", "-e", f"SHOW DATABASES LIKE '{PREFIX}%'"]
    found = subprocess.run(names, env=secret, check=True, capture_output=True, text=True).stdout.split()
    options = ["--hex-blob", "--complete-insert", "--skip-comments", "--no-tablespaces", "--skip-triggers"]
    command = ["mysqldump", *place, *options, "--set-gtid-purged=OFF", "--databases", *found]
    return subprocess.run(command, env=secret, check=True, capture_output=True).stdout


def _pack(data: Path, store: Path) -> None:
    """Write the session's file and the arrays, each under its path without what is random in it."""
    with (
        lzma.open(PACKED, "wb", preset=9) as file,
        tarfile.open(fileobj=file, mode="w") as tar,
    ):
        for path in sorted([*filter(Path.is_file, data.rglob("*")), *store.rglob("*.npy")]):
            name = path.relative_to(data.parent).as_posix().replace(f"_schema/{PREFIX}", "")
            tar.add(path, re.sub(r"_[\w-]{8}\.npy$", ".npy", name))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
