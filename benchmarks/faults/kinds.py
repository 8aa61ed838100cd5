"""The kinds of faults that are injected while workers are at work: one function each.

Each returns whether the fault happened, and raises `WrongStateError` at what should not be. What it does in
words, for docs/reliability.md, is its docstring. Kinds of `STARTS` return the settings of a worker that
starts with the fault.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.faults.content import python
from benchmarks.faults.worker import POINTS
from benchmarks.faults.world import ROOT_NAME, World, WrongStateError, stores

if TYPE_CHECKING:
    from benchmarks.faults.workers import Run

OUTAGE_S = (0.3, 2.0)  # of a store or a server
LOST_S = (0.5, 4.0)  # of a host; workers count as lost after one second
LONGEST_SKEW_S = 3 * 86400
ANOTHER_MACHINE = ("unshare", "--pid", "--fork", "--mount-proc", "--uts")
NOBODY = 65534
SOMEBODY_ELSE = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
MOST_CONNECTIONS = 2000


@dataclass(frozen=True)
class Kind:
    """A kind of fault, and where it can be injected."""

    inject: Callable[[Run], Any]
    is_possible: Callable[[World], bool]
    is_of_people: bool = False

    @property
    def how(self) -> str:
        """What it does, in words."""
        return " ".join((self.inject.__doc__ or "").split())


FAULTS: dict[str, Kind] = {}
STARTS: dict[str, Kind] = {}


def _kind(
    name: str,
    is_possible: Callable[[World], bool] = lambda _world: True,
    *,
    among: dict[str, Kind] = FAULTS,
    is_of_people: bool = False,
) -> Callable[[Callable[[Run], Any]], Callable[[Run], Any]]:
    def register(inject: Callable[[Run], Any]) -> Callable[[Run], Any]:
        among[name] = Kind(inject, is_possible, is_of_people)
        return inject

    return register


def _is_embedded(world: World) -> bool:
    return not world.server.is_mysql


def _is_embedded_of_root(world: World) -> bool:
    return _is_embedded(world) and os.geteuid() == 0


@functools.cache
def _somebody_else_can_run_python(world: World) -> bool:
    """Return whether root can be somebody else, who can read this Python: not below root's own folder."""
    if not _is_embedded_of_root(world):
        return False
    return (
        subprocess.run([*SOMEBODY_ELSE, sys.executable, "-c", "import click"], capture_output=True).returncode
        == 0
    )


@_kind("kill -9 of a worker")
def _kill_worker(run: Run) -> bool:
    """at a random moment; one that was started with another fault, which is still to come, is spared"""
    alive = [place for place in run.workers.settled() if run.workers.places[place] in run.workers.alive()]
    return bool(alive) and run.workers.kill(run.workers.places[run.chooser.choice(alive)])


@_kind("lost host")
def _lose_host(run: Run) -> bool:
    """each worker passes for one on a machine of its own; one is stopped with its connections open, for 0.5
    to 4 s where a worker is lost after 1 s, and wakes"""
    process = run.chooser.choice(run.workers.alive())
    process.send_signal(signal.SIGSTOP)
    time.sleep(run.chooser.uniform(*LOST_S))
    process.send_signal(signal.SIGCONT)
    return True


@_kind("dropped connections")
def _drop_connections(run: Run) -> bool:
    """workers connect through a proxy, which resets all connections"""
    return run.world.proxy.drop_all() > 0


@_kind("silent network")
def _silence(run: Run) -> bool:
    """the proxy passes nothing on for 0.5 to 4 s, in the middle of messages, while all connections stay open;
    then they are reset"""
    return run.world.proxy.silence(run.chooser.uniform(*LOST_S)) > 0


@_kind("entries made by hand")
def _intrude(run: Run) -> bool:
    """another process computes the same entries with `populate()`, without using the job tables"""
    run.start("-m", "benchmarks.faults.intruder", VBN_INTRUDER_SEED=str(run.chooser.random()))
    return True


@_kind("fork")
def _fork(run: Run) -> bool:
    """the same in a process that has connected and then forks: parent and child compute at the same time"""
    seed = str(run.chooser.random())
    run.start("-m", "benchmarks.faults.intruder", VBN_INTRUDER_SEED=seed, VBN_INTRUDER_FORKS="1")
    return True


@_kind("kill -9 of the server", lambda world: bool(world.server.can_be_killed))
def _kill_server(run: Run) -> bool:
    """with all its processes; restarted after 0.3 to 2 s"""
    run.world.server.kill()
    time.sleep(run.chooser.uniform(*OUTAGE_S))
    run.world.server.start()
    return True


@_kind("zombie", _is_embedded)
def _make_zombie(run: Run) -> bool:
    """the embedded server is killed where nobody waits for ended processes, as in a container without an
    init, so that it stays listed; the next command must start it again"""
    run.world.server.kill(is_waited_for=False)
    _must_succeed(python(["-m", "populate", "status"], run.plain), "after the server became a zombie")
    return True


@_kind("two machines, one home", _is_embedded_of_root)
def _use_home_elsewhere(run: Run) -> bool:
    """`vbn status` or `vbn up --take-over` in a container with the same `VBN_HOME`; it must refuse, and
    the server go on"""
    before = run.world.server.process_id()
    words = run.chooser.choice(("status", "up --take-over"))
    line = f"hostname another && {sys.executable} -m populate {words}"
    done = subprocess.run([*ANOTHER_MACHINE, "sh", "-c", line], env=run.plain, capture_output=True, text=True)
    _must_refuse(done, "in another container of this machine")
    if before is None or run.world.server.process_id() != before:
        raise WrongStateError("the server did not go on after another machine used its home")
    return True


@_kind("another user", _somebody_else_can_run_python)
def _be_another_user(run: Run) -> bool:
    """`vbn status` by somebody who does not own the home folder; it must refuse"""
    command = [*SOMEBODY_ELSE, sys.executable, "-m", "populate", "status"]
    done = subprocess.run(command, env=run.plain, capture_output=True, text=True)
    _must_refuse(done, str(run.world.home))
    return True


@_kind("max_connections reached")
def _take_all_connections(run: Run) -> bool:
    """somebody takes all connections that the server gives, those of the workers too, for 0.3 to 2 s;
    commands must say so"""
    with contextlib.ExitStack() as held:
        _take_connections(run.world, held)
        run.world.proxy.drop_all()
        time.sleep(0.2)
        _take_connections(run.world, held)
        done = python(["-m", "populate", "status"], run.plain)
        if done.returncode:  # else a session has just ended
            _must_refuse(done, "connection")
        time.sleep(run.chooser.uniform(*OUTAGE_S))
    return True


def _take_connections(world: World, held: contextlib.ExitStack) -> None:
    for _ in range(MOST_CONNECTIONS):
        try:
            held.enter_context(contextlib.closing(world.server.connect()))
        except world.server.errors:
            return
    raise WrongStateError(f"the server gave {MOST_CONNECTIONS} connections")


@_kind("full disk", lambda world: world.store_is_mounted)
def _fill_store(run: Run) -> bool:
    """the store is on a separate small file system, which is filled for 0.3 to 2 s"""
    with _filled(run.world.store):
        time.sleep(run.chooser.uniform(*OUTAGE_S))
    return True


@_kind("full data disk", lambda world: world.data_disk is not None)
def _fill_data_disk(run: Run) -> bool:
    """the same with the file system of the server's data; a server that ended of it is started again, as by
    its service manager"""
    with _filled(run.world.data_disk or Path()):
        time.sleep(run.chooser.uniform(*OUTAGE_S))
        _must_not_be_surprised(python(["-m", "populate", "status"], run.plain))
    run.world.server.start()
    return True


@contextlib.contextmanager
def _filled(folder: Path) -> Iterator[None]:
    ballast = folder / "ballast"
    try:
        with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
            while file.write(bytes(2**20)):
                pass
        yield
    finally:
        ballast.unlink(missing_ok=True)


@_kind("read-only store", lambda world: world.store_is_mounted)
def _close_store(run: Run) -> bool:
    """the file system is mounted read-only for 0.3 to 2 s"""
    store = str(run.world.store)
    if subprocess.run(["mount", "-o", "remount,ro", store], capture_output=True).returncode:
        return False  # somebody is writing to it
    time.sleep(run.chooser.uniform(*OUTAGE_S))
    subprocess.run(["mount", "-o", "remount,rw", store], check=True)
    return True


@_kind("vbn delete at once", is_of_people=True)
def _delete(run: Run) -> bool:
    """somebody deletes a session's entries of a table, with all that was made from them"""
    table = run.chooser.choice(("Recording", "ChangeDetection", "Licks", "Running", "EyeTracking"))
    session = run.world.files[0].stem.rpartition("_")[2]
    return run.act("delete", table, "--session", session, "--reason", "faults", "--yes")


@_kind("vbn recompute at once", is_of_people=True)
def _recompute(run: Run) -> bool:
    """rows are marked as made by an older method, and recomputed"""
    run.start("-m", "benchmarks.faults.outdate")
    return run.act("recompute", "--yes")


@_kind("vbn backup at once", is_of_people=True)
def _back_up(run: Run) -> bool:
    """a backup into the same folder each time"""
    return run.act("backup", run.backup)


@_kind("vbn deploy at once", is_of_people=True)
def _deploy(run: Run) -> bool:
    """the tables are deployed again"""
    return run.act("deploy")


@_kind("clock skew", among=STARTS)
def _skew(run: Run) -> dict[str, str]:
    """all clocks of a worker are wrong by up to three days"""
    return {"VBN_SKEW_S": str(run.chooser.uniform(-LONGEST_SKEW_S, LONGEST_SKEW_S))}


@_kind("missing mount", among=STARTS)
def _miss_mount(run: Run) -> dict[str, str]:
    """a worker on a machine on which the folder of the files is empty, is absent, or is not known; counted is
    one that had a job that needs a file, said what its machine lacks, and gave the job back"""
    (run.folder / "empty").mkdir(exist_ok=True)
    roots = run.chooser.choice(
        ({ROOT_NAME: str(run.folder / "empty")}, {ROOT_NAME: str(run.folder / "absent")}, {})
    )
    return {"VBN_ROOTS": json.dumps(roots)}


@_kind("wrong store", among=STARTS)
def _use_wrong_store(run: Run) -> dict[str, str]:
    """a worker on a machine whose store is an empty folder, as an unmounted one; it must refuse, and the
    folder stay empty"""
    (run.folder / "unmounted").mkdir(exist_ok=True)
    return {"DJ_STORES": stores(run.folder / "unmounted")}


@_kind("out of memory", among=STARTS)
def _lack_memory(run: Run) -> dict[str, str]:
    """a worker gets no more memory from a random reservation on, until a job has failed for want of it; that
    job, and no others, may be recorded as failed so, and is retried in the end; or it dies within HDF5"""
    return {"VBN_FAULT": f"memory:{run.chooser.randint(1, 12)}"}


@_kind("kill -9 at a point", among=STARTS)
def _die_at_point(run: Run) -> dict[str, str]:
    """inside a job: after it was reserved; between computing and the transaction; after an array was written;
    after rows were inserted; before and after the commit; before and after the job leaves the list"""
    return {"VBN_FAULT": f"{run.chooser.choice(list(POINTS))}:{run.chooser.randint(1, 12)}"}


def _must_succeed(done: subprocess.CompletedProcess[str], when: str) -> None:
    if done.returncode:
        raise WrongStateError(f"{when}: {done.stderr.strip()[-500:]}")


def _must_refuse(done: subprocess.CompletedProcess[str], words: str) -> None:
    _must_not_be_surprised(done)
    if done.returncode == 0 or words not in done.stderr:
        raise WrongStateError(
            f"ended with {done.returncode}, without '{words}': {done.stderr.strip()[-500:]}"
        )


def _must_not_be_surprised(done: subprocess.CompletedProcess[str]) -> None:
    if is_surprised(done.stderr):
        raise WrongStateError(f"unexpected: {done.stderr.strip()[-500:]}")


def is_surprised(text: str) -> bool:
    """Return whether a command ended with what it takes for a bug."""
    return "may be a bug" in text or "Traceback" in text
