"""``vbn release``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from populate.commands.options import AREA, json_option, listed_option, sessions_option
from populate.commands.whole_sentences import WholeSentences

if TYPE_CHECKING:
    from collections.abc import Callable

    from vbn.release import Release, Selection


@click.group("release", cls=WholeSentences)
def command() -> None:
    """List and download the Allen Institute's public release, or a mirror of it.

    The files are laid out as in AllenSDK's cache: both can use the same folder.

    \b
    Example:
      vbn release list --experience Novel --structure VISp --cache /data/allen
      vbn release get --session 1053941483 --cache /data/allen
      vbn register /data/allen --catalogue /data/allen/visual-behavior-neuropixels-0.5.0
    """


def _options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options for the release and the sessions."""
    options = (
        click.option(
            "--cache",
            type=click.Path(path_type=Path, file_okay=False),
            required=True,
            help="Folder for the files.",
        ),
        click.option(
            "--from-url", "source", help="Mirror (URL or folder) instead of the Allen Institute's bucket."
        ),
        click.option("--version", help="Version of the release.  [default: the newest]"),
        sessions_option(),
        listed_option("--mouse", "mice", help="Only this mouse"),
        listed_option("--experience", help="Familiar or Novel"),
        listed_option(
            "--structure",
            "structures",
            aliases=AREA,
            help="Only sessions with units in this structure, VIS* for all of visual cortex",
        ),
        click.option(
            "--kind",
            "kinds",
            type=click.Choice(["recording", "behavior_only"]),
            multiple=True,
            help="Kind of session.",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


def _release(source: str | None, cache: Path, version: str | None) -> Release:
    from vbn.release import BUCKET_URL, Release

    return Release(source or BUCKET_URL, cache, version=version)


def _selection(criteria: dict[str, Any]) -> Selection:
    from vbn.release import Selection

    return Selection(**criteria)


@command.command("list")
@_options
@json_option()
def list_sessions(
    cache: Path, source: str | None, version: str | None, as_json: bool, **criteria: Any
) -> None:
    """List the sessions of the release that meet the criteria."""
    from populate.output.as_json import print_json
    from populate.output.rendering import aligned_lines

    release = _release(source, cache, version)
    chosen = release.choose(_selection(criteria))
    if release.absent_table is not None:
        known = "only the file names of the sessions are known."
        click.echo(f"vbn: {known} {release.absent_table}", err=True)
    if as_json:
        print_json(chosen)
        return
    columns = [
        name
        for name in ("session_id", "kind", "mouse_id", "experience_level", "session_type", "genotype")
        if name in chosen and chosen[name].notna().any()
    ]
    for line in aligned_lines(chosen[columns]):
        click.echo(line)
    click.echo(f"{len(chosen)} sessions of version {release.manifest.version}.")


@command.command("info")
@_options
@click.option("--lfp", is_flag=True, help="Count the LFP files too.")
@json_option()
def info(
    cache: Path, source: str | None, version: str | None, lfp: bool, as_json: bool, **criteria: Any
) -> None:
    """Show the size of a download: files, bytes, and what is present already."""
    from populate.output.as_json import print_json
    from vbn.release import missing_bytes

    release = _release(source, cache, version)
    plan = release.plan(_selection(criteria), lfp=lfp)
    total, missing = sum(job.size_bytes for job in plan), missing_bytes(plan)
    if as_json:
        found = {"version": release.manifest.version, "folder": release.cache.data_folder}
        print_json({**found, "files": len(plan), "size_bytes": total, "missing_bytes": missing})
        return
    click.echo(
        f"version {release.manifest.version}: {len(plan)} files, {total / 1e9:.2f} GB, of which "
        f"{missing / 1e9:.2f} GB are missing, in {release.cache.data_folder}"
    )


@command.command("get")
@_options
@click.option("--lfp", is_flag=True, help="Include the LFP files.")
@click.option("--no-files", is_flag=True, help="Leave out session files (with --lfp: LFP files only).")
@click.option(
    "--tables/--no-tables", default=True, show_default=True, help="All CSV tables, as AllenSDK needs them."
)
@click.option(
    "--workers",
    type=click.IntRange(1, 16),
    default=4,
    show_default=True,
    help="Number of simultaneous downloads.",
)
def get(
    cache: Path,
    source: str | None,
    version: str | None,
    lfp: bool,
    no_files: bool,
    tables: bool,
    workers: int,
    **criteria: Any,
) -> None:
    """Download files. Run again, it continues where it stopped; the hash of every file is checked."""
    import sys

    from tqdm import tqdm

    from vbn.release import Progress

    release = _release(source, cache, version)
    plan = release.plan(_selection(criteria), files=not no_files, lfp=lfp, tables=tables)
    done: dict[Path, int] = {}
    total = sum(job.size_bytes for job in plan)
    with tqdm(total=total, unit="B", unit_scale=True, disable=not sys.stderr.isatty()) as bar:

        def show(progress: Progress) -> None:
            if progress.status == "downloading":
                done[progress.download.target] = progress.done_bytes
            elif progress.status != "checking":
                done[progress.download.target] = progress.download.size_bytes
            bar.set_description(progress.download.target.name)
            bar.update(sum(done.values()) - bar.n)

        results = release.download(plan, workers=workers, progress=show)
    failed = [result for result in results if result.error]
    for result in failed:
        click.echo(f"vbn: {result.error}", err=True)
    fetched = sum(result.status == "downloaded" for result in results)
    there = len(results) - fetched - len(failed)
    counts = f"{fetched} files downloaded, {there} were present, {len(failed)} failed"
    click.echo(f"{counts}: {release.cache.data_folder}")
    if failed:
        raise SystemExit(1)
