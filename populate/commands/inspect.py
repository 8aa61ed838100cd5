"""``vbn inspect``."""

from pathlib import Path

import click

from populate.commands.options import json_option, rig_options


@click.command("inspect")
@click.argument("paths", nargs=-1, required=True)
@click.option(
    "--catalogue",
    type=click.Path(path_type=Path),
    help="Folder with the release's CSV tables, which are entered first.",
)
@rig_options
@click.option("--import-only", is_flag=True, help="Leave out what is computed: seconds instead of minutes.")
@json_option()
def command(
    paths: tuple[str, ...],
    catalogue: Path | None,
    mapping: Path | None,
    metadata: Path | None,
    import_only: bool,
    as_json: bool,
) -> None:
    """Report what NWB files would become in the database, without entering anything.

    The files are registered and populated in a private database, which is removed at the end; yours is not
    touched, nor asked. Each file's report says what the release's files hold and it lacks, its issues (see
    docs/issues.md), which tables fail and which are lost with them, and which stay empty. The exit status
    is 1 if a file would be refused, or a table would fail.

    \b
    Example:
      vbn inspect /data/rig/session_1.nwb
      vbn inspect /data/rig --import-only --json
      vbn inspect /data/rig/session_1.nwb --mapping rig.toml
    """
    from populate.output.as_json import print_json
    from populate.registration.inspection import inspect_files, report_lines
    from vbn.visible import visible

    reports = inspect_files(paths, catalogue, import_only=import_only, mapping=mapping, metadata=metadata)
    if as_json:
        print_json(reports)
    else:
        for report in reports:
            click.echo(visible(report.path))
            for line in report_lines(report):
                click.echo(f"  {visible(line)}")
    if not all(report.is_good for report in reports):
        raise SystemExit(1)
