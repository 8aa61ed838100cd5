"""``vbn admin``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from populate.commands.options import json_option
from populate.commands.whole_sentences import WholeSentences


@click.group("admin", cls=WholeSentences)
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

    An account with a space of its own is refused, until the space is handed over or dropped.

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
    """List the accounts and their roles.

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


_QUOTA = click.option(
    "--quota",
    metavar="SIZE",
    help="How large each may become, such as 5GB (vbn admin spaces --enforce).  [default: any size]",
)
_YES = click.option("--yes", is_flag=True, help="Do not ask.")


@command.command("create-space")
@click.argument("account")
@_QUOTA
def make_space(account: str, quota: str | None) -> None:
    """Make a schema for tables of ACCOUNT's own, such as vbn_space_ada, which everybody may read.

    Its tables may refer to the lab's. Run again, it grants everything anew, and changes the quota.

    \b
    Example:
      vbn admin create-space ada --quota 5GB
    """
    import schemas
    from populate.admin import spaces

    size = spaces.quota_bytes(quota) if quota else None
    database = schemas.connect()
    name = spaces.create_space(database, account, quota=size)
    click.echo(f'{name}: the space of {account}. In Python: schemas.connect(); dj.Schema("{name}")')
    _say_if_closed(spaces.space_named(database, name))


@command.command("hand-over-space")
@click.argument("name")
@click.option("--to", required=True, help="The account that gets it.")
def give_space(name: str, to: str) -> None:
    """Give the space NAME, or that of the account NAME, to another account, with all its tables.

    \b
    Example:
      vbn admin hand-over-space ada --to bob
    """
    import schemas
    from populate.admin import spaces

    database = schemas.connect()
    full = spaces.hand_over_space(database, name, to)
    click.echo(f"{full}: the space of {to} now.")
    _say_if_closed(spaces.space_named(database, full))


@command.command("drop-space")
@click.argument("name")
@_YES
def remove_space(name: str, yes: bool) -> None:
    """Drop the space NAME, or that of the account NAME, with all its tables and rows.

    \b
    Example:
      vbn admin drop-space ada
    """
    import schemas
    from populate.admin import spaces

    database = schemas.connect()
    state = spaces.space_named(database, name)
    _confirm(_line(state), yes=yes)
    click.echo(f"{spaces.drop_space(database, state.name)}: dropped.")


@command.command("spaces")
@click.option(
    "--enforce",
    is_flag=True,
    help="Take the right to add from owners of spaces that are too large; give it back to the others.",
)
@json_option()
def list_spaces(enforce: bool, as_json: bool) -> None:
    """List the spaces: owner, tables, size and quota.

    With --enforce, the owner of a space that has become larger than its quota may read, delete and drop in
    it, and add nothing, until it is smaller or may be larger. Run it now and then, as an admin.

    \b
    Examples:
      vbn admin spaces
      vbn admin spaces --enforce
    """
    import schemas
    from populate.admin import space_quotas, spaces
    from populate.output.as_json import print_json
    from vbn.visible import visible

    database = schemas.connect()
    rulings = space_quotas.enforce(database) if enforce else []
    for ruling in rulings:
        if ruling.is_news:
            said = _SAID[ruling.became].format(owner=ruling.owner, problem=ruling.problem)
            if ruling.problem and ruling.problem not in said:
                said += f" {ruling.problem}"
            click.echo(f"{ruling.space}: {visible(said)}", err=True)
    found = spaces.spaces(database)
    if as_json:
        print_json(found)
    else:
        for state in found:
            click.echo(_line(state))
        if not found:
            click.echo("No spaces yet. Make one with: vbn admin create-space ACCOUNT")
    if any(ruling.problem for ruling in rulings):
        raise SystemExit(1)


_SAID = {
    "closed": "too large: {owner} can only read, delete and drop in it now.",
    "opened": "small enough: {owner} can add to it again.",
    "gone": "no schema of this name is there: vbn admin drop-space forgets it, create-space makes it anew.",
    "without its owner's account": "there is no account '{owner}': make it, then vbn admin create-space "
    "{owner}, or hand the space over.",
    "unknown": "its quota was not enforced, as the server says: {problem}. The rights of {owner} are as they "
    "were; the next run tries again.",
}
"""What became of a space that an admin should know -> words."""


@command.command("create-course")
@click.argument("name")
@click.option(
    "--people", required=True, metavar="NUMBER|FILE", help="How many, or a file of names, one a line."
)
@click.option(
    "--write-passwords",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="Write names, passwords and spaces as CSV to this new file, which only you may read.",
)
@_QUOTA
def make_course(name: str, people: str, write_passwords: Path, quota: str | None) -> None:
    """Make a reader account with a space for each person of the course NAME.

    With a number, they are NAME-01, NAME-02 ... After an interruption, run it again with another file: it
    makes those that are missing, and gives all a new password.

    \b
    Example:
      vbn admin create-course summer-26 --people 20 --write-passwords summer-26.csv --quota 2GB
    """
    import schemas
    from populate.admin import spaces

    size = spaces.quota_bytes(quota) if quota else None
    names = spaces.people_of(people, name)
    made = spaces.create_course(schemas.connect(), name, names, quota=size)
    written = spaces.write_passwords(write_passwords, made)
    click.echo(f"{name}: {len(written)} accounts with spaces. Their passwords are in {write_passwords}.")


@command.command("drop-course")
@click.argument("name")
@_YES
def remove_course(name: str, yes: bool) -> None:
    """Drop the accounts of the course NAME, and their spaces with all tables and rows.

    \b
    Example:
      vbn admin drop-course summer-26
    """
    import schemas
    from populate.admin import spaces

    database = schemas.connect()
    people = spaces.course_people(name)
    _confirm(f"{name}: {len(people)} accounts with their spaces: {', '.join(people)}", yes=yes)
    gone = list(spaces.drop_course(database, name))
    click.echo(f"{name}: {len(gone)} accounts and spaces dropped.")


def _say_if_closed(state: Any) -> None:
    if state.closed_at:
        click.echo(f"{state.name}: {_SAID['closed'].format(owner=state.owner)}", err=True)


def _line(state: Any) -> str:
    """Return a space in a line."""
    from populate.work.quotas import described_size

    size = described_size(state.size_bytes)
    if state.quota_bytes is not None:
        size += f" of {described_size(state.quota_bytes)}" + (", TOO LARGE" if state.is_too_large else "")
    size += f", closed since {state.closed_at:%Y-%m-%d %H:%M} UTC" if state.closed_at else ""
    course = f", course {state.course}" if state.course else ""
    tables = f"{state.n_tables} table{'s' * (state.n_tables != 1)}"
    return f"{state.name}  {state.owner}{course}: {tables}, {size}"


def _confirm(what: str, *, yes: bool) -> None:
    """Raise SettingError unless dropping is confirmed."""
    from vbn.errors import SettingError

    click.echo(what, err=True)
    try:
        confirmed = yes or click.confirm("Drop all of this for good?", err=True)
    except click.Abort:
        confirmed = False
    if not confirmed:
        raise SettingError("Nothing was dropped.")
