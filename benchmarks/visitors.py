"""Visitors of the page at once, each of whom looks at tables and figures with pauses between.

`benchmarks.page` asks with it. A visitor asks for units that nobody asked for, turns two pages of them, looks
at the card of a unit that nobody has looked at, and at the sessions; each time a visitor reads for a while. A
table counts until its rows are there, a figure until it is there as a whole. What Panel sends through a
websocket is not measured.
"""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlencode
from urllib.request import urlopen


@dataclass
class Seen:
    """Seconds that visitors waited for tables and figures."""

    tables: list[float] = field(default_factory=list)
    figures: list[float] = field(default_factory=list)


def visitors(
    url: str, units: Sequence[int], n_visitors: int, duration_s: float, pause_s: float, seed: int = 1
) -> Seen:
    """Let visitors look at a page, and return how long they waited.

    Parameters
    ----------
    url : address of the page.
    units : ids of units that have all that their cards show.
    n_visitors : number of visitors at once.
    duration_s : seconds until they leave.
    pause_s : mean pause of a visitor between two answers, in seconds.
    seed : of what they ask, and when.
    """
    seen, cards = Seen(), itertools.cycle(random.Random(seed).sample(list(units), len(units)))
    end = time.monotonic() + duration_s

    def visit(number: int) -> None:
        chance = random.Random(seed * 1000 + number)
        time.sleep(chance.uniform(0, pause_s))
        for address in _addresses(chance, cards):
            is_figure = address.startswith("figure")
            waited = seen.figures if is_figure else seen.tables
            waited.append(_seconds(f"{url}{address}", whole=is_figure))
            time.sleep(chance.expovariate(1 / pause_s))
            if time.monotonic() > end:
                break

    threads = [threading.Thread(target=visit, args=(number,)) for number in range(n_visitors)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return seen


def _addresses(chance: random.Random, cards: Iterator[int]) -> Iterator[str]:
    """Yield what a visitor looks at: tables with numbers of their own, so that no answer is another's."""
    while True:
        above = f"{chance.uniform(0, 3):.3f}"
        question = chance.choice(
            [
                {"where": f"snr > {above}"},
                {"where": f"change_is_responsive = 1 AND snr > {above}"},
                {"structure": "VISp", "where": f"unit_firing_rate > {above}"},
                {"criteria": "bennett_2025", "where": f"snr > {above}", "sort": "-unit_firing_rate"},
            ]
        )
        yield f"units?{urlencode(question)}"
        yield f"units?{urlencode({**question, 'page': '2'})}"
        yield f"figure/unit.png?unit={next(cards)}"
        yield f"units?{urlencode({**question, 'page': '3'})}"
        yield f"sessions?find={chance.randrange(10)}"
        yield f"figure/unit.png?unit={next(cards)}"


def _seconds(url: str, *, whole: bool) -> float:
    """Return the seconds until the first byte of an answer is there, or all of it."""
    began = time.perf_counter()
    with urlopen(url) as answer:
        answer.read(1)
        first = time.perf_counter() - began
        answer.read()
    return time.perf_counter() - began if whole else first


def percentile(seconds: Sequence[float], share: float) -> float:
    """Return the time within which a share of the answers were there."""
    ordered = sorted(seconds)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
