"""What describes a publication: dictionary, views, readme, terms, and the descriptor for machines."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

import vbn
from populate.output.publish import readme
from populate.output.publish.origin import Origin
from schemas.bases.publication import FORMAT, PublishedTable, is_stored_array
from schemas.server.published import ARRAYS, MANIFEST

TITLE = "Visual Behavior Neuropixels: tables of the sessions and of what was computed from them"
URL = "https://portal.brain-map.org/circuits-behavior/visual-behavior-neuropixels"
TERMS = "https://alleninstitute.org/legal/terms-of-use/"
LICENCE = "https://creativecommons.org/licenses/by/4.0/"
CITATION = f"Allen Institute MindScope Program (2022). Visual Behavior Neuropixels [data set]. {URL}"
CROISSANT_TYPES = (
    (pa.types.is_boolean, "sc:Boolean"),
    (pa.types.is_integer, "sc:Integer"),
    (pa.types.is_floating, "sc:Float"),
    (pa.types.is_timestamp, "sc:DateTime"),
)


@dataclass(frozen=True)
class TableFile:
    """A table's file in its place.

    Attributes
    ----------
    published : the table; its class is None where it is no table of the database.
    layout : columns with their meanings.
    n_rows : number of rows.
    path : the file.
    sha256 : its hash.
    """

    published: PublishedTable
    layout: pa.Schema
    n_rows: int
    path: Path
    sha256: str = ""

    @property
    def name(self) -> str:
        """Its path below the folder."""
        return self.published.file

    @property
    def meaning(self) -> str:
        """What one row is."""
        return str(self.layout.metadata[b"meaning"].decode())

    @property
    def primary_key(self) -> list[str]:
        """The columns by which rows are told apart."""
        return str(self.layout.metadata[b"primary_key"].decode()).split()


@dataclass(frozen=True)
class ColumnFacts:
    """One column as the dictionary shows it."""

    name: str
    type: str
    unit: str
    meaning: str
    is_key: bool
    may_be_missing: bool
    refers_to: str


@dataclass(frozen=True)
class StoredArray:
    """An array that was published, as its row describes it."""

    path: str
    shape: list[int]
    dtype: str
    sha256: str


def describing_texts(
    files: Sequence[TableFile],
    arrays: Sequence[StoredArray],
    version: str,
    *,
    with_arrays: bool,
    left_out: Sequence[str] = (),
) -> dict[str, str]:
    """Return the content of all files that describe the others.

    Parameters
    ----------
    files : the files of the tables.
    arrays : the arrays that rows name.
    version : of what is published.
    with_arrays : whether they are published, too.
    left_out : names of tables that were left out by choice.
    """
    columns = {file.name: column_facts(file, files) for file in files}
    origin = Origin.of(files)
    found = {
        "README.md": readme.readme_text(files, version, origin, CITATION, URL, with_arrays=with_arrays),
        "LICENSE.md": readme.terms(origin, CITATION, LICENCE, TERMS),
        "dictionary.md": _dictionary(files, columns),
        "dictionary.csv": _dictionary_table(files, columns),
        "views.sql": _views(files, columns),
        "croissant.json": described_json(_croissant(files, columns, version, origin)),
        MANIFEST: described_json(
            _manifest(files, columns, version, origin, with_arrays=with_arrays)
            | ({"left_out": list(left_out)} if left_out else {})
        ),
    }
    if with_arrays:
        found[f"{ARRAYS}/manifest.csv"] = _csv(
            ["path", "shape", "dtype", "sha256"],
            ([each.path, json.dumps(each.shape), each.dtype, each.sha256] for each in arrays),
        )
    return found


def column_facts(file: TableFile, files: Sequence[TableFile]) -> list[ColumnFacts]:
    """Return the columns of a table."""
    references = _references(file, files)
    return [
        ColumnFacts(
            field.name,
            _type_name(field.type),
            field.metadata[b"unit"].decode(),
            field.metadata[b"meaning"].decode(),
            field.name in file.primary_key,
            field.nullable,
            references.get(field.name, ""),
        )
        for field in file.layout
    ]


def _references(file: TableFile, files: Sequence[TableFile]) -> dict[str, str]:
    """Return which columns refer to which of another table, as ``Table.column``."""
    if file.published.table is None:
        return {}
    names = {
        each.published.table().full_table_name: each.published.name for each in files if each.published.table
    }
    found: dict[str, str] = {}
    for parent, about in file.published.table().parents(foreign_key_info=True):
        if parent in names:
            found |= {own: f"{names[parent]}.{other}" for own, other in about["attr_map"].items()}
    return found


def _type_name(kind: pa.DataType) -> str:
    if pa.types.is_fixed_size_list(kind):
        return f"{_type_name(kind.value_type)}[{kind.list_size}]"
    if pa.types.is_list(kind):
        return f"{_type_name(kind.value_type)}[]"
    if pa.types.is_timestamp(kind):
        return "timestamp (UTC)"
    return {"float": "float32", "double": "float64"}.get(str(kind), str(kind))


def published_arrays(files: Sequence[TableFile], require: Callable[[str], None]) -> list[StoredArray]:
    """Return the arrays that rows name, sorted by path.

    Parameters
    ----------
    files : the files of the tables, in their places.
    require : called with the path of each; raises an error if it is not there.
    """
    found = []
    for file in files:
        table = file.published.table
        names = [each.name for each in file.published.attributes if is_stored_array(each)] if table else []
        if not names:
            continue
        rows = parquet.read_table(file.path, columns=names, partitioning=None)
        for name in names:
            notes = [json.loads(note) for note in rows[name].to_pylist() if note is not None]
            found += [StoredArray(**note) for note in notes if "sha256" in note]  # others were never here
    for each in found:
        require(each.path)
    return sorted(found, key=lambda each: each.path)


def described_json(content: Any) -> str:
    """Return a content as the files of a publication have it."""
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _csv(header: list[str], rows: Iterator[list[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


Columns = dict[str, list[ColumnFacts]]


def _dictionary_table(files: Sequence[TableFile], columns: Columns) -> str:
    header = [
        "module",
        "table",
        "file",
        "column",
        "type",
        "unit",
        "meaning",
        "key",
        "may_be_missing",
        "refers_to",
    ]
    return _csv(
        header,
        (
            [file.published.module, file.published.name, file.name, each.name, each.type, each.unit,
             each.meaning, str(each.is_key).lower(), str(each.may_be_missing).lower(), each.refers_to]
            for file in files
            for each in columns[file.name]
        ),
    )  # fmt: skip


def _dictionary(files: Sequence[TableFile], columns: Columns) -> str:
    lines = [
        "# Dictionary",
        "",
        "Columns in bold are the primary key.",
    ]
    module = ""
    for file in files:
        if file.published.module != module:
            module = file.published.module
            lines += ["", f"## {module}"]
        lines += [
            "",
            f"### {file.published.name}",
            "",
            f"{file.meaning}. `{file.name}`, {file.n_rows:,} rows.",
            "",
        ]
        lines += ["| column | type | unit | meaning | refers to |", "|---|---|---|---|---|"]
        for each in columns[file.name]:
            name = f"**{each.name}**" if each.is_key else each.name
            missing = " (may be missing)" if each.may_be_missing else ""
            cells = (name, each.type + missing, each.unit, each.meaning, each.refers_to)
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _views(files: Sequence[TableFile], columns: Columns) -> str:
    """Return views for DuckDB, with comments; to be read in the folder."""
    lines = [
        "-- Views of all tables for DuckDB, to be read in this folder: duckdb -init views.sql",
        "-- Then: DESCRIBE ecephys.Recording_Unit; SELECT * FROM units LIMIT 5;",
    ]
    lines += [
        f"CREATE SCHEMA IF NOT EXISTS {name};" for name in dict.fromkeys(f.published.module for f in files)
    ]
    for file in files:
        view = file.published.sql_name
        source = f"read_parquet({_text(file.name)})"
        lines.append(f"CREATE OR REPLACE VIEW {view} AS SELECT * FROM {source};")  # noqa: S608
        lines.append(f"COMMENT ON VIEW {view} IS {_text(file.meaning)};")
        for each in columns[file.name]:
            unit = f"({each.unit}) " if each.unit else ""
            lines.append(f'COMMENT ON COLUMN {view}."{each.name}" IS {_text(unit + each.meaning)};')
    lines += UNITS_VIEW
    return "\n".join(lines) + "\n"


UNITS_VIEW = (
    "CREATE OR REPLACE VIEW units AS",
    "  SELECT u.*, c.structure_acronym, c.anterior_posterior_ccf_coordinate,",
    "    c.dorsal_ventral_ccf_coordinate, c.left_right_ccf_coordinate,",
    "    s.experience_level, s.image_set, s.session_type, m.genotype",
    "  FROM ecephys.Recording_Unit u",
    "  JOIN ecephys.Recording_Channel c ON c.session_id = u.session_id AND c.probe_name = u.probe_name",
    "    AND c.channel_id = u.peak_channel_id",
    "  JOIN session.Session s ON s.session_id = u.session_id",
    "  JOIN session.Mouse m ON m.mouse_id = u.mouse_id;",
    "COMMENT ON VIEW units IS 'Units with their structure, session and genotype';",
)


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _manifest(
    files: Sequence[TableFile], columns: Columns, version: str, origin: Origin, *, with_arrays: bool
) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "title": _title(origin),
        "version": version,
        "package": "vbn-datajoint",
        "package_version": vbn.__version__,
        "has_arrays": with_arrays,
        "tables": [
            {
                "module": file.published.module,
                "name": file.published.name,
                "file": file.name,
                "meaning": file.meaning,
                "rows": file.n_rows,
                "sha256": file.sha256,
                "primary_key": file.primary_key,
                "columns": [vars(each) for each in columns[file.name]],
            }
            for file in files
        ],
    }


def _title(origin: Origin) -> str:
    return TITLE if origin.has_release else f"Tables of {origin.whose('')}, and what was computed from them"


def _terms_for_machines(origin: Origin) -> dict[str, Any]:
    """Return name, licence and creator, of which nothing is known where no session is of the release."""
    if not origin.has_release:
        terms = "Not stated: ask whoever gave you this folder."
        creator = {"@type": "sc:Organization", "name": origin.others or "unknown"}
        return {
            "name": "sessions-as-tables",
            "license": terms,
            "citeAs": terms,
            "creator": creator,
            "url": "",
        }
    return {
        "name": "visual-behavior-neuropixels-tables",
        "url": URL,
        "license": LICENCE,
        "usageInfo": TERMS,
        "citeAs": CITATION,
        "creator": {
            "@type": "sc:Organization",
            "name": "Allen Institute",
            "url": "https://alleninstitute.org",
        },
    }


def _croissant(files: Sequence[TableFile], columns: Columns, version: str, origin: Origin) -> dict[str, Any]:
    """Return the description in Croissant 1.0, a vocabulary of schema.org for data sets."""
    return {
        "@context": {
            "@language": "en",
            "@vocab": "https://schema.org/",
            "sc": "https://schema.org/",
            "cr": "http://mlcommons.org/croissant/",
            "dct": "http://purl.org/dc/terms/",
            "citeAs": "cr:citeAs",
            "column": "cr:column",
            "conformsTo": "dct:conformsTo",
            "data": {"@id": "cr:data", "@type": "@json"},
            "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
            "extract": "cr:extract",
            "field": "cr:field",
            "fileObject": "cr:fileObject",
            "fileProperty": "cr:fileProperty",
            "fileSet": "cr:fileSet",
            "format": "cr:format",
            "includes": "cr:includes",
            "isLiveDataset": "cr:isLiveDataset",
            "key": "cr:key",
            "md5": "cr:md5",
            "parentField": "cr:parentField",
            "recordSet": "cr:recordSet",
            "references": "cr:references",
            "repeated": "cr:repeated",
            "source": "cr:source",
            "subField": "cr:subField",
            "transform": "cr:transform",
        },
        "@type": "sc:Dataset",
        "description": _title(origin),
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        **_terms_for_machines(origin),
        "version": version,
        "isLiveDataset": False,
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": file.name,
                "name": f"{file.published.module}.{file.published.name}",
                "contentUrl": file.name,
                "encodingFormat": "application/vnd.apache.parquet",
                "sha256": file.sha256,
            }
            for file in files
        ],
        "recordSet": [_record_set(file, columns[file.name], files) for file in files],
    }


def _record_set(file: TableFile, columns: list[ColumnFacts], files: Sequence[TableFile]) -> dict[str, Any]:
    identifier = _identifier(file.published)
    ids = {each.published.name: _identifier(each.published) for each in files}
    fields = []
    for column, field in zip(columns, file.layout, strict=True):
        about: dict[str, Any] = {
            "@type": "cr:Field",
            "@id": f"{identifier}/{column.name}",
            "name": column.name,
            "description": (f"({column.unit}) " if column.unit else "") + column.meaning,
            "dataType": _croissant_type(field.type),
            "source": {"fileObject": {"@id": file.name}, "extract": {"column": column.name}},
        }
        if column.type.endswith("]"):
            about["repeated"] = True
        if column.refers_to:
            table, _, name = column.refers_to.rpartition(".")
            about["references"] = {"field": {"@id": f"{ids[table]}/{name}"}}
        fields.append(about)
    return {
        "@type": "cr:RecordSet",
        "@id": identifier,
        "name": identifier,
        "description": file.meaning,
        "key": [{"@id": f"{identifier}/{name}"} for name in file.primary_key],
        "field": fields,
    }


def _identifier(published: PublishedTable) -> str:
    return f"{published.module}.{published.name}"


def _croissant_type(kind: pa.DataType) -> str:
    while pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
        kind = kind.value_type
    return next((name for matches, name in CROISSANT_TYPES if matches(kind)), "sc:Text")
