"""``vbn atlas``."""

from pathlib import Path

import click

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.group("atlas")
def command() -> None:
    """Enter volumes of the Allen CCF, from which channels get their cortical layers.

    The volumes are the Allen Institute's, with its terms of use; none is part of this package. They are
    annotation_25.nrrd or annotation_10.nrrd, and for depths laplacian_10.nrrd, from
    https://download.alleninstitute.org/informatics-archive/current-release/mouse_ccf/

    \b
    Example:
      vbn atlas add ccf_2017 annotation_25.nrrd
      vbn populate --table ChannelLayer
    """


@command.command("add")
@click.argument("name")
@click.argument("annotation", type=_FILE)
@click.option("--depths", type=_FILE, help="Volume of relative depths, such as laplacian_10.nrrd.")
@click.option(
    "--resolution", type=float, metavar="UM", help="Edge of a voxel, if the shape is of no published volume."
)
def add_atlas(name: str, annotation: Path, depths: Path | None, resolution: float | None) -> None:
    """Check the volume ANNOTATION and enter it as the atlas NAME.

    The file stays where it is. Other machines find it by its root, as they find sessions.

    \b
    Example:
      vbn atlas add ccf_2017 annotation_25.nrrd --depths laplacian_10.nrrd
    """
    import schemas
    from schemas import ecephys
    from schemas.files.atlas import describe_atlas

    schemas.connect()
    added = ecephys.AtlasParams.add(name, describe_atlas(annotation, depths, resolution_um=resolution))
    click.echo(f"Atlas '{name}': " + ("added. Next: vbn populate" if added else "exists already."))
