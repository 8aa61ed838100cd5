"""docs/reliability.md: the results of the test harness, for each server."""

from __future__ import annotations

import argparse
import json
import platform
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import vbn

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
RESULTS = Path(__file__).parent / "results.json"
FOUND = {
    "lost_rows": "rows lost",
    "doubled_rows": "rows doubled",
    "half_entries": "half entries",
    "reservations_left": "reservations left behind",
    "unexpected_errors": "jobs recorded as failed that are sound, or the other way round",
    "different_tables": "tables with another checksum than undisturbed",
    "files_left": "files in the store without a row, or rows without a file, after gc",
    "files_put_aside": "files that gc put aside",
}


def write_report(server: str, runs: list[dict[str, Any]], arguments: argparse.Namespace) -> None:
    """Add a server's results, and rewrite the page."""
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    faults: Counter[str] = sum((Counter(run["faults"]) for run in runs), Counter())
    results[server] = {
        "faults": dict(sorted(faults.items())),
        "found": {name: sum(run["verdict"][name] for run in runs) for name in FOUND},
        "runs": len(runs),
        "minutes": round(sum(run["duration_s"] for run in runs) / 60, 1),
        "workers": arguments.workers,
        "sessions": arguments.sessions + 1,
        "seed": arguments.seed,
        "date": date.today().isoformat(),
        "version": vbn.__version__,
        "machine": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
    }
    RESULTS.write_text(json.dumps(results, indent=2, sort_keys=True) + "\n")
    text = PAGE.read_text() if PAGE.exists() else "<!-- figures -->\n<!-- end of the figures -->\n"
    before, _, rest = text.partition("<!-- figures -->")
    _, _, after = rest.partition("<!-- end of the figures -->")
    PAGE.write_text(f"{before}<!-- figures -->\n{_tables(results)}<!-- end of the figures -->{after}")


def _tables(results: dict[str, Any]) -> str:
    servers = sorted(results)
    head = "| " + " | ".join(["", *servers]) + " |\n|" + "---|" * (len(servers) + 1) + "\n"
    kinds = sorted({kind for server in servers for kind in results[server]["faults"]})

    def row(name: str, values: list[Any]) -> str:
        return f"| {name} | " + " | ".join(map(str, values)) + " |\n"

    injected = "".join(row(kind, [results[one]["faults"].get(kind, 0) for one in servers]) for kind in kinds)
    total = row("**all**", [f"**{sum(results[one]['faults'].values())}**" for one in servers])
    found = "".join(
        row(words, [results[one]["found"][name] for one in servers]) for name, words in FOUND.items()
    )
    circumstances = "".join(
        f"- {one}: {results[one]['runs']} runs in {results[one]['minutes']} min with "
        f"{results[one]['workers']} workers on {results[one]['sessions']} sessions, one of them with a file "
        f"that turned bad; seed "
        f"{results[one]['seed']}, version {results[one]['version']}, {results[one]['date']}, "
        f"{results[one]['machine']}.\n"
        for one in servers
    )
    return f"\nInjected:\n\n{head}{injected}{total}\nFound afterwards:\n\n{head}{found}\n{circumstances}\n"
