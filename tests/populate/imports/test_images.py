"""Two pictures under one name: the first is kept, the other is an issue, and nothing is overwritten."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import pytest

pytestmark = pytest.mark.files

TEMPLATES = "stimulus/templates"
ARRAYS = ("warped", "unwarped")
IMPORT = ("populate", "--table", "ChangeDetection", "--table", "Stimulus")


def same_pixels(file: h5py.File) -> None:
    """As the release's images that are in the sets G and H."""


def other_pixels(file: h5py.File) -> None:
    (images,) = file[TEMPLATES].values()
    images["data"][1] = 255 - images["data"][1]


def two_sets(file: h5py.File) -> None:
    """A second set with the first one's names, whose first picture differs; it comes after it by name."""
    (name,) = file[TEMPLATES]
    file.copy(f"{TEMPLATES}/{name}", f"{TEMPLATES}/z_{name}")
    images = file[f"{TEMPLATES}/z_{name}/data"]
    images[0] = 255 - images[0]


def names_and_set(path: Path) -> tuple[list[str], str]:
    with h5py.File(path) as file:
        (image_set,) = [name for name in file[TEMPLATES] if not name.startswith("z_")]
        stored = file[f"{TEMPLATES}/{image_set}/control_description"][:]
        return [name.decode() for name in stored], image_set


def issues(database: Any) -> dict[int, str]:
    rows = database.json("issues")
    return {row["session_id"]: row["issue_detail"] for row in rows if row["issue_code"] == "image_differs"}


def pictures(database: Any) -> dict[str, Any]:
    from schemas import stimulus

    database.connect()
    return {
        row["image_name"]: [row["image_sha256"], *(row[one].load().tobytes() for one in ARRAYS)]
        for row in stimulus.Image.to_dicts()
        if row["image_sha256"]
    }


@pytest.mark.slow
@pytest.mark.parametrize("first", [same_pixels, other_pixels])
def test_the_picture_that_was_entered_first_stays(
    database: Any, damaged_copy: Callable[..., Path], first: Callable[..., None]
) -> None:
    second = same_pixels if first is other_pixels else other_pixels
    paths = [damaged_copy(change) for change in (first, second, same_pixels)]
    ids = [int(path.stem.rsplit("_")[-1]) for path in paths]
    kept: dict[str, Any] = {}
    for path in paths:
        database.call("register", path)
        assert database.json(*IMPORT)["failures"] == []
        kept = kept or pictures(database)
    assert pictures(database) == kept
    names, image_set = names_and_set(paths[0])
    expected = {ids[1]} if first is same_pixels else {ids[1], ids[2]}
    assert issues(database) == dict.fromkeys(expected, f"1: {names[1]} ({image_set})")
    # and once more: the same images are kept, the same issue is there
    from schemas import stimulus

    (stimulus.Stimulus & {"session_id": ids[1]}).delete(prompt=False)
    assert database.json(*IMPORT)["failures"] == []
    assert pictures(database) == kept
    assert issues(database).keys() == expected


def test_within_a_file_the_first_set_by_name_is_kept(
    database: Any, damaged_copy: Callable[..., Path], synthetic_files: list[Path]
) -> None:
    path = damaged_copy(two_sets)
    database.call("register", path)
    assert database.json(*IMPORT)["failures"] == []
    names, image_set = names_and_set(path)
    assert list(issues(database).values()) == [f"1: {names[0]} (z_{image_set})"]
    with h5py.File(synthetic_files[0]) as file:
        original = file[f"{TEMPLATES}/{image_set}/data"][0].tobytes()
    assert pictures(database)[names[0]][1] == original


def test_images_that_another_enters_at_the_same_moment_are_no_failure(
    database: Any, synthetic_files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lock goes with its connection, and a statement whose answer was lost is sent again."""
    from schemas import stimulus

    database.vbn("register", synthetic_files[0])
    database.connect()
    entered: list[str] = []

    def twice(table: Any, row: dict[str, Any]) -> None:
        table.insert([row])
        entered.append(row["image_name"])
        table.insert([row])

    monkeypatch.setattr(stimulus.Image, "insert1", twice)
    assert "2 entries made, 0 failed." in database.call(*IMPORT).stdout
    names, _set = names_and_set(synthetic_files[0])
    assert set(names) <= set(entered)
    assert not issues(database)
    assert set(pictures(database)) == set(names)
