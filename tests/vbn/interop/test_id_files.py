"""Ids in files as people, spreadsheets and other tools write them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from vbn.errors import InvalidContentError, NotReadableError
from vbn.interop.id_files import read_id_file

IDS = [1061854534, 1061854535]


def written(folder: Path, content: bytes, name: str = "ids.txt") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("1061854534\n1061854535\n", None),
        ("1061854534, 1061854535", None),
        ("1061854534 1061854535", None),
        ("\n# of figure 2\n1061854534\r\n\r\n1061854535", None),
        ("id\n1061854534\n1061854535\n", None),
        ("unit_id\n1061854534\n1061854535\n", "units"),
        ("Unit_ID\n1061854534.0\n1061854535.00\n", "units"),
        ("ecephys_session_id\n1061854534\n1061854535\n", "sessions"),
        ("session_id,unit_id,snr\n7,1061854534,1.5\n7,1061854535,\n", "units"),
        ('snr;"unit_id"\n"1,5";1061854534\n;"1061854535"\n', "units"),
        ("name\tsession_id\n'a\t1061854534\nb\t1061854535\n", "sessions"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_ids_are_found_however_they_are_written(
    tmp_path: Path, text: str, kind: str | None, encoding: str
) -> None:
    found = read_id_file(written(tmp_path, text.encode(encoding)))
    assert (found.ids, found.kind) == (IDS, kind)


@pytest.mark.parametrize("type_name", ["int64", "Int64", "float64"])
def test_ids_are_found_in_parquet(tmp_path: Path, type_name: str) -> None:
    path = tmp_path / "units.parquet"
    pd.DataFrame({"snr": [1.0, 2.0], "unit_id": IDS}).astype({"unit_id": type_name}).to_parquet(path)
    assert read_id_file(path).ids == IDS


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it has no ids"),
        (b"unit_id\n", "it has no ids"),
        (b"# 12\n", "it has no ids"),
        (b"unit_id\n1061854534\n1.06E+09\n", "line 3 has '1.06E+09', an id that a spreadsheet has rounded"),
        (b"1.0E9\n", "line 1 has '1.0E9', an id that a spreadsheet has rounded"),
        (b"12\n12.5\n", "line 2 has '12.5', which is no id"),
        (b"12\nVISp\n", "line 2 has 'VISp', which is no id"),
        (b"12\n-3\n", "line 2 has '-3', which is no id"),
        ("12\n\u202e34\n".encode(), r"line 2 has '\u202e34', which is no id"),
        (b"snr,rate\n1,2\n", "none of its columns is unit_id or session_id: snr, rate"),
        (b"snr,unit_id\n1\n", "line 2 has no id"),
        (b"snr,unit_id\n1,\n", "line 2 has no id"),
        (b"\x00\x01\x02", "it is neither text nor Parquet"),
        (b"\xff\x81\n", "it is neither text nor Parquet"),
        (b"PAR1 but no more", "it is no Parquet file with ids"),
        (b"unit_id,a\n" + b'"' + b"1" * 200_000, "is no"),  # table or id: csv has a limit that others may set
        (b"unit_id,a\n" + b"1" * 5_000, "which is no id"),
        (b"1" * 5_000, "which is no id"),
    ],
)
def test_what_is_no_list_of_ids_is_said_with_its_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = written(tmp_path, content)
    with pytest.raises(InvalidContentError) as refused:
        read_id_file(path)
    assert message in str(refused.value)
    assert str(path) in str(refused.value)
    assert len(str(refused.value)) < 500


def test_a_parquet_file_without_the_column_or_with_missing_ids_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "units.parquet"
    pd.DataFrame({"snr": [1.0]}).to_parquet(path)
    with pytest.raises(InvalidContentError, match="no column unit_id"):
        read_id_file(path)
    pd.DataFrame({"unit_id": pd.array([1, None], "Int64")}).to_parquet(path)
    with pytest.raises(InvalidContentError, match="row 2 has no id"):
        read_id_file(path)
    pd.DataFrame({"unit_id": ["x"]}).to_parquet(path)
    with pytest.raises(InvalidContentError, match="no Parquet file with ids"):
        read_id_file(path)


def test_a_file_that_is_not_there_or_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotReadableError, match="cannot be read"):
        read_id_file(tmp_path / "nothing")
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(2**30)
    with pytest.raises(NotReadableError, match="1,074 MB"):
        read_id_file(path)
