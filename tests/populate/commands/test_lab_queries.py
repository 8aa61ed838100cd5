"""Queries of a lab's own: in the shell, in completion and on the page, with the checks of this package's."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterator
from html import unescape
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen

import click
import pandas as pd
import pytest

from populate.commands.answer import OUTPUT
from populate.commands.options import WHERE
from populate.commands.query import command
from schemas import queries
from schemas.bases import lab_queries
from tests.fixtures.page import start, stop
from vbn.errors import NotFoundError, SettingError

pytestmark = pytest.mark.files

MODULE = '''
from collections.abc import Sequence
from typing import Any, Literal

import pandas as pd

from schemas import queries


@queries.lab_query(columns="unit_id session_id structure_acronym snr")
def loud_units(
    *, least_snr: float = 2.0, structure: str | Sequence[str] | None = None, session_id: Sequence[int] = ()
) -> Any:
    """Units with a great signal to noise ratio.

    Parameters
    ----------
    least_snr : smallest signal to noise ratio
    structure : acronyms of structures
    """
    chosen = {"structure": structure, "session_id": list(session_id) or None}
    return queries.units(**chosen, where=f"snr >= {float(least_snr)}")


@queries.lab_query()
def trial_counts(*, outcome: Literal["hit", "miss"], engaged: bool = False) -> pd.DataFrame:
    """Sessions with their numbers of trials of an outcome."""
    trials = queries.trial_table(True)
    chosen = trials[trials[outcome] & (trials["is_engaged"].eq(True) if engaged else True)]
    return chosen.groupby("session_id").size().rename("n_trials").reset_index()


@queries.lab_query()
def nothing() -> Any:
    """No rows at all."""


@queries.lab_query()
def broken() -> Any:
    """Rows of code with a fault."""
    return {}["rows"]
'''


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("lab")
    (folder / "ask_lab.py").write_text(MODULE)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield folder
    lab_queries.forget_queries(["loud_units", "trial_counts", "nothing", "broken"])


@pytest.fixture
def lab(populated_synthetic: Any, module: Path) -> Any:
    return populated_synthetic


def test_a_query_of_the_lab_is_asked_as_ours_are(lab: Any) -> None:
    lab.connect()
    structure = next(name for name in queries.units().to_arrays("structure_acronym") if name)
    expected = queries.units(structure=structure, where="snr >= 1.5").to_arrays("unit_id").tolist()
    words = ("loud-units", "--least-snr", 1.5, "--area", structure)
    for asked in (("--module", "ask_lab", *words), (*words, "--module", "ask_lab")):
        rows = lab.json("query", *asked)
        assert sorted(row["unit_id"] for row in rows) == sorted(expected) != []
    text = lab.call("query", *words, "--module=ask_lab", "--limit", 2).stdout.splitlines()
    assert text[0].split() == ["unit_id", "session_id", "structure_acronym", "snr"]
    session = rows[0]["session_id"]
    more = ("--session", f"{session},{session}", "--where", "area IS NOT NULL", "--sort", "-snr")
    loud = lab.json("query", *words, *more, "--columns", "snr,ecephys_session_id", "--module", "ask_lab")
    assert {row["session_id"] for row in loud} == {session}
    assert [row["snr"] for row in loud] == sorted((row["snr"] for row in loud), reverse=True)


def test_a_query_may_answer_with_a_frame(lab: Any, tmp_path: Path) -> None:
    out = tmp_path / "counts.csv"
    environment = {"VBN_MODULES": "ask_lab"}
    lab.call("query", "trial-counts", "--outcome", "hit", "--out", out, env=environment)
    trials = queries.trial_table(True)
    assert pd.read_csv(out)["n_trials"].sum() == trials["hit"].sum()
    engaged = lab.json("query", "trial-counts", "--outcome", "hit", "--engaged", env=environment)
    assert sum(row["n_trials"] for row in engaged) == (trials["hit"] & trials["is_engaged"].eq(True)).sum()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (
            ("loud-units", "--structure", "VISpp"),
            1,
            "Nothing has structure_acronym 'VISpp'. Near to it: VISp",
        ),
        (("loud-units", "--where", "snrr > 1"), 1, "There is no attribute 'snrr' here. Near to it: snr"),
        (("loud-units", "--columns", "snrr"), 1, "There is no column 'snrr'. Near to it: snr"),
        (("loud-units", "--least-snr", "much"), 2, "'much' is not a valid float"),
        (("trial-counts", "--outcome", "hitt"), 2, "'hitt' is not one of 'hit', 'miss'"),
        (("trial-counts",), 2, "Missing option '--outcome'"),
        (("trial-counts", "--outcome", "hit", "--where", "n_trials > 1"), 1, "it takes no conditions"),
        (("nothing",), 1, "answers with NoneType: it must return a query or a pandas.DataFrame"),
        (("loud-unit",), 2, "No such command 'loud-unit'. Near to it: loud-units"),
    ],
)
def test_it_has_the_same_checks(lab: Any, words: tuple[str, ...], code: int, said: str) -> None:
    done = lab.call("query", *words, check=False, env={"VBN_MODULES": "ask_lab"})
    assert (done.returncode, done.stdout) == (code, "")
    assert said in " ".join(done.stderr.split())


def test_arguments_are_checked_in_python_too(lab: Any) -> None:
    lab.call("query", "--module", "ask_lab", "loud-units", "--limit", 1)
    query = queries.lab_queries()["trial_counts"].function
    with pytest.raises(NotFoundError, match=r"'outcome' has no value 'hitt'\. Near to it: hit"):
        query(outcome="hitt")
    with pytest.raises(TypeError, match=r"trial_counts\(\) takes no argument 'outcom'. Near to it: outcome"):
        query(outcom="hit")


def test_help_and_completion_know_the_queries_of_the_lab(lab: Any, module: Path) -> None:
    environment = {"VBN_MODULES": "ask_lab", "PYTHONPATH": f"{module}{os.pathsep}{Path.cwd()}"}

    def completed(line: str) -> set[str]:
        asked = {"_VBN_COMPLETE": "bash_complete", "COMP_WORDS": f"vbn {line}"}
        asked["COMP_CWORD"] = str(len(line.split()))
        done = lab.vbn(env={**environment, **asked})
        return {each.partition(",")[2] for each in done.stdout.splitlines()}

    assert completed("query lou") == {"loud-units"}
    assert completed("query loud-units --structure VISp,VISpo") == {"VISp,VISpor"}
    words = " ".join(lab.vbn("query", "loud-units", "--help", env=environment).stdout.split())
    assert "Units with a great signal to noise ratio." in words
    assert "smallest signal to noise ratio. [default: 2.0]" in words
    assert "A query of ask_lab." in words


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def bare(*, a: int): pass", "needs a docstring"),
        ("def odd(*, a: dict): 'A row.'", r"odd\(a=...\) needs a type that a command can offer"),
        ("def odd(*, a): 'A row.'", r"odd\(a=...\) needs a type"),
        ("def odd(**more: int): 'A row.'", "takes 'more' without a name"),
        ("def Odd(*, a: int): 'A row.'", "'Odd' cannot"),
        ("def odd(*, where: str): 'A row.'", "cannot have an argument 'where'"),
        ("def odd(*, query: str): 'A row.'", "cannot have an argument 'query'"),
        (
            "def odd(*, session: int, session_id: int): 'A row.'",
            "session and session_id, which are one option",
        ),
        ("def full_field_flashes(*, a: int): 'A row.'", "has the name of vbn query full_field_flashes"),
    ],
)
def test_what_cannot_be_a_query_is_refused_when_it_is_made(text: str, said: str) -> None:
    with pytest.raises(SettingError, match=said):
        exec(f"@lab_query()\n{text}", {"lab_query": queries.lab_query, "Literal": Literal})
    assert "odd" not in queries.lab_queries()


def test_what_is_refused_is_all_that_would_collide() -> None:
    named = {name.replace("-", "_") for name in command.commands}
    assert named == lab_queries.TAKEN_NAMES

    @click.command()
    @WHERE
    @OUTPUT
    def bare(**_options: Any) -> None: ...

    taken = {name.lstrip("-") for each in bare.params for name in (*each.opts, each.name or "")}
    assert taken <= lab_queries.TAKEN_ARGUMENTS


def test_two_modules_cannot_have_a_query_of_one_name(lab: Any, tmp_path: Path, monkeypatch: Any) -> None:
    lab.call("query", "--module", "ask_lab", "loud-units", "--limit", 1)
    (tmp_path / "ask_other.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    done = lab.call("query", "--module", "ask_other", "loud-units", check=False)
    assert done.returncode == 1
    assert "The query loud_units of ask_other has the name of one of ask_lab. Rename it." in done.stderr
    ours = lab.call("query", "units", "--limit", 1, "--module", "ask_lab")  # ours are found without it
    assert ours.stdout


@pytest.mark.skipif(find_spec("panel") is None, reason="vbn serve needs Panel")
def test_the_page_asks_the_queries_of_the_lab(lab: Any, module: Path) -> None:
    served = start(lab, {"VBN_MODULES": "ask_lab", "PYTHONPATH": f"{module}{os.pathsep}{Path.cwd()}"})
    try:
        with urlopen(f"{served.url}queries") as answer:
            page = answer.read().decode()
        assert 'aria-current="page">Lab queries' in " ".join(page.split())
        assert "Units with a great signal to noise ratio." in page
        address = urlencode({"query": "loud_units", "least_snr": "1.5", "structure": "VISp,LP,CA1"})
        with urlopen(f"{served.url}queries?{address}") as answer:
            page = answer.read().decode()
        with urlopen(f"{served.url}queries.csv?{address}") as answer:
            rows = pd.read_csv(answer)
        expected = queries.units(structure=["VISp", "LP", "CA1"], where="snr >= 1.5").to_arrays("unit_id")
        assert sorted(rows["unit_id"]) == sorted(expected) != []
        assert f"{len(rows)} rows" in page
        assert f'<a href="./unit?unit={rows["unit_id"][0]}">' in page
        found = re.search('<code class="shell">(.*?)</code>', page, re.DOTALL)
        assert found
        words = shlex.split(unescape(found[1]))
        assert words[-2:] == ["--out", "loud_units.csv"]
        done = lab.call(*words[1:-2], "--json")
        assert [row["unit_id"] for row in json.loads(done.stdout)] == rows["unit_id"].tolist()
        for wrong, said in {
            "query=loud_unit": "Near to it: loud_units",
            "query=loud_units&least_snr=much": "&#39;least_snr&#39; is a number, not &#39;much&#39;",
            "query=loud_units&snr=2": "There is no parameter",
            "query=loud_units&structure=VISpp": "Near to it: VISp",
            "query=broken": "This may be a bug",
            "query=trial_counts&outcome=<script>": "has no value &#39;&lt;script&gt;",
        }.items():
            with pytest.raises(HTTPError) as refused:
                urlopen(f"{served.url}queries?{wrong}")
            assert refused.value.code == 404
            assert said in refused.value.read().decode()
        with urlopen(f"{served.url}queries?query=trial_counts") as answer:  # its form, until it is filled in
            assert "<option>miss</option>" in answer.read().decode()
    finally:
        stop(served)
