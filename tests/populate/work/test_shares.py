"""Which session a worker chooses: the urgent first, and fair shares between those who registered them."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest

from populate.work import jobs, worker
from populate.work.jobs import NO_SESSION_ID, OpenJobs

JOBS = 4  # of each session


def simulated(sessions: dict[str, int], n_workers: int, seed: int) -> list[Counter[str]]:
    """Return for whom the workers work after each job, until somebody's sessions are all done.

    Each job takes a random time; a worker then chooses again, as one does that finds other work there.
    """
    chance = random.Random(seed)
    owners = [name for name, number in sessions.items() for _ in range(number)]
    states = {number: OpenJobs(JOBS, 0, None, 5, name) for number, name in enumerate(owners, start=1)}
    ends: list[tuple[float, int]] = []
    found = []
    now = 0.0
    while {state.submitter for state in states.values() if state.due} == set(sessions):
        while len(ends) < n_workers and (number := worker.choose_session(states, set())) is not None:
            states[number] = replace(states[number], due=states[number].due - 1,
                                     reserved=states[number].reserved + 1)  # fmt: skip
            ends.append((now + chance.expovariate(1.0), number))
        found.append(Counter(states[number].submitter for _, number in ends))
        ends.sort()
        now, number = ends.pop(0)
        states[number] = replace(states[number], reserved=states[number].reserved - 1)
    return found[:-1]


@pytest.mark.parametrize("seed", range(5))
def test_who_registers_much_does_not_keep_the_others_waiting(seed: int) -> None:
    shares = simulated({"ann": 100, "ben": 20, "eve": 20}, n_workers=16, seed=seed)
    assert len(shares) > 100
    assert {min(share[name] for name in ("ann", "ben", "eve")) for share in shares} == {5}


@pytest.mark.parametrize(
    ("states", "chosen"),
    [
        ({}, None),
        ({1: OpenJobs(0, 1, None)}, None),
        ({1: OpenJobs(1, 0, None, 5), 2: OpenJobs(1, 0, None, 1)}, 2),
        # the urgent job of somebody for whom others work already
        ({1: OpenJobs(1, 0, None, 5, "ann"), 2: OpenJobs(1, 9, None, 1, "ben")}, 2),
        # a session that nobody works on
        ({1: OpenJobs(1, 1, None, 5), 2: OpenJobs(1, 0, None, 5)}, 2),
        # what belongs to no session is last, however urgent
        ({NO_SESSION_ID: OpenJobs(1, 0, None, 1), 2: OpenJobs(1, 3, None, 5)}, 2),
        ({NO_SESSION_ID: OpenJobs(1, 0, None, 1)}, NO_SESSION_ID),
    ],
)
def test_a_worker_chooses(states: dict[int, jobs.OpenJobs], chosen: int | None) -> None:
    assert worker.choose_session(states, set()) == chosen
