"""Interruptions that a library swallows."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from populate.work.interruption import (
    Terminated,
    noticing_interruptions,
    terminated_by_signal,
)
from vbn.interruption import holding_interruptions


@pytest.fixture
def swallowed() -> Iterator[None]:
    """SIGTERM and SIGINT are handled, and their exceptions lost."""
    signals = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
    before = [signal.signal(number, lambda *_: None) for number in signals]
    yield
    for number, handler in zip(signals, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_swallowed_interruption_is_noticed(swallowed: None, number: signal.Signals) -> None:
    with noticing_interruptions() as is_interrupted:
        assert not is_interrupted()
        signal.raise_signal(number)
        assert is_interrupted()


def test_other_signals_are_no_interruption(swallowed: None) -> None:
    with noticing_interruptions() as is_interrupted:
        signal.raise_signal(signal.SIGUSR1)
        assert not is_interrupted()


def test_an_interruption_before_is_forgotten_and_nothing_is_left_behind(swallowed: None) -> None:
    with contextlib.suppress(RuntimeError), noticing_interruptions():
        signal.raise_signal(signal.SIGTERM)
        raise RuntimeError
    with noticing_interruptions() as is_interrupted:
        assert not is_interrupted()
    assert signal.set_wakeup_fd(-1) == -1


def test_who_listens_already_is_left_alone(swallowed: None) -> None:
    with noticing_interruptions() as outer, noticing_interruptions() as inner:
        signal.raise_signal(signal.SIGTERM)
        assert (outer(), inner()) == (True, False)


def test_another_thread_notices_nothing(swallowed: None) -> None:
    found = []

    def look() -> None:
        with noticing_interruptions() as is_interrupted:
            found.append(is_interrupted())

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert found == [False]


def test_a_swallowed_interruption_is_raised_when_asked(swallowed: None) -> None:
    with noticing_interruptions() as interruptions:
        interruptions.raise_swallowed()
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt) as interrupted:
            interruptions.raise_swallowed()
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(Terminated):
            interruptions.raise_swallowed()
    assert interrupted.type is KeyboardInterrupt


def test_an_interruption_waits_for_the_end_of_a_rolling_back() -> None:
    done = []

    def roll_back() -> None:
        with terminated_by_signal(), holding_interruptions():
            signal.raise_signal(signal.SIGTERM)
            done.append("rolled back")

    with pytest.raises(Terminated):
        roll_back()
    assert done == ["rolled back"]
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


class Interrupted:
    """Somebody asks for an end just while this goes away, where no exception can be raised."""

    def __init__(self, error: type[BaseException]) -> None:
        self.error = error

    def __del__(self) -> None:
        raise self.error


def test_an_interruption_where_none_can_be_raised_is_not_printed(capsys: pytest.CaptureFixture[str]) -> None:
    hook = sys.unraisablehook
    sys.unraisablehook = sys.__unraisablehook__
    try:
        with noticing_interruptions():
            Interrupted(KeyboardInterrupt)
            Interrupted(SystemExit)
            assert capsys.readouterr().err == ""
            Interrupted(ValueError)
            assert "ValueError" in capsys.readouterr().err
        Interrupted(KeyboardInterrupt)
        assert "KeyboardInterrupt" in capsys.readouterr().err
    finally:
        sys.unraisablehook = hook


SWALLOWING = """
import contextlib, os, signal, sys

class Swallowing:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[1]:
            with contextlib.suppress(BaseException):
                os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Swallowing())
import schemas
schemas.connect
print("not interrupted")
"""


@pytest.mark.parametrize("module", ["datajoint", "psycopg2", "schemas.deploy.connect"])
def test_an_import_that_swallows_interruptions_loses_none(module: str) -> None:
    """As a compiled module does, and the callback of a weak reference within Python's own import."""
    done = subprocess.run([sys.executable, "-c", SWALLOWING, module], capture_output=True, text=True)
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1] == "KeyboardInterrupt"


def test_handlers_that_cannot_be_put_back_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of a program that runs Python, for which Python says None."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    monkeypatch.setattr(signal, "getsignal", lambda _number: None)
    with holding_interruptions():
        monkeypatch.undo()
        assert {number: signal.getsignal(number) for number in before} == before
    assert {number: signal.getsignal(number) for number in before} == before
