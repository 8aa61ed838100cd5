"""What is quick does not wait for what takes its time; what several ask is done once."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from vbn.errors import NotFoundError, ServerError

pytestmark = pytest.mark.skipif(find_spec("panel") is None, reason="vbn serve needs Panel")

LONGEST_S = 120


@pytest.fixture
def thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Without a database: the processes are copies of this one, in which nothing is connected."""
    from populate.page import database_thread

    monkeypatch.setattr(database_thread.schemas, "connect", lambda: None)
    monkeypatch.setattr(database_thread, "sign_of_writes", lambda: "nothing is written")
    thread = database_thread.DatabaseThread()
    yield thread
    thread.close()


def wait_for(path: Path) -> int:
    """Return the number of the process, when a file is there."""
    end = time.monotonic() + LONGEST_S
    while not path.exists():
        assert time.monotonic() < end
        time.sleep(0.01)
    return os.getpid()


def write_line(path: Path) -> str:
    with path.open("a") as file:
        file.write("asked\n")
    wait_for(path.with_suffix(".go"))
    return path.read_text()


def fail(path: Path) -> None:
    with path.open("a") as file:
        file.write("asked\n")
    raise NotFoundError("There is none.")


def kill_oneself(path: Path) -> None:
    if not path.exists():
        path.touch()
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_quick_question_does_not_wait_for_slow_ones(thread: Any, tmp_path: Path) -> None:
    async def ask() -> tuple[int, ...]:
        slow = [asyncio.create_task(thread.run_apart(wait_for, tmp_path / "go")) for _ in range(3)]
        await asyncio.sleep(0)
        await thread.run((tmp_path / "go").touch)  # which the slow ones wait for
        return tuple(await asyncio.gather(*slow))

    numbers = asyncio.run(ask())
    assert os.getpid() not in numbers


def test_what_several_ask_is_done_once_and_kept_but_no_error(thread: Any, tmp_path: Path) -> None:
    path = tmp_path / "asked"

    async def ask() -> list[Any]:
        several = [asyncio.create_task(thread.run_kept(write_line, path)) for _ in range(3)]
        await asyncio.sleep(0.1)
        path.with_suffix(".go").touch()
        answers = [*await asyncio.gather(*several), await thread.run_kept(write_line, path)]
        for _ in range(2):
            with pytest.raises(NotFoundError, match="There is none"):
                await thread.run_kept(fail, tmp_path / "failed")
        return answers

    assert asyncio.run(ask()) == ["asked\n"] * 4
    assert (tmp_path / "failed").read_text() == "asked\n" * 2


def test_no_answer_is_from_before_what_was_written(
    thread: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even one that is on its way; one that waits for its turn is for all who ask until then."""
    from populate.page import database_thread

    path, go = tmp_path / "asked", tmp_path / "go"
    path.with_suffix(".go").touch()
    written = ["a"]
    monkeypatch.setattr(database_thread, "sign_of_writes", lambda: written[-1])

    async def ask() -> list[str]:
        answers = [await thread.run_kept(write_line, path) for _ in range(2)]
        written.append("b")
        answers += [await thread.run_kept(write_line, path) for _ in range(2)]
        slow = [asyncio.create_task(thread.run_kept(wait_for, go)) for _ in range(2)]
        await asyncio.sleep(0.1)
        written.append("c")
        slow.append(asyncio.create_task(thread.run_kept(wait_for, go)))  # of these, two are under way
        await asyncio.sleep(0.1)
        for sign in "de":
            written.append(sign)
            answers_waiting.append(asyncio.create_task(thread.run_kept(write_line, path)))
            await asyncio.sleep(0.1)
        go.touch()
        await asyncio.gather(*slow)
        return [*answers, *await asyncio.gather(*answers_waiting), await thread.run_kept(write_line, path)]

    answers_waiting: list[Any] = []
    assert [len(each.split()) for each in asyncio.run(ask())] == [1, 1, 2, 2, 3, 3, 3]


def test_what_nobody_waits_for_any_more_is_not_asked(thread: Any, tmp_path: Path) -> None:
    """Of two who ask the same, one may leave."""

    async def ask() -> None:
        with pytest.raises(asyncio.CancelledError):
            await thread.run_kept(fail, tmp_path / "x", is_wanted=lambda: False)
        others = [asyncio.create_task(thread.run_apart(wait_for, tmp_path / "go")) for _ in range(2)]
        await asyncio.sleep(0.1)  # now both wait for a turn
        (tmp_path / "x.go").touch()
        both = [
            asyncio.create_task(
                thread.run_kept(write_line, tmp_path / "x", is_wanted=lambda wanted=wanted: wanted)
            )
            for wanted in (False, True)
        ]
        await asyncio.sleep(0.1)
        (tmp_path / "go").touch()
        await asyncio.gather(*others)
        assert await asyncio.gather(*both) == ["asked\n"] * 2

    asyncio.run(ask())


def test_a_process_that_was_killed_is_replaced(thread: Any, tmp_path: Path) -> None:
    async def ask() -> None:
        with pytest.raises(ServerError, match="killed, perhaps for lack of memory"):
            await thread.run_apart(kill_oneself, tmp_path / "killed")
        assert thread._processes._mp_context.get_start_method() == "spawn"

    asyncio.run(ask())


def test_files_on_their_way_go_with_the_page() -> None:
    from populate.page.database_thread import DatabaseThread

    thread = DatabaseThread()
    folder = Path(thread.folder)
    (folder / "units").touch()
    thread.close()
    assert not folder.exists()
