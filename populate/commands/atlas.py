"""``vbn atlas``."""

from pathlib import Path

import click

from populate.commands.whole_sentences import WholeSentences

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.group("atlas", cls=WholeSentences)
def command() -> None:
    """Enter volumes of the Allen CCF, from which channels get their cortical layers.

    The volumes are the Allen Institute's, with its terms of use; none is part of this package. They are
    annotation_25.nrrd or annotation_10.nrrd, for depths laplacian_10.nrrd, and for distances from the pia
    surface_paths_10_v3.h5 with closest_surface_voxel_lookup.h5, from
    https://download.alleninstitute.org/informatics-archive/current-release/mouse_ccf/

    \b
    Example:
      vbn atlas fetch ccf_2017 --folder atlas
      vbn populate --table ChannelLayer
    """


@command.command("add")
@click.argument("name")
@click.argument("annotation", type=_FILE)
@click.option("--depths", type=_FILE, help="Volume of relative depths, such as laplacian_10.nrrd.")
@click.option(
    "--streamlines",
    type=_FILE,
    nargs=2,
    metavar="PATHS LOOKUP",
    help="Lines from the pia to the white matter: surface_paths_10_v3.h5 closest_surface_voxel_lookup.h5.",
)
@click.option(
    "--resolution", type=float, metavar="UM", help="Edge of a voxel, if the shape is of no published volume."
)
def add_atlas(
    name: str,
    annotation: Path,
    depths: Path | None,
    streamlines: tuple[Path, Path] | None,
    resolution: float | None,
) -> None:
    """Check the volume ANNOTATION and enter it as the atlas NAME.

    The file stays where it is. Other machines find it by its root, as they find sessions.

    \b
    Example:
      vbn atlas add ccf_2017 annotation_25.nrrd --depths laplacian_10.nrrd
    """
    _enter(name, annotation, depths, streamlines, resolution)


@command.command("fetch")
@click.argument("name")
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Where to write the files.",
)
@click.option(
    "--resolution",
    type=click.Choice(["10", "25", "50", "100"]),
    default="25",
    show_default=True,
    help="Edge of a voxel, um.",
)
@click.option("--depths", is_flag=True, help="Relative depths as well, at 10 um, a larger file.")
@click.option("--streamlines", is_flag=True, help="Lines from the pia, at 10 um: two files of 0.7 GB.")
@click.option("--source", metavar="URL", help="Folder of a mirror, by default the Allen Institute's.")
def fetch_atlas(
    name: str, folder: Path, resolution: str, depths: bool, streamlines: bool, source: str | None
) -> None:
    """Download volumes of the Allen CCF (2017) and enter them as the atlas NAME.

    A volume gets its name in the folder when its shape, type, ids of layers and the symmetry of its
    hemispheres were found to be those of one. Files that are there are not downloaded again,
    and an interrupted download goes on where it was. By this command
    you accept the Allen Institute's terms of use: non-commercial, with citation.

    \b
    Example:
      vbn atlas fetch ccf_2017 --folder atlas --depths
    """
    from populate.registration import atlas_files

    source = source or atlas_files.ALLEN_CCF
    _enter(
        name,
        atlas_files.fetch_annotation(folder, float(resolution), source),
        atlas_files.fetch_depths(folder, source) if depths else None,
        atlas_files.fetch_streamlines(folder, source) if streamlines else None,
        None,
    )


def _enter(
    name: str,
    annotation: Path,
    depths: Path | None,
    streamlines: tuple[Path, Path] | None,
    resolution: float | None,
) -> None:
    """Check volumes, enter them, and say so."""
    import schemas
    from schemas import ecephys
    from schemas.files.atlas import describe_atlas

    schemas.connect()
    atlas = describe_atlas(annotation, depths, streamlines, resolution_um=resolution)
    added = ecephys.AtlasParams.add(name, atlas)
    click.echo(f"Atlas '{name}': " + ("added. Next: vbn populate" if added else "exists already."))
