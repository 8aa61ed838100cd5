# ruff: noqa: E501 - Markdown
"""The readme and the terms of a published folder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from populate.output.publish.describe import TableFile
    from populate.output.publish.origin import Origin

OPENINGS = '''\
In Python, with polars:

```python
import polars as pl

units = pl.scan_parquet("tables/ecephys/Recording.Unit.parquet")
channels = pl.scan_parquet("tables/ecephys/Recording.Channel.parquet")
sites = channels.select("session_id", "channel_id", "structure_acronym")
located = units.join(sites, left_on=["session_id", "peak_channel_id"], right_on=["session_id", "channel_id"])
good = located.filter((pl.col("isi_violations") < 0.5) & (pl.col("presence_ratio") > 0.9))
print(good.group_by("structure_acronym").len().sort("len", descending=True).collect())
```

With DuckDB:

```python
import duckdb

database = duckdb.connect()
database.execute(open("views.sql").read())
print(database.sql("DESCRIBE psth.Psth_Unit"))
print(database.sql("""
    SELECT structure_acronym, experience_level, count(*) AS n, median(peak_rate) AS peak
    FROM units JOIN psth.Psth_Unit USING (mouse_id, session_id, probe_name, unit_id)
    WHERE alignment = 'change_active' GROUP BY ALL ORDER BY ALL
"""))
```

With pandas:

```python
import numpy as np
import pandas as pd

psth = pd.read_parquet("tables/psth/Psth.Unit.parquet", filters=[("alignment", "==", "change_active")])
curves = np.stack(psth["psth_rate"])  # units x bins, Hz
strongest = psth.assign(mean=curves.mean(axis=1)).nlargest(5, "peak_rate")
print(strongest[["session_id", "unit_id", "baseline_rate", "peak_rate", "mean"]])
```

In R (`nanoparquet`, which is smaller than `arrow`, has the same `read_parquet`, for tables without lists):

```r
library(arrow)
library(dplyr)

trials <- read_parquet("tables/behavior/ChangeDetection.Trial.parquet")
trials |>
  group_by(session_id) |>
  summarise(n = n(), hits = sum(hit), misses = sum(miss))
```

In SQL (`duckdb -init views.sql`, in this folder):

```sql
SELECT session_id, count(*) AS n, sum(hit::int) AS hits, sum(miss::int) AS misses
FROM behavior.ChangeDetection_Trial
GROUP BY session_id ORDER BY session_id;
```
'''


WITH_ARRAYS = (
    "Large arrays (spike times, running, pupil, counts) are NumPy files below `arrays/`, listed in "
    "`arrays/manifest.csv`; a column of text holds the path, shape, type and SHA-256 of each."
)
WITHOUT_ARRAYS = (
    "Large arrays (spike times, running, pupil, counts) were not published here; where they belong, a "
    "column of text holds their shape and type."
)


def readme_text(
    files: Sequence[TableFile], version: str, origin: Origin, citation: str, url: str, *, with_arrays: bool
) -> str:
    """Return the readme, which names the Allen Institute if sessions of its release are there."""
    release = f"the Allen Institute's [Visual Behavior Neuropixels]({url})"
    title = "Visual Behavior Neuropixels, as tables" if origin.has_release else "Sessions as tables"
    n_rows = sum(file.n_rows for file in files)
    rows = {file.published.name: file.n_rows for file in files}
    arrays = WITH_ARRAYS if with_arrays else WITHOUT_ARRAYS
    return f"""\
# {title}

{rows.get("Session", 0):,} sessions of {rows.get("Mouse", 0):,} mice, {rows.get("Recording.Unit", 0):,} units: the contents \
of the NWB files of {origin.whose(release)}, and what was computed \
from them, {n_rows:,} rows in {len(files)} tables. Version {version}; the same rows have the same version, and the same bytes.

| here | what it is |
|---|---|
| `tables/MODULE/TABLE.parquet` | one file a table, sorted by its primary key; the rows of a session lie together |
| `dictionary.md`, `dictionary.csv` | every column: type, unit, meaning, which table it refers to; also in the Parquet files |
| `views.sql` | views of all tables for DuckDB, and `units` with their structures and sessions |
| `tables/provenance/` | parameter sets; version, parameters and source file of each computed entry |
| `croissant.json`, `manifest.json` | the same for machines |
| `LICENSE.md` | terms, and how to cite |
| `checksums.sha256` | of every file: `sha256sum -c checksums.sha256` |

Rows of a session have `mouse_id` and `session_id`, those of a unit `unit_id` as well: join on these. Curves of units are
lists; the axis follows from the parameter set that the row names. Missing is null. Times are seconds on the session's
clock. Text is data, also where it begins like a formula: do not open it as one in a spreadsheet. {arrays}

## Ten lines to begin

Each is to be run in this folder. From a web server, polars and the package read by ranges what a question needs: name
`https://host/folder/tables/...` in place of `tables/...`, and `schemas.open("https://host/folder")`.

{OPENINGS}
With the package that made it (`pip install vbn-datajoint`), the same questions as of a database, without a server to set up:

```python
import schemas

schemas.open(".")
from schemas import queries

print(queries.unit_table(queries.units(criteria="bennett_2025")).head())
```

or `vbn --published . query units --criteria bennett_2025`.

## Cite

{_cited(origin, citation)}
"""


def _cited(origin: Origin, citation: str) -> str:
    asked = "as those who gave you this folder ask for."
    if not origin.has_release:
        return f"Cite the data {asked}"
    return f"{citation}\n\nThe sessions of {origin.others}: {asked}" if origin.others else citation


def terms(origin: Origin, citation: str, licence: str, terms_of_use: str) -> str:
    """Return what can be said of the terms; of sessions of others than the Allen Institute, that is little."""
    if not origin.has_release:
        return f"""\
# Terms

The data are of {origin.whose("")}. They are not the Allen Institute's, and nothing here says under which terms they may
be used, nor how they are to be cited: ask whoever gave you this folder.

Say which version of these tables you used (`README.md`), since computed values change with the methods. The methods are
of vbn-datajoint (BSD 3-Clause), which is not a product of the Allen Institute.
"""
    releases = "The data are the Allen Institute's. It releases"
    if origin.others:
        releases = (
            f"The data are the Allen Institute's, but those of {origin.others}: for these, ask whoever gave you "
            "this folder.\n\nThe Allen Institute releases"
        )
    return f"""\
# Terms

{releases} Visual Behavior Neuropixels under CC BY 4.0 ({licence}), subject to
its terms of use and its citation policy, which decide: {terms_of_use}

Who publishes this folder adds tables that were computed from these data, and may add sessions of its own: then its
terms apply to those, too. Ask whoever gave it to you.

Cite the data as:

> {citation}

and say which version of these tables you used (`README.md`), since computed values change with the methods. The
methods are of vbn-datajoint (BSD 3-Clause), which is not a product of the Allen Institute.
"""
