"""Layers of sites, in a volume of eight by ten by six voxels whose answers are written by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.fixtures.nrrd import nrrd
from vbn.anatomy import structure_aliases, structures
from vbn.anatomy.annotation import Volume, read_volume, require_annotation
from vbn.anatomy.layers import COORDINATES, LAYERS, VISUAL_AREAS, layers, site_layers
from vbn.errors import InvalidContentError, NotReadableError

UM = 25.0
VISP = (593, 821, 721, 778, 33, 305)
CALLOSUM, CA1, ROOT = 776, 382, 997
COLUMN = (0, *VISP, CALLOSUM, CA1, ROOT)


def made_ids() -> np.ndarray:
    """The layers of VISp along the dorsal-ventral axis, below nothing and above fibres and hippocampus."""
    return np.broadcast_to(np.array(COLUMN, np.uint32)[None, :, None], (8, 10, 6)).copy()


def sites(*rows: tuple[float, float, float], structure: Any = "VISp") -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=COORDINATES, dtype=float)
    return frame.assign(
        probe_name="probeA",
        probe_vertical_position=1000.0 * np.arange(len(rows))[::-1],
        structure_acronym=structure,
    )


def layer_of(*rows: tuple[float, float, float], **options: Any) -> list[Any]:
    return with_none(site_layers(sites(*rows, **options), Volume(made_ids(), UM))["cortical_layer"])


def with_none(values: pd.Series) -> list[Any]:
    return [None if missing else value for value, missing in zip(values, values.isna(), strict=True)]


def test_layers_are_those_of_the_voxels() -> None:
    middles = [(100.0, (row + 0.5) * UM, 75.0) for row in range(10)]
    found = site_layers(sites(*middles), Volume(made_ids(), UM))
    assert with_none(found["cortical_layer"]) == [None, *LAYERS, "none", "none", "none"]
    assert with_none(found["ccf_structure_id"]) == [None, *COLUMN[1:]]
    assert with_none(found["ccf_area"]) == [None, *["VISp"] * 6, None, None, None]
    assert found["cortical_depth"].isna().all()


def test_a_voxel_ends_where_the_next_begins() -> None:
    assert layer_of((0, 49.999, 0), (0, 50.0, 0), (0, 74.999, 0)) == ["1", "2/3", "2/3"]


def test_what_is_not_in_the_volume_has_no_layer() -> None:
    last, beyond = (199.9, 174.9, 149.9), (200.0, 174.9, 149.9)
    missing = (np.nan, 60.0, 70.0)
    assert layer_of(last, beyond, (0, 0, 0), missing, (-0.1, 60, 70), (0, 1e300, 0), (0, np.inf, 0)) == [
        "6b", *[None] * 6
    ]  # fmt: skip


def test_hemispheres_have_the_same_layers() -> None:
    ids = made_ids()
    ids[:, 3, [0, 5]] = VISP[0]  # both edges
    volume = Volume(ids, UM)
    for left in (1.0, 30.0, 70.0):
        found = site_layers(sites((50, 80, left), (50, 80, volume.midline_um * 2 - left)), volume)
        assert found["cortical_layer"].nunique() == 1


def test_a_label_by_physiology_outside_the_cortex_is_believed() -> None:
    place = (50.0, 60.0, 70.0)
    assert layer_of(place, structure="CA1") == ["none"]
    assert layer_of(place, structure="SSp-bfd") == layer_of(place, structure=None) == ["2/3"]
    found = site_layers(sites(place, structure="VISl"), Volume(made_ids(), UM))
    assert found["area_agrees"].tolist() == [False]
    assert site_layers(sites(place, structure=None), Volume(made_ids(), UM))["area_agrees"].isna().all()


def test_a_site_below_the_cortex_takes_the_nearest_layer_of_its_probe() -> None:
    frame = sites((50, 160, 70), (50, 180, 70), (50, 205, 70), (50, 205, 70))
    frame["probe_vertical_position"] = [400.0, 380.0, 300.0, 280.0]
    found = site_layers(frame, Volume(made_ids(), UM))
    assert found["cortical_layer"].tolist() == ["6b", "6b", "6b", "none"]
    assert found["layer_is_snapped"].tolist() == [False, True, True, False]
    assert found["ccf_structure_id"].tolist() == [305, CALLOSUM, CA1, CA1]
    other = frame.assign(probe_name=["probeB", *["probeA"] * 3])
    assert site_layers(other, Volume(made_ids(), UM))["cortical_layer"].tolist() == ["6b", *["none"] * 3]
    assert (
        site_layers(frame.assign(structure_acronym="LP"), Volume(made_ids(), UM))["cortical_layer"]
        .eq("none")
        .all()
    )


@pytest.mark.parametrize("half", [slice(0, 3), slice(3, 6), slice(0, 6)])
def test_depths_of_either_hemisphere_serve_both(half: slice) -> None:
    ramp = np.zeros((8, 10, 6), np.float32)
    ramp[:, 1:7, half] = ((np.arange(6) + 0.5) / 6)[None, :, None]
    rows = [(50.0, (1.5 + row) * UM, left) for left in (10.0, 140.0) for row in range(6)]
    found = site_layers(sites(*rows), Volume(made_ids(), UM), Volume(ramp, UM))
    assert np.allclose(found["cortical_depth"], np.tile((np.arange(6) + 0.5) / 6, 2))
    below = site_layers(sites((50, 180, 10), structure="LP"), Volume(made_ids(), UM), Volume(ramp, UM))
    assert below["cortical_depth"].isna().all()


def test_the_table_has_each_layer_of_the_visual_areas_once() -> None:
    table = layers()
    assert table["structure_id"].is_unique
    assert set(table["layer"]) == set(LAYERS)
    areas = table.groupby("area")["layer"].apply(list)
    assert {name: len(areas[name]) for name in VISUAL_AREAS} == dict.fromkeys(VISUAL_AREAS, 6)
    held = {(area, layer): number for number, area, layer in table.itertuples(index=False)}
    assert [held["VISp", layer] for layer in LAYERS] == list(VISP)
    assert [held["VISrl", layer] for layer in LAYERS] == [312782604 + 4 * step for step in range(6)]
    assert not {"VISC", "CA1", "LGd", "ENTl"} & {*VISUAL_AREAS}


@pytest.mark.parametrize("encoding", ["gzip", "raw"])
def test_a_volume_comes_back_as_it_was_written(tmp_path: Path, encoding: str) -> None:
    ids = np.random.default_rng(0).integers(0, 2**32, (8, 10, 6), dtype=np.uint32)
    found = read_volume(nrrd(tmp_path / "a.nrrd", ids, encoding=encoding), UM)
    assert found.values.dtype == np.uint32
    assert (found.values == ids).all()
    big = read_volume(nrrd(tmp_path / "b.nrrd", ids.astype(">u4"), endian="big", encoding=encoding), UM)
    assert (big.values == ids).all()
    np.save(tmp_path / "a.npy", ids)
    assert (read_volume(tmp_path / "a.npy", UM).values == ids).all()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sizes": "8 10 7"}, "ends after"),
        ({"sizes": "8 10 5"}, "more values"),
        ({"sizes": "80000 80000 80000"}, "its sizes"),
        ({"sizes": "1320 800 1140"}, "its sizes are 1320x800x1140, more than it can hold"),
        ({"sizes": f"{10**400} 1 1"}, "its sizes"),
        ({"sizes": " ".join(["1"] * 99)}, "99 axes"),
        ({"sizes": ""}, "header"),
        ({"sizes": "8 -10 6"}, "its sizes"),
        ({"sizes": "8 ten 6"}, "header"),
        ({"sizes": "80 6"}, "2 axes"),
        ({"type": "block"}, "header"),
        ({"encoding": "bzip2"}, "encoding"),
        ({"encoding": ""}, "header"),
        ({"data file": "/etc/passwd"}, "another file"),
    ],
)
def test_a_file_that_is_no_volume_is_refused_in_words(tmp_path: Path, changes: Any, words: str) -> None:
    path = nrrd(tmp_path / "bad.nrrd", made_ids(), **changes)
    with pytest.raises((InvalidContentError, NotReadableError), match=words) as caught:
        read_volume(path, UM)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"", b"NRRD0004\n", b"NRRD0004\n" + b"a" * 10**6, b"PK\3\4", b"\x93NUMPY\1"]
)
@pytest.mark.parametrize("suffix", [".nrrd", ".npy"])
def test_other_files_are_refused_in_words(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"other{suffix}"
    path.write_bytes(content)
    with pytest.raises((InvalidContentError, NotReadableError), match=r"other\."):
        read_volume(path, UM)
    with pytest.raises(NotReadableError):
        read_volume(tmp_path / "absent.nrrd", UM)


def test_a_volume_of_no_published_shape_needs_its_resolution(tmp_path: Path) -> None:
    path = nrrd(tmp_path / "a.nrrd", made_ids())
    with pytest.raises(InvalidContentError, match=r"8x10x6 voxels .*528x320x456 at 25 um"):
        read_volume(path)


def test_only_an_annotation_of_both_hemispheres_is_taken() -> None:
    require_annotation(Path("a"), Volume(made_ids(), UM))
    lopsided = made_ids()
    lopsided[:, :, :3] = ROOT
    for values, words in (
        (made_ids().astype(np.float32), "whole numbers"),
        (np.full((8, 10, 6), CA1, np.uint32), "no layer"),
        (lopsided, "mirror"),
        (np.moveaxis(made_ids(), 1, 2), "mirror"),
    ):
        with pytest.raises(InvalidContentError, match=words):
            require_annotation(Path("a"), Volume(values, UM))


def test_aliases_lead_to_structures_and_hide_none() -> None:
    known, aliases = set(structures()["acronym"]), structure_aliases()
    assert set(aliases.values()) <= known
    assert not set(aliases) & {name for name in known if name == name.lower()}
