"""``vbn admin``."""

from pathlib import Path

import click

from populate.commands.options import json_option


@click.group("admin")
def command() -> None:
    """Set up a lab's server and its accounts."""


@command.command("init")
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=".",
    show_default=True,
    help="Clone of the repository, or an empty folder.",
)
@click.option("--data", type=click.Path(path_type=Path), help="Folder of the NWB files.  [default: data]")
@click.option("--store", type=click.Path(path_type=Path), help="Folder for the arrays.  [default: store]")
def init(folder: Path, data: Path | None, store: Path | None) -> None:
    """Prepare a clone for docker compose: random passwords in secrets/, settings in .env.

    An empty folder gets the files that compose needs from the installed package. Needs no database. Run
    again at any time: existing files are kept.

    \b
    Example:
      vbn admin init --data /mnt/vbn
      docker compose up -d --build --scale worker=4
    """
    from populate.admin.stack import prepare

    done = prepare(folder, data=data, store=store)
    for word, paths in (("made", done.made), ("kept", done.kept)):
        for path in paths:
            click.echo(f"{word}  {path}")
    step = "docker compose up -d --build --scale worker=2"
    click.echo(f"Next{'' if folder == Path() else f', in {folder}'}: {step}")


@command.command("create-user")
@click.argument("name")
@click.option(
    "--role", type=click.Choice(("reader", "worker", "admin")), required=True, help="What it may do."
)
@click.option(
    "--password-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File that holds the password.  [default: a random one, which is printed]",
)
@click.option(
    "--write-password",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the random password to this new file, which only you may read, instead of printing it.",
)
@click.option("--host", default="", help="MySQL: from where it may connect.  [default: %, anywhere]")
@click.option("--replace", is_flag=True, help="Give an existing account this password and role.")
def create_user(
    name: str, role: str, password_file: Path | None, write_password: Path | None, host: str, replace: bool
) -> None:
    """Create the account NAME, a reader, worker or admin.

    Readers select everything and change nothing. Workers also fill the imported and computed tables.
    Admins register, deploy, delete and create accounts. Run again with --replace for another password.

    \b
    Examples:
      vbn admin create-user ann --role reader
      vbn admin create-user worker --role worker --password-file /run/secrets/worker_password --replace
    """
    import schemas
    from populate.admin import accounts

    if password_file and write_password:
        raise click.UsageError("Give --password-file or --write-password, not both.")
    password = accounts.read_password(password_file) if password_file else accounts.new_password()
    database = schemas.connect()
    with accounts.password_written_to(write_password, password):
        accounts.create_account(database, name, role, password, host=host, replace=replace)
    click.echo(f"{name}: {role} on the {database}.", err=True)
    if write_password:
        click.echo(f"Its password is in {write_password}.", err=True)
    elif not password_file:
        click.echo(password)


@command.command("drop-user")
@click.argument("name")
def drop_user(name: str) -> None:
    """Remove the account NAME. What it created stays, and its open connections stay open.

    \b
    Example:
      vbn admin drop-user ann
    """
    import schemas
    from populate.admin.accounts import drop_account

    drop_account(schemas.connect(), name)
    click.echo(f"{name}: removed.")


@command.command("users")
@json_option()
def users(as_json: bool) -> None:
    """List the accounts and their accounts.

    \b
    Example:
      vbn admin users
    """
    import schemas
    from populate.admin.accounts import list_accounts
    from populate.output.as_json import print_json

    accounts = list_accounts(schemas.connect())
    if as_json:
        print_json(accounts)
        return
    for account in accounts:
        click.echo(f"{account.name:<32} {account.role:<7} {account.host}".rstrip())
    if not accounts:
        click.echo("No accounts yet. Create one with: vbn admin create-user NAME --role reader")
