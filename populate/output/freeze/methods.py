"""The paragraph on methods of a freeze: data, units, parameters and versions, as a paper states them."""

from __future__ import annotations

import importlib.metadata
import json
import platform
from collections.abc import Mapping, Sequence
from typing import Any

from pyarrow import parquet

import vbn
from populate.output.publish.describe import CITATION, URL, TableFile
from populate.output.publish.origin import Origin

SOFTWARE = "software"
LIBRARIES = ("datajoint", "h5py", "numpy", "pandas", "pyarrow", "scipy")
SOURCES = {
    "bennett_2025": "Bennett et al. (2025), doi:10.1101/2025.10.17.683190",
    "siegle_2021": "Siegle et al. (2021), doi:10.1038/s41586-020-03171-x",
    "salt": "Kvitsiani et al. (2013), doi:10.1038/nature12176",
    "kvitsiani_2013": "Kvitsiani et al. (2013), doi:10.1038/nature12176",
}
"""Part of the name of a parameter set -> the paper that its method is of."""

OF_FILTERS = {"criteria": "UnitCriteria", "optotag_method": "OptotagMethod"}
"""Filter of units -> table of the parameter set that it names."""

ALWAYS = ("Yatsenko et al. (2015), DataJoint: managing big scientific data, doi:10.1101/031658",)


def software_versions() -> dict[str, str]:
    """Return the versions of what computes here: this package, Python, and the libraries."""
    found = {"vbn-datajoint": vbn.__version__, "python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def methods_text(about: Mapping[str, Any], files: Sequence[TableFile]) -> str:
    """Return the methods of a freeze in Markdown; the same rows and versions give the same text.

    Parameters
    ----------
    about : what the freeze is, as its ``freeze.json`` has it.
    files : the files of its tables, with those of provenance.
    """
    rows = {file.published.name: file for file in files}
    origin = Origin.of(files)
    entries = _read(rows["Entry"], ["table_name", "package_version", "method_version"])
    sets = _used_sets(files, rows["ParameterSet"], about["scope"]["filters"])
    software = ", ".join(f"{name} {version}" for name, version in about[SOFTWARE].items())
    return "\n".join(
        [
            f"# Methods of the freeze {about['name']}",
            "",
            *([about["description"], ""] if about["description"] else []),
            _paragraph(about, rows, entries, sets, origin),
            "",
            "## Parameter sets",
            "",
            "| table | set | method version | content |",
            "|---|---|---|---|",
            *(
                f"| {table} | `{name}` | {version} | `{_cell(content)}` |"
                for table, name, version, content in sets
            ),
            "",
            "## Computed tables",
            "",
            "| table | entries | method version | made by vbn-datajoint |",
            "|---|---|---|---|",
            *_table_lines(entries),
            "",
            "## Software and sources",
            "",
            f"Frozen {about['frozen_at']} with {software}, by: `{_cell(about['made_from'])}`",
            "",
            *(f"- {source}" for source in _sources(sets, origin)),
            "",
        ]
    )


def _paragraph(
    about: Mapping[str, Any],
    rows: Mapping[str, TableFile],
    entries: list[dict[str, Any]],
    sets: list[tuple[str, str, int, str]],
    origin: Origin,
) -> str:
    counts, scope = about["counts"], about["scope"]
    versions = sorted({str(each["package_version"]) for each in entries}) or [vbn.__version__]
    chosen = scope["n_chosen_units"]
    units = _number(counts["units"], "unit") + (
        "" if chosen is None else f", of which {chosen:,} were chosen (list `{about['name']}`)"
    )
    filters = "; ".join(f"{name} {_value(value)}" for name, value in sorted(scope["filters"].items()))
    return (
        f"We used {_number(counts['sessions'], 'session')} of {_number(counts['mice'], 'mouse', 'mice')} "
        f"from {origin.whose(f'Visual Behavior Neuropixels of the Allen Institute ({URL})')}, with {units}. "
        + (f"They were selected by: {filters}. " if filters else "They are all that the database had. ")
        + f"Results were computed with vbn-datajoint {' and '.join(versions)} from "
        f"{_number(rows['NwbFile'].n_rows, 'NWB file')}, whose hashes are in "
        "`tables/session/NwbFile.parquet`; "
        f"{_number(len({each['table_name'] for each in entries}), 'table')} of results, "
        f"{_number(len(sets), 'parameter set')} and the versions of their methods are listed below, and "
        "for each entry in `tables/provenance/Entry.parquet`."
    )


def _number(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def _value(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("`", "'").replace("\n", " ")


def _read(file: TableFile, columns: list[str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = parquet.read_table(
        file.path, columns=columns, partitioning=None
    ).to_pylist()
    return found


def _used_sets(
    files: Sequence[TableFile], known: TableFile, filters: Mapping[str, Any]
) -> list[tuple[str, str, int, str]]:
    """Return table, name, method version and content of the parameter sets that results or filters name."""
    sets = _read(known, ["table_name", "set_name", "method_version", "content"])
    keys = {
        each.published.name: each.primary_key[0]
        for each in files
        if each.published.name in {row["table_name"] for row in sets}
    }
    used = {(table, str(filters[name])) for name, table in OF_FILTERS.items() if name in filters}
    for file in files:
        if file.published.name in keys or file.published.table is None:
            continue
        for table, column in keys.items():
            if column in file.primary_key:
                values = parquet.read_table(file.path, columns=[column], partitioning=None)[column].unique()
                used |= {(table, str(value)) for value in values.to_pylist()}
    return [
        (row["table_name"], row["set_name"], row["method_version"], _short(row["content"]))
        for row in sets
        if (row["table_name"], row["set_name"]) in used
    ]


def _short(content: str) -> str:
    return json.dumps(json.loads(content), sort_keys=True, ensure_ascii=False)


def _table_lines(entries: list[dict[str, Any]]) -> list[str]:
    counted: dict[tuple[str, int, str], int] = {}
    for each in entries:
        key = (each["table_name"], each["method_version"], each["package_version"])
        counted[key] = counted.get(key, 0) + 1
    return [
        f"| {table} | {number:,} | {method} | {package} |"
        for (table, method, package), number in sorted(counted.items())
    ]


def _sources(sets: list[tuple[str, str, int, str]], origin: Origin) -> list[str]:
    """Return what is to be cited: the data, the database, and the papers whose methods were used."""
    data = [CITATION] if origin.has_release else []
    data += [f"The data of {origin.others}, as those who made them ask for"] if origin.others else []
    names = {name for _, name, _, _ in sets}
    papers = {paper for name in names for part, paper in SOURCES.items() if part in name}
    return [*data, *ALWAYS, *sorted(papers)]
