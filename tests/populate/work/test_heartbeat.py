"""The sign of life of a worker that has no memory left."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from populate.work import heartbeat
from populate.work.heartbeat import Heartbeat
from vbn.errors import HostError

SERVER: Any = SimpleNamespace(adapter=SimpleNamespace(backend="postgresql"))


def refused(*_: object) -> int:
    raise RuntimeError("can't start new thread")


def dead(*_: object) -> int:
    return 1  # it has died of a lack of memory before it did anything


@pytest.mark.parametrize("start", [refused, dead])
def test_a_thread_that_does_not_begin_is_not_waited_for_without_end(
    monkeypatch: pytest.MonkeyPatch, start: Any
) -> None:
    """`threading.Thread.start` would wait for the dead one for ever: a worker hung so for minutes."""
    monkeypatch.setattr(heartbeat, "BEGIN_S", 0.05)
    monkeypatch.setattr(heartbeat._thread, "start_new_thread", start)
    own = Heartbeat(SERVER)
    with pytest.raises(HostError, match="no memory left for another thread"):
        own.start()
    own._wake.close()


def test_a_lack_of_memory_does_not_end_the_sign_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    n_tried = 0

    def opened(_connection: object) -> Any:
        nonlocal n_tried
        n_tried += 1
        if n_tried < 3:
            raise MemoryError
        return SimpleNamespace(close=lambda: None)

    monkeypatch.setattr(heartbeat, "RETRY_S", 0.01)
    monkeypatch.setattr(heartbeat, "open_driver", opened)
    monkeypatch.setattr(Heartbeat, "_introduce", lambda *_: None)
    monkeypatch.setattr(
        Heartbeat,
        "_is_stopped",
        lambda own, wait_s, _driver=None: own._wake in heartbeat.wait([own._wake], wait_s),
    )
    own = Heartbeat(SERVER)
    own.start()
    assert own.is_up
    assert n_tried == 3
    own.stop()
    assert own._is_over.wait(10)
    assert not own.is_up
