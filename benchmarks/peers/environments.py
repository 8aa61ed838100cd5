"""Environments for the peers, made when they are first needed and kept in a cache folder.

The folder is that of the variable VBN_PEERS, else ``vbn-peers`` in the user's cache folder. A variable such
as VBN_PEER_ALLENSDK names a Python that has the package already.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import platformdirs

from benchmarks.measure import RUN_ALONE

TASKS = Path(__file__).with_name("tasks.py")
# AllenSDK fails with newer releases of what it reads files with.
ALLENSDK = ("allensdk==2.16.2", "hdmf==3.11.0", "pynwb==2.5.0", "marshmallow<4")
PACKAGES = {
    "pynapple": ("pynapple",),
    "pynapple_trials": ("pynapple",),
    "elephant": ("elephant",),
    "allensdk": ALLENSDK,
}
# AllenSDK needs packages that have wheels for no newer Python.
PYTHONS = {"allensdk": ("python3.10", "python3.9", "python3.11")}


class PeerMissingError(Exception):
    """A peer cannot be installed here, or fails."""


def python_of(peer: str) -> str:
    """Return a Python that has what the peer needs; make its environment if there is none."""
    if peer not in PACKAGES:
        return sys.executable  # h5py, pynwb and plain loops run with what the project has
    package = PACKAGES[peer][0].split("==")[0]
    if given := os.environ.get(f"VBN_PEER_{package.upper()}"):
        return given
    folder = Path(os.environ.get("VBN_PEERS") or platformdirs.user_cache_dir("vbn-peers")) / package
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        install(PACKAGES[peer], folder, python)
    return str(python)


def install(packages: Sequence[str], folder: Path, python: Path) -> None:
    """Make the environment; an incomplete one, of an interrupted run, is replaced."""
    base = next(filter(starts, PYTHONS.get(folder.name, ())), sys.executable)
    shutil.rmtree(folder, ignore_errors=True)
    print(f"installing {packages[0]} into {folder}", file=sys.stderr)
    for command in (
        [base, "-m", "venv", str(folder)],
        [str(python), "-m", "pip", "install", "--quiet", "--only-binary", ":all:", *packages],
    ):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            shutil.rmtree(folder, ignore_errors=True)
            last = (done.stderr.strip() or "no reason given").splitlines()[-1]
            raise PeerMissingError(f"{packages[0]} cannot be installed by {base}: {last}")
    (folder / "complete").touch()


def starts(python: str) -> bool:
    """Return whether this Python starts; pyenv has commands for missing versions, which fail."""
    found = shutil.which(python)
    return found is not None and subprocess.run([found, "-c", ""], capture_output=True).returncode == 0


def available(peers: list[str], file: Path) -> list[str]:
    """Let each peer do its task once, which fills the caches; name those that cannot, return the others."""
    found = []
    for peer in peers:
        try:
            run(peer, file)
        except PeerMissingError as missing:
            print(f"without {peer}: {missing}", file=sys.stderr)
        else:
            found.append(peer)
    return found


def run(peer: str, file: Path) -> dict[str, float]:
    """Let a peer do its task: seconds and sum as it says, and the peak memory (GB) of its process.

    What the peer says goes by way of standard error, since standard output has the memory.
    """
    run_alone = RUN_ALONE.replace("stdout=subprocess.DEVNULL", "stdout=sys.stderr")
    command = [sys.executable, "-c", run_alone, python_of(peer), str(TASKS), peer, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    _, gigabytes, code = json.loads(done.stdout)
    if code != 0:
        raise PeerMissingError(f"it failed: {done.stderr.strip().splitlines()[-1][:300]}")
    return {**json.loads(done.stderr.strip().splitlines()[-1]), "gigabytes": gigabytes}
