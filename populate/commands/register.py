"""``vbn register``."""

from dataclasses import replace as replace_of
from pathlib import Path

import click

from populate.commands.options import json_option, rig_options, sessions_option


@click.command("register")
@click.argument("paths", nargs=-1)
@click.option(
    "--release",
    "version",
    metavar="VERSION",
    help="The public release's sessions, read from its bucket when needed; newest is the newest version.",
)
@click.option("--from-url", "source", help="Mirror (URL or folder) instead of the Allen Institute's bucket.")
@sessions_option("With --release: only this session")
@click.option("--lfp", is_flag=True, help="With --release: the LFP files, too.")
@click.option(
    "--catalogue",
    type=click.Path(path_type=Path),
    help="Folder with the release's CSV tables, which are entered first.",
)
@rig_options
@click.option(
    "--project",
    metavar="NAME",
    help="Data set that the files belong to.  [default: vbn-release, or the mapping's]",
)
@click.option("--replace", is_flag=True, help="Replace a registered file by one with different content.")
@json_option("Print one JSON object per file.")
def command(
    paths: tuple[str, ...],
    version: str | None,
    source: str | None,
    sessions: tuple[int, ...],
    lfp: bool,
    catalogue: Path | None,
    mapping: Path | None,
    metadata: Path | None,
    project: str | None,
    replace: bool,
    as_json: bool,
) -> None:
    """Register NWB files: PATHS, folders that contain them, URLs, or the public release where it is.

    Recordings, behavior-only sessions and LFP files are distinguished by their content. Registering a file
    again changes nothing; different content under the same session id is an error, unless --replace is given:
    then the results of the old file become stale, and vbn recompute replaces them.

    With --catalogue the release's tables are entered before the files, as by vbn catalogue. Otherwise
    sessions get what tables entered earlier contain about them.

    With --release nothing is downloaded but the release's tables (into VBN_HOME): files have the manifest's
    hashes, and workers read the parts that they import from the web.

    Files of another rig are read by a mapping of their names, see docs/rig.md. It is stored with the session,
    so that workers read the file in the same way.

    \b
    Example:
      vbn register /data/vbn/behavior_ecephys_sessions --catalogue /data/vbn/project_metadata
      vbn register /data/rig --mapping rig.toml --metadata sessions.csv
      vbn register --release 0.5.0 --session 1053941483
    """
    from collections import Counter

    import schemas
    from populate.output.as_json import print_json
    from populate.registration.catalogue import enter
    from populate.registration.catalogue_tables import ReleaseTables
    from populate.registration.register import register
    from populate.registration.release import of_release
    from populate.registration.rig import Rig
    from vbn.visible import visible

    if bool(paths) == bool(version) or (version and (catalogue or mapping or metadata or project)):
        raise click.UsageError("Name files, or --release without tables, mapping or project.")
    if not version and (source or sessions or lfp):
        raise click.UsageError("--from-url, --session and --lfp choose what of --release is registered.")
    rig = Rig.read(mapping, metadata, project)
    schemas.connect()
    if version:
        catalogue, files = of_release(version, source, sessions, lfp)
        rig, paths = replace_of(rig, hashes=files), tuple(files)
    counts: Counter[str] = Counter()
    entered = enter(ReleaseTables.read(catalogue)) if catalogue else None
    problems = dict.fromkeys(map(str, entered.problems)) if entered else {}
    for outcome in register(paths, entered, replace=replace, rig=rig):
        counts[outcome.status] += 1
        if as_json:
            entry = {"path": str(outcome.path), "status": outcome.status, "session_id": outcome.session_id}
            print_json({**entry, "message": outcome.message}, indent=None)
        elif outcome.status == "failed":
            click.echo(f"vbn: {outcome.message}", err=True)
            problems.pop(outcome.message, None)
        else:
            note = f" ({outcome.message})" if outcome.message else ""
            click.echo(f"{outcome.status:>10}  {outcome.session_id}  {visible(str(outcome.path))}{note}")
    for problem in problems:
        click.echo(f"vbn: {problem}", err=True)
    if not as_json:
        click.echo(", ".join(f"{number} {status}" for status, number in counts.items()) + ".")
    if counts["failed"] or (entered and entered.problems):
        raise SystemExit(1)
