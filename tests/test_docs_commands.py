"""The commands and the Python of the documentation do what the pages show.

A fenced block of a page says in an HTML comment right above it what becomes of it here:

``<!-- run -->``              its commands (after ``$``) or its Python are run; what is shown below a command
                              is compared with what it prints, where ``...`` stands for anything
``<!-- run: fails -->``       the same, and one of its commands must fail
``<!-- file: NAME -->``       it is written to the file NAME, for the commands that follow
``<!-- not run: REASON -->``  its commands are only checked: each exists, with these options

``<!-- page not run: REASON -->`` stands for all blocks of its page that say nothing. The page ``tutorial.md``
begins with nothing; the others go on with its data, in the order of the site. A ``text`` block right below
Python that is run shows what it prints.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest

from populate.output import rendering, terminal
from schemas.bases import lab

pytestmark = pytest.mark.files

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
COLUMNS = "100"
BLOCK = re.compile(
    r"(?:<!-- (?P<mark>run|run: fails|file: \S+|not run: .+?) -->\n+)?"
    r"^```(?P<language>\w+)\n(?P<text>.*?)^```$(?=(?:\n+```text\n(?P<output>.*?)^```$)?)",
    re.MULTILINE | re.DOTALL,
)
SHELL = re.compile(r"[$*~`]|^(?!vbn )")  # what takes a shell, besides what connects commands
PROGRAMS = ("vbn", "maintenance")  # the container `maintenance` runs vbn, too


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: str
    line: int
    language: str
    mark: str
    text: str
    output: str  # the `text` block right below, if any

    def commands(self) -> Iterator[tuple[str, str]]:
        """Yield each command of a console block with the output that is shown."""
        for piece in re.split(r"^\$ ", self.text, flags=re.MULTILINE)[1:]:
            command, _, output = piece.partition("\n")
            while command.endswith("\\"):
                more, _, output = output.partition("\n")
                command = command[:-1] + more
            yield command, output


def pages() -> list[Path]:
    """Return the pages in the order of the site, the readme last."""

    def files(entry: Any) -> Iterator[str]:
        if isinstance(entry, str):
            yield entry
        else:
            for value in entry.values() if isinstance(entry, dict) else entry:
                yield from files(value)

    nav = tomllib.loads((ROOT / "zensical.toml").read_text())["project"]["nav"]
    return [*(DOCS / name for name in files(nav)), ROOT / "README.md"]


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page."""
    text = page.read_text()
    everywhere = re.search(r"<!-- page (not run: .+?) -->", text)
    default = everywhere[1] if everywhere else ""
    return [
        Block(
            page.name,
            text.count("\n", 0, match.start("language")) + 1,
            match["language"],
            match["mark"] or default,
            match["text"],
            match["output"] or "",
        )
        for match in BLOCK.finditer(text)
    ]


def takes_a_shell(command: str) -> bool:
    """Whether a command is more than words, of which some may be in quotes."""
    words = shlex.shlex(command, posix=True, punctuation_chars=True)
    words.whitespace_split = True
    return bool(SHELL.search(command)) or any(not set(word) - set("();<>|&") for word in words)


def is_run(page: Path) -> bool:
    return any(block.mark.startswith(("run", "file")) for block in blocks(page))


ALL = [block for page in pages() for block in blocks(page)]
LATER = [page for page in pages() if is_run(page) and page.name != "tutorial.md"]


def test_every_page_is_in_the_navigation() -> None:
    assert {page.name for page in DOCS.glob("*.md")} == {page.name for page in pages()} - {"README.md"}


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.stem)
def test_every_block_of_commands_or_python_says_whether_it_is_run(page: Path) -> None:
    silent = [
        f"{page.name}:{block.line}"
        for block in blocks(page)
        if block.language in ("console", "python") and not block.mark and page.name != "README.md"
    ]
    assert silent == [], "put <!-- run --> or <!-- not run: REASON --> above these"


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.stem)
def test_the_commands_that_are_named_exist_with_their_options(page: Path) -> None:
    wrong = []
    for line, words, whole in _named_commands(page):
        try:
            parse_command(words, whole)
        except click.UsageError as error:
            wrong.append(f"{page.name}:{line}: vbn {shlex.join(words)}: {error.format_message()}")
    assert wrong == []


@pytest.mark.parametrize(
    "page", [page for page in pages() if page.name != "commands.md"], ids=lambda page: page.stem
)
def test_python_of_the_pages_compiles(page: Path) -> None:
    for block in blocks(page):
        if block.language == "python":
            compile(block.text, f"{block.page}:{block.line}", "exec")


def test_a_command_that_does_not_exist_would_be_noticed() -> None:
    for wrong in (
        "populat",
        "populate --tabel Recording",
        "admin create-user ann --role guest",
        "admin create-user",
    ):
        with pytest.raises(click.UsageError):
            parse_command(shlex.split(wrong), whole=True)
    parse_command(
        shlex.split("docker compose run --rm vbn admin create-user ann --role reader")[5:], whole=True
    )


def test_another_output_than_the_shown_one_would_be_noticed() -> None:
    block = Block("page.md", 1, "console", "run", "", "")
    _compare(block, "vbn", "2 of ... rows\n  kept", "2 of 30 rows\nkept\n")
    for printed in ("3 of 30 rows kept", "2 of 30 rows kept, 1 lost", "2 of 30 rows"):
        with pytest.raises(AssertionError, match="shown"):
            _compare(block, "vbn", "2 of ... rows kept", printed)


@pytest.fixture(scope="module")
def story(make_database: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """The tutorial, read to its end."""
    database = make_database()
    story = Story(database, tmp_path_factory.mktemp("docs"))
    story.read(DOCS / "tutorial.md")
    yield story
    own = f'"{database.prefix}ann"'  # of the page about tables of one's own
    database.server.query(f"DROP SCHEMA IF EXISTS {own} CASCADE")


def test_the_tutorial_does_what_it_shows(story: Story) -> None:
    assert (story.folder / "familiar_novel.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("page", LATER, ids=lambda page: page.stem)
def test_a_page_does_what_it_shows(page: Path, story: Story) -> None:
    story.read(page)
    for schema in lab.declared():
        lab.forget(schema)  # the page has dropped it, in another process


@dataclass
class Story:
    """A reader who types what the pages say, in one folder."""

    database: Any
    folder: Path

    def read(self, page: Path) -> None:
        names: dict[str, Any] = {}
        for block in blocks(page):
            if block.mark.startswith("file: "):
                (self.folder / block.mark.removeprefix("file: ")).write_text(block.text)
            elif block.mark.startswith("run") and block.language == "console":
                self._type(block)
            elif block.mark.startswith("run") and block.language == "python":
                printed = self._evaluate(block, names)
                if block.output:
                    _compare(block, "the Python above", block.output, printed)

    def _type(self, block: Block) -> None:
        codes = []
        for command, shown in block.commands():
            code, printed = self._run(command)
            codes.append(code)
            if shown.strip():
                _compare(block, command, shown, printed)
            if block.mark == "run":
                assert code == 0, f"{block.page}:{block.line}: {command}\n{printed}"
        assert any(codes) == (block.mark == "run: fails"), f"{block.page}:{block.line}: exit codes {codes}"

    def _run(self, command: str) -> tuple[int, str]:
        environment = {**self.database.environment, "COLUMNS": COLUMNS, "MPLBACKEND": "agg"}
        if takes_a_shell(command):
            environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
            done = subprocess.run(
                ["bash", "-c", command], cwd=self.folder, env=environment, capture_output=True, text=True,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip
        else:
            with contextlib.chdir(self.folder), pytest.MonkeyPatch.context() as patch:
                for module in (terminal, rendering):  # the pages show what people see
                    patch.setattr(module, "on_terminal", lambda: True)
                words = shlex.split(command, comments=True)[1:]
                done = self.database.call(*words, env=environment, check=False)
        return done.returncode, (done.stdout + done.stderr).replace(self.database.prefix, "vbn_")

    def _evaluate(self, block: Block, names: dict[str, Any]) -> str:
        self.database.connect()
        output = io.StringIO()
        with pytest.MonkeyPatch.context() as patch, contextlib.chdir(self.folder):
            for name, value in {**self.database.environment, "MPLBACKEND": "agg"}.items():
                patch.setenv(name, value)
            with contextlib.redirect_stdout(output):
                exec(compile(block.text, f"{block.page}:{block.line}", "exec"), names)
        return output.getvalue()


def _compare(block: Block, command: str, shown: str, printed: str) -> None:
    wanted = ".*".join(re.escape(" ".join(piece.split())) for piece in shown.split("..."))
    wanted = wanted.replace(r"\ .*", r".*").replace(r".*\ ", r".*")
    found = " ".join(printed.split())
    assert re.fullmatch(wanted, found), (
        f"{block.page}:{block.line}: {command}\n--- shown\n{shown}\n--- printed\n{printed}"
    )


def _named_commands(page: Path) -> Iterator[tuple[int, list[str], bool]]:
    """Yield where a page names a command of vbn, its words, and whether it is a whole command."""
    text = page.read_text()
    for block in blocks(page):
        if block.mark == "run":
            continue  # and so what a page has defined itself
        if block.language == "console":
            lines = [command for command, _ in block.commands()]
        elif block.language == "bash":
            lines = [block.text]
        else:
            continue
        for line in lines:
            yield from ((block.line, words, True) for words in _commands_in(line))
    prose = BLOCK.sub(lambda match: "\n" * match[0].count("\n"), text)
    for match in re.finditer(r"`vbn ([^`]+)`", prose):
        number = prose.count("\n", 0, match.start()) + 1
        for words in _commands_in("vbn " + match[1].replace("\\|", "|")):
            yield number, words, False


def _commands_in(line: str) -> Iterator[list[str]]:
    """Yield the words after each ``vbn`` of a line of shell."""
    shell = re.sub(r"(^|\s)#.*$", "", line, flags=re.MULTILINE).replace("\\\n", " ").replace("...", "X")
    lexer = shlex.shlex(shell, posix=True, punctuation_chars="();<>|&\n")
    lexer.whitespace, lexer.whitespace_split = " \t", True
    words: list[str] | None = None
    for token in [*lexer, ";"]:
        if token and set(token) <= set("();<>|&\n"):
            if words is not None:
                yield words
            words = None
        elif words is not None:
            words.append(token)
        elif Path(token).name in PROGRAMS:
            words = []


def parse_command(words: list[str], whole: bool) -> None:
    """Let click parse a command without converting what it need not: files need not be there."""
    from populate.cli import vbn_command

    command: click.Command = vbn_command
    context = click.Context(command, info_name="vbn")
    while True:
        values, words, _ = command.make_parser(context).parse_args(list(words))
        for parameter in command.get_params(context):
            given = values.get(parameter.name or "")
            if whole and parameter.required and given in (None, ()):
                raise click.MissingParameter(ctx=context, param=parameter)
            if isinstance(parameter.type, click.Choice):
                for each in given if isinstance(given, list | tuple) else [given]:
                    if isinstance(each, str) and each.islower():
                        parameter.type.convert(each, parameter, context)
        if not isinstance(command, click.Group) or not words:
            return
        _, found, words = command.resolve_command(context, words)
        assert found is not None
        command = found
        context = click.Context(command, parent=context, info_name=command.name)
