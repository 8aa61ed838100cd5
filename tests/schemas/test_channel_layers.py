"""Layers of channels: entered by the command line, computed for each session, asked for in queries."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from schemas import ecephys, queries, responses
from schemas.deploy.stored_table import BLOB, FLOAT, StoredTable
from schemas.files.atlas import describe_atlas
from schemas.rows.fetch import fetch_frame
from schemas.server.connection import open_database
from tests.fixtures.streamlines import vertical_lines, written
from vbn.analysis.responses.published_response import PublishedResponseParameters
from vbn.anatomy.annotation import SHAPES, read_volume
from vbn.anatomy.layers import LAYERS, VISUAL_AREAS, site_layers
from vbn.errors import NotFoundError, SettingError

VISP = (593, 821, 721, 778, 33, 305)


def made_annotation(folder: Path, shift: int = 0) -> Path:
    """A volume of the shape of the published one at 100 um, with layers in turn from dorsal to ventral."""
    planes = np.array([VISP[(plane + shift) % 6] for plane in range(80)], np.uint32)
    path = folder / f"annotation_{shift}.npy"
    np.save(path, np.broadcast_to(planes[None, :, None], (132, 80, 114)))
    return path


@pytest.fixture(scope="module")
def with_layers(
    make_database: Callable[..., Any], synthetic_files: list[Path], open_folder: Path
) -> tuple[Any, Path]:
    """Two sessions, and the layers of their channels by one atlas, which has streamlines, too."""
    database, path = make_database(), made_annotation(open_folder)
    database.call("register", *synthetic_files)
    database.call("populate", "--table", "Recording", "--table", "ChannelLayer")
    database.connect()
    assert len(ecephys.ChannelLayer()) == 0
    with pytest.raises(NotFoundError, match="vbn atlas add"):
        queries.units(cortical_layer="4")
    lines = written(open_folder / "lines", vertical_lines(SHAPES[100.0], 100.0))
    add = ("atlas", "add", "made", path, "--streamlines", *lines)
    assert database.call(*add).stdout == "Atlas 'made': added. Next: vbn populate\n"
    assert "exists already" in database.call(*add).stdout
    refused = database.call(*add[:-2], *reversed(lines), check=False)
    assert refused.returncode == 1
    assert "has no whole numbers 'volume lookup flat'" in refused.stderr
    assert database.json("populate", "--table", "ChannelLayer") == {"done": 2, "failures": []}
    database.connect()
    return database, path


def test_channels_have_the_layers_of_their_voxels(with_layers: tuple[Any, Path]) -> None:
    _, path = with_layers
    channels = fetch_frame(ecephys.Recording.Channel())
    wanted = site_layers(channels, read_volume(path)).set_index(channels["channel_id"])
    found = fetch_frame(ecephys.ChannelLayer.Channel()).set_index("channel_id").loc[wanted.index]
    assert set(found["cortical_layer"].dropna()) >= set(LAYERS)
    for name in ("ccf_structure_id", "ccf_area", "cortical_layer"):
        both = [
            frame[name].astype(object).where(frame[name].notna(), None).tolist() for frame in (found, wanted)
        ]
        assert both[0] == both[1], name
    masters = fetch_frame(ecephys.ChannelLayer())
    assert masters["n_layered_channels"].sum() == wanted["cortical_layer"].isin(LAYERS).sum()


def test_units_are_chosen_by_the_layer_of_their_peak_channel(with_layers: tuple[Any, Path]) -> None:
    database, _ = with_layers
    layers = fetch_frame(queries.unit_layers()).set_index("unit_id")["cortical_layer"]
    channels = fetch_frame(ecephys.ChannelLayer.Channel()).set_index("channel_id")["cortical_layer"]
    peaks = fetch_frame(ecephys.Recording.Unit.proj("peak_channel_id")).set_index("unit_id")[
        "peak_channel_id"
    ]
    assert layers.sort_index().tolist() == channels.loc[peaks.sort_index()].tolist()
    for wanted, among in (
        ("2/3", ["2/3"]),
        ("6", ["6a", "6b"]),
        (["1", "5"], ["1", "5"]),
        ("none", ["none"]),
    ):
        found = sorted(queries.units(cortical_layer=wanted).to_arrays("unit_id").tolist())
        assert found == sorted(layers.index[layers.isin(among)]), wanted
    printed = database.call("query", "units", "--layer", "6", "--format", "csv")
    assert len(printed.stdout.splitlines()) == 1 + layers.isin(["6a", "6b"]).sum()
    with pytest.raises(SettingError, match=r"no layer '2'. There are: 1, 2/3"):
        queries.units(cortical_layer="2")
    with pytest.raises(NotFoundError, match=r"'mad'.*made"):
        queries.units(cortical_layer="4", atlas="mad")


def test_distances_from_the_pia_are_those_of_vertical_lines(with_layers: tuple[Any, Path]) -> None:
    database, _ = with_layers
    channels = fetch_frame(ecephys.ChannelLayer.Channel * ecephys.Recording.Channel & {"atlas": "made"})
    inside = channels[channels["cortical_layer"].isin(LAYERS) & ~channels["layer_is_snapped"]]
    height = inside["dorsal_ventral_ccf_coordinate"].astype(float)
    np.testing.assert_allclose(inside["streamline_distance"], (height - 50).clip(0, 7900))
    assert (inside["streamline_length"] == 7900).all()
    assert (inside["pia_distance"] >= inside["streamline_distance"]).all()
    names = ["pia_distance", "streamline_distance", "streamline_length"]
    assert channels.drop(inside.index)[names].isna().all(axis=None)
    median = float(inside["streamline_distance"].median())
    near = set(inside.loc[inside["streamline_distance"] < median, "channel_id"])
    units = fetch_frame(ecephys.Recording.Unit.proj("peak_channel_id"))
    printed = database.call(
        *("query", "units", "--columns", "unit_id,streamline_distance"),
        *("--where", f"streamline_distance < {median!r}", "--atlas", "made", "--format", "csv"),
    )
    assert len(printed.stdout.splitlines()) == 1 + units["peak_channel_id"].isin(near).sum()
    assert set(names) <= set(queries.columns("pia")["column"]) | set(queries.columns("streamline")["column"])


def test_an_atlas_that_is_away_or_another_is_said_and_harms_nothing(
    with_layers: tuple[Any, Path], open_folder: Path
) -> None:
    database, first = with_layers
    path = made_annotation(open_folder, shift=1)
    database.call("atlas", "add", "other", path)
    path.write_bytes(made_annotation(open_folder, shift=2).read_bytes())
    populate = ("populate", "--table", "ChannelLayer")
    for words in ("it is not the volume that the atlas was entered with", "is not on this machine"):
        done = database.json(*populate, check=False)
        assert done["failures"] == []
        assert [words in given["error"] for given in done["given_back"]] == [True] * 2
        path.unlink(missing_ok=True)
    made_annotation(open_folder, shift=1)
    assert database.json(*populate) == {"done": 2, "failures": []}
    other = ecephys.ChannelLayer.Channel & {"atlas": "other"}
    assert len(other & "pia_distance IS NOT NULL OR streamline_distance IS NOT NULL") == 0
    with pytest.raises(NotFoundError, match="several atlases"):
        queries.units(cortical_layer="4")
    refused = database.call("atlas", "add", "third", Path(__file__), check=False)
    assert refused.returncode == 1
    assert "neither NRRD nor an array" in refused.stderr
    assert len(ecephys.AtlasParams()) == 2
    assert first.exists()


def test_a_database_of_before_the_distances_is_upgraded(
    with_layers: tuple[Any, Path], shared_database: Any
) -> None:
    """Changes 13 and 14: rows stay, atlases keep their hashes, columns are described as in a new database."""
    names = ("pia_distance", "streamline_distance", "streamline_length")
    peaks = [f"bennett_2025_{kind}_peak_evoked" for kind in ("image", "omission", "change")]

    def described(database: Any) -> list[tuple[Any, ...]]:
        database.connect()
        of = (
            ecephys.ChannelLayer.Channel.heading.attributes,
            responses.PublishedResponse.Unit.heading.attributes,
        )
        columns = [of[0][name] for name in names] + [of[1][name] for name in peaks]
        return [(each.name, each.type, each.comment, each.nullable) for each in columns]

    database, path = with_layers
    database.connect()
    plain = describe_atlas(path)
    ecephys.AtlasParams.add("plain", plain)
    rows = database.contents()["ecephys.__channel_layer"]
    bound = open_database(database.prefix)
    channels = StoredTable(bound, "ecephys", "__channel_layer__channel")
    channels.drop(*names)
    later = ("streamlines", "streamlines_blake2b", "surface", "surface_blake2b")
    atlases = StoredTable(bound, "ecephys", "#atlas_params")
    assert "plain" in atlases.change_contents(lambda _name, held: [held.pop(name) for name in later])
    sets = StoredTable(bound, "responses", "#published_response_params")
    sets.change_contents(lambda _name, held: held.pop("peak_over"))
    units = StoredTable(bound, "responses", "__published_response__unit")
    units.describe(peaks[0], BLOB, "(Hz) float64, greatest response to one flash less gray", nullable=False)
    for name in peaks[1:]:
        units.describe(name, FLOAT, "(Hz) greatest response to one of them less gray")
    migrations = f'"{database.prefix}administration"."migration"'
    database.server.query(f"DELETE FROM {migrations} WHERE migration >= 13")
    said = database.vbn("deploy").stdout
    assert "Change 13 of the layout" in said
    assert "Change 14 of the layout" in said
    assert described(database) == described(shared_database)
    assert "are up to date" in database.vbn("deploy", "--check").stdout
    database.connect()
    assert database.contents()["ecephys.__channel_layer"] == rows
    assert ecephys.AtlasParams.get("plain") == plain
    assert not ecephys.AtlasParams.add("plain", plain)
    assert responses.PublishedResponseParams.get("bennett_2025").peak_over == "flashes"
    assert not responses.PublishedResponseParams.add("bennett_2025", PublishedResponseParameters())
    assert len(ecephys.ChannelLayer.Channel() & "pia_distance IS NOT NULL") == 0


SINK_DEPTH_UM = 200.0


def with_sink(source: Path, target: Path, surface_um: float) -> Path:
    """A copy of an LFP file with a sink at a known depth below the surface of cortex."""
    shutil.copy(source, target)
    with h5py.File(target, "r+") as file:
        density = file["processing/current_source_density/ecephys_csd"]
        times = density["current_source_density/timestamps"][:]
        sites = density["virtual_electrode_y_positions"][:]
        background = 0.01 * np.random.default_rng(0).standard_normal((times.size, sites.size))
        place = np.exp(-(((sites - surface_um + SINK_DEPTH_UM) / 60) ** 2))
        density["current_source_density/data"][...] = background + np.outer(
            np.exp(-(((times - 0.05) / 0.005) ** 2)), place
        )
    return target


def test_layer_4_by_its_sink_stands_beside_the_layers_of_the_atlas(
    make_database: Callable[..., Any], lfp_file: Path, open_folder: Path
) -> None:
    database = make_database()
    database.call("register", next(lfp_file.parent.glob("ecephys_session_*.nwb")))
    database.call("populate", "--table", "Recording")
    database.connect()
    assert queries.layer4_sinks().empty
    with h5py.File(lfp_file) as file:
        probe = {"probe_id": int(file["identifier"][()])}
    sites = ecephys.Recording.Channel * ecephys.Recording.Probe & probe
    areas = ", ".join(f"'{name}'" for name in VISUAL_AREAS)
    surface = float(max((sites & f"structure_acronym IN ({areas})").to_arrays("probe_vertical_position")))
    database.call("register", with_sink(lfp_file, open_folder / "probe_with_sink_lfp.nwb", surface))
    assert database.json(
        "populate", "--table", "Lfp", "--table", "CurrentSourceDensity", "--table", "Layer4Sink"
    ) == {
        "done": 3,
        "failures": [],
    }
    database.connect()
    alone = queries.layer4_sinks()
    assert "cortical_layer" not in alone
    database.call("atlas", "add", "made", made_annotation(open_folder, shift=3))
    database.connect()
    assert queries.layer4_sinks()["in_layer_4"].isna().all()  # no layer is computed yet: that is not a no
    database.call("populate", "--table", "ChannelLayer")
    database.connect()
    (row,) = queries.layer4_sinks().to_dict("records")
    assert row["cortex_surface"] == surface
    assert abs(row["layer4_sink_depth"] - SINK_DEPTH_UM) <= 40  # the sites' distance
    assert abs(row["layer4_sink_time"] - 0.05) < 0.003
    layers = fetch_frame(ecephys.ChannelLayer.Channel * sites)
    near = layers.loc[(layers["probe_vertical_position"] - row["layer4_sink_position"]).abs().idxmin()]
    assert (row["cortical_layer"], row["cortical_depth"]) == (
        near["cortical_layer"],
        near["cortical_depth"],
    ) or (row["cortical_layer"] == near["cortical_layer"] and np.isnan(row["cortical_depth"]))
    assert row["in_layer_4"] == (near["cortical_layer"] == "4")
    middle = layers.loc[layers["cortical_layer"] == "4", "probe_vertical_position"].median()
    assert row["from_ccf_layer_4"] == pytest.approx(row["layer4_sink_position"] - middle, nan_ok=True)
    assert alone["layer4_sink_position"].tolist() == [row["layer4_sink_position"]]
