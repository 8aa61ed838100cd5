"""``vbn serve``."""

from pathlib import Path

import click

from populate.commands.module_option import module_option


@click.command("serve")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), default=5006, show_default=True, help="Port.")
@click.option(
    "--origin",
    "origins",
    multiple=True,
    envvar="VBN_ORIGINS",
    show_envvar=True,
    metavar="NAME:PORT",
    help="Name of the page behind a proxy or tunnel, as in the browser's address; may be repeated.",
)
@click.option(
    "--backup", "backups", multiple=True, envvar="VBN_BACKUP", show_envvar=True,
    type=click.Path(path_type=Path), help="Folder of backups, for /metrics; may be repeated.",
)  # fmt: skip
@click.option(
    "--save-lists",
    is_flag=True,
    help="Let you, and nobody else, save named lists on the page.",
)
@click.option("--open/--no-open", "opens", default=False, show_default=True, help="Open a browser.")
@module_option
def command(
    host: str,
    port: int,
    origins: tuple[str, ...],
    backups: tuple[Path, ...],
    save_lists: bool,
    opens: bool,
) -> None:
    """Show the database in a browser: status, sessions, all units by any column, figures, import issues.

    Read-only, but for --save-lists: a reader's account suffices. Ctrl-C stops it.

    \b
    Examples:
      vbn serve --open
      vbn serve --port 8080
      vbn serve --save-lists --open
    """
    import contextlib
    import importlib.util

    from vbn.errors import SettingError

    if importlib.util.find_spec("panel") is None:
        raise SettingError("The page needs Panel. Run: pip install 'vbn-datajoint[serve]'")
    from populate.page.save_key import private_way
    from populate.page.server import is_local, serve
    from schemas.server.published import require_database

    if not is_local(host):
        click.echo(
            f"vbn: warning: whoever reaches this machine at {host}:{port} can read the database "
            "without a password. An SSH tunnel needs no --host (docs/page.md).",
            err=True,
        )

    if save_lists:
        require_database("save lists in it")

    def announce(url: str, database: str, to_save: str) -> None:
        click.echo(f"{url}  shows the {database}. Ctrl-C stops it.")
        if to_save:
            click.echo(f"{to_save}  the same, where you can save lists. Keep this address to yourself.")
        if opens:
            click.launch(until_the_end.enter_context(private_way(to_save)) if to_save else url)

    with contextlib.ExitStack() as until_the_end:
        serve(host, port, origins, announce, backups, save_lists=save_lists)
