"""How well flags and labels find what synthetic units do: in how many of a role, and in how many of others.

python -m benchmarks.roles                   # 3 sessions of 160 minutes, 120 units each
python -m benchmarks.roles --write           # and put the table into docs/responses.md

Sessions are written, registered and populated as by a user, on an embedded server of their own, and units are
asked for with their flags. Units that were not tested (NULL) count for neither.
"""

from __future__ import annotations

import argparse
import itertools
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from benchmarks.measure import with_table
from benchmarks.session import vbn

PAGE = Path(__file__).resolve().parents[1] / "docs" / "responses.md"
LEAST_RECALL, MOST_FALSE = 0.8, 0.07
SILENT = ("untuned", "drift", "noise", "opto_artifact", "opto")  # nothing in the task drives them


@dataclass(frozen=True)
class Claim:
    """What a condition on units says; of roles in neither list it is neither true nor false."""

    condition: str
    true: tuple[str, ...]
    false: tuple[str, ...]


CLAIMS = (
    Claim("change_is_responsive = 1", ("change", "visual"), (*SILENT, "rf", "omission")),
    Claim("change_is_change_modulated = 1", ("change",), (*SILENT, "rf", "omission", "visual")),
    Claim("selectivity_is_selective = 1", ("visual",), (*SILENT, "rf", "omission", "change", "running")),
    Claim("omission_is_responsive = 1", ("omission",), (*SILENT, "rf", "change", "visual")),
    Claim("rf_is_significant = 1", ("rf",), (*SILENT, "change", "visual", "omission", "running")),
    Claim("full_field_is_responsive = 1", ("visual",), (*SILENT, "rf", "change", "omission", "running")),
    Claim("running_q_shift_active <= .05", ("running",), (*SILENT, "rf")),
    Claim(
        "optotag_label = 'tagged'",
        ("opto",),
        ("opto_artifact", "untuned", "drift", "change", "visual", "rf", "omission", "running", "noise"),
    ),
)


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--sessions", type=int, default=3)
    options.add_argument("--minutes", type=float, default=160.0)
    options.add_argument("--units", type=int, default=60, help="units per probe, of two")
    options.add_argument("--seed", type=int, default=5)
    options.add_argument("--write", action="store_true", help="put the table into docs/responses.md")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="vbn-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        os.environ.update(VBN_HOME=str(folder / "home"), DJ_IGNORE_CONFIG_FILE="true")
        os.environ.pop("DJ_HOST", None)
        size = {"--sessions": chosen.sessions, "--minutes": chosen.minutes}
        size |= {"--units-per-probe": chosen.units, "--seed": chosen.seed}
        words = map(str, itertools.chain.from_iterable(size.items()))
        try:
            vbn("synthetic", "--out", str(folder / "data"), *words)
            vbn("register", str(folder / "data"), "--catalogue", str(folder / "data" / "project_metadata"))
            vbn("populate")
            shares = found_shares(roles_of(folder / "data" / "ground_truth.json"), found_units())
        finally:
            vbn("down")
    table = as_table(shares)
    print(table)
    if chosen.write:
        what = f"{chosen.sessions} sessions of {chosen.minutes:g} minutes, {2 * chosen.units} units each"
        PAGE.write_text(with_table(PAGE.read_text(), f"{what}:\n\n{table}\n"))


def roles_of(ground_truth: Path) -> pd.Series:
    """Return the role of each unit id."""
    sessions = pd.read_json(ground_truth)["sessions"].dropna()
    units = [unit for each in sessions for unit in each["units"]]
    return pd.Series({unit["unit_id"]: unit["role"] for unit in units})


def found_units() -> dict[str, tuple[set[int], set[int]]]:
    """Return, by condition, the ids of the units that meet it, and of those that were tested."""
    import schemas
    from schemas import queries

    schemas.connect()

    def ids(where: str) -> set[int]:
        return set(queries.units(where=where).to_arrays("unit_id").tolist())

    columns = {claim.condition: claim.condition.split()[0] for claim in CLAIMS}
    return {
        condition: (ids(condition), ids(f"{column} IS NOT NULL")) for condition, column in columns.items()
    }


def found_shares(roles: pd.Series, found: Mapping[str, tuple[set[int], set[int]]]) -> pd.DataFrame:
    """Return how many units of each role meet each condition.

    Parameters
    ----------
    roles : role of each unit, by id.
    found : condition -> ids of the units that meet it, and of those tested.

    Returns
    -------
    One row per claim and role of which it is true or false: ``condition``, ``role``, ``is_true``,
    ``n_tested``, ``share``.
    """
    rows = []
    for claim in CLAIMS:
        met, tested = found[claim.condition]
        for role in (*claim.true, *claim.false):
            units = set(roles.index[roles == role]) & tested
            if units:
                share = len(units & met) / len(units)
                rows.append((claim.condition, role, role in claim.true, len(units), share))
    return pd.DataFrame(rows, columns=["condition", "role", "is_true", "n_tested", "share"])


def as_table(shares: pd.DataFrame) -> str:
    """Return one row per claim: recall and false share, all roles together and the worst of them."""
    lines = [
        "| condition | recall | of units | false | of units | worst roles |",
        "|---|---|---|---|---|---|",
    ]
    for condition, rows in shares.groupby("condition", sort=False):
        true, false = rows[rows["is_true"]], rows[~rows["is_true"]]
        bad = rows[
            (rows["is_true"] & (rows["share"] < LEAST_RECALL))
            | (~rows["is_true"] & (rows["share"] > MOST_FALSE))
        ]
        worst = ", ".join(f"{row.role} {row.share:.2f} of {row.n_tested}" for row in bad.itertuples())
        lines.append(
            f"| `{condition}` | {_mean(true)} | {true['n_tested'].sum()} | {_mean(false)} | "
            f"{false['n_tested'].sum()} | {worst} |"
        )
    return "\n".join(lines)


def _mean(rows: pd.DataFrame) -> str:
    total = rows["n_tested"].sum()
    return f"{(rows['share'] * rows['n_tested']).sum() / total:.2f}" if total else ""


if __name__ == "__main__":
    main()
