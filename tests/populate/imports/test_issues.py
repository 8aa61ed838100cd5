"""Import issues: each oddity that is put into a file becomes a row that names it, and nothing else changes.

Every mutated copy is a session of its own; all are imported by one ``vbn populate``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

pytestmark = [pytest.mark.files, pytest.mark.slow]

ELECTRODES = "general/extracellular_ephys/electrodes"
TABLES = ("Recording", "ChangeDetection", "Licks", "Running", "EyeTracking", "Stimulus", "OptoStimulation")


def images(file: h5py.File) -> h5py.Group:
    return next(table for name, table in file["intervals"].items() if name.startswith("Natural"))


def put(data: h5py.Dataset, row: int, value: Any) -> None:
    data[row] = value


def unchanged(file: h5py.File) -> None:
    """Change nothing."""


def infinite_metric(file: h5py.File) -> None:
    put(file["units/snr"], 2, np.inf)
    put(file["units/l_ratio"], 2, -np.inf)


def missing_metric(file: h5py.File) -> None:
    put(file["units/d_prime"], 1, np.nan)


def two_outcomes(file: h5py.File) -> None:
    trials = file["intervals/trials"]
    for name in ("hit", "miss"):
        put(trials[name], 0, True)


def overlapping(file: h5py.File) -> None:
    put(images(file)["stop_time"], 3, images(file)["start_time"][4] + 0.1)


def licks_back(file: h5py.File) -> None:
    times = file["processing/licking/licks/timestamps"]
    put(times, 2, times[1] - 0.5)


def reward_alone(file: h5py.File) -> None:
    put(file["processing/rewards/autorewarded/data"], 0, False)
    for name in ("volume", "autorewarded"):
        put(file[f"processing/rewards/{name}/timestamps"], 0, 0.001)


def changed_row(file: h5py.File) -> int:
    return int(np.flatnonzero(file["intervals/trials/change_frame"][:] >= 0)[0])


def change_nowhere(file: h5py.File) -> None:
    frames = file["intervals/trials/change_frame"]
    put(frames, changed_row(file), frames[changed_row(file)] + 11)


def change_beside(file: h5py.File) -> None:
    frames = file["intervals/trials/change_frame"]
    put(frames, changed_row(file), frames[changed_row(file)] + 1)


def zero_ccf(file: h5py.File) -> None:
    for name in "xyz":
        file[f"{ELECTRODES}/{name}"][:5] = 0.0


def unknown_column(file: h5py.File) -> None:
    file["units/mystery"] = np.zeros(len(file["units/id"]))


def unknown_table(file: h5py.File) -> None:
    file.create_group("processing/mystery")["numbers"] = np.zeros(3)


def unknown_attribute(file: h5py.File) -> None:
    file["general/metadata"].attrs["mystery"] = 3


def mixed_block(file: h5py.File) -> None:
    put(file["intervals/spontaneous_presentations/stimulus_block"], 0, 0)


def unsorted_frames(file: h5py.File) -> None:
    for name in ("data", "timestamps"):
        times = file[f"processing/stimulus/timestamps/{name}"]
        put(times, -1, times[-2] - 1.0)


def late_spikes(file: h5py.File) -> None:
    put(file["units/spike_times"], int(file["units/spike_times_index"][0]) - 1, 8e4)


def no_pupil(file: h5py.File) -> None:
    del file["acquisition/EyeTracking"]


def no_laser(file: h5py.File) -> None:
    del file["processing/optotagging"]


def no_quality(file: h5py.File) -> None:
    """As a release before v0.5.0."""
    del file["units/quality"]
    names = [name for name in file["units"].attrs["colnames"] if name != "quality"]
    file["units"].attrs["colnames"] = names


def no_licks(file: h5py.File) -> None:
    del file["processing/licking"]
    del file["processing/rewards"]


ID_OF_A_COPY = re.compile(r"\b\d{1,9}(\d{10})\b")
"""The last ten digits are those of the original."""


@dataclass(frozen=True)
class Oddity:
    """What is done to a file, and the issues that are then there besides those of the unchanged file."""

    apply: Callable[[h5py.File], None]
    expected: frozenset[tuple[str, ...]]  # importing table, table of the file, code, severity
    detail: str = ""


def oddity(apply: Callable[[h5py.File], None], *expected: str, detail: str = "") -> Oddity:
    return Oddity(apply, frozenset(tuple(text.split()) for text in expected), detail)


# Each tuple is one file: oddities of different tables share one, because importing one takes a second.
FILES = (
    (
        oddity(infinite_metric, "Recording units infinite_values warning", detail="l_ratio 1"),
        oddity(two_outcomes, "ChangeDetection trials trial_outcome_not_one warning", detail="1: 0"),
        oddity(
            overlapping, "Stimulus stimulus_presentations overlapping_presentations warning", detail="1: 4"
        ),
        oddity(licks_back, "Licks licks licks_out_of_order warning", detail="1: 2"),
        oddity(unknown_column, "NwbFile file unknown_column warning", detail="units/mystery"),
    ),
    (
        oddity(missing_metric, "Recording units nan_metrics info", detail="d_prime"),
        oddity(change_nowhere, "Stimulus trials change_without_presentation warning"),
        oddity(unknown_table, "NwbFile file unknown_table warning", detail="processing/mystery"),
    ),
    (
        oddity(zero_ccf, "Recording channels zero_ccf warning", detail="5: "),
        oddity(change_beside, "Stimulus trials change_beside_presentation info"),
        oddity(reward_alone, "ChangeDetection rewards reward_without_lick warning", detail="1: 0"),
        oddity(unknown_attribute, "NwbFile file unknown_attribute warning", detail="mystery"),
    ),
    (
        oddity(late_spikes, "Recording spike_times spikes_after_recording warning"),
        oddity(unsorted_frames, "Stimulus stimulus_timestamps unsorted_times warning"),
        oddity(no_quality, "NwbFile units no_quality info"),
        oddity(no_licks, "Licks licks no_licks info", "ChangeDetection rewards no_rewards info"),
    ),
    (
        # Eye tracking and laser are what goes on until the end of the spikes.
        oddity(no_pupil, "EyeTracking eye_tracking missing_pupil warning"),
        oddity(
            no_laser,
            "OptoStimulation optotagging missing_laser_table warning",
            "Recording spike_times spikes_after_recording info",
        ),
    ),
)
ODDITIES = [one for group in FILES for one in group]
Issue = tuple[str, str, str, str]


@dataclass(frozen=True)
class Imported:
    """All mutated copies in one database."""

    database: Any
    ids: dict[str, int]
    failures: list[dict[str, Any]]

    def issues(self, name: str) -> dict[Issue, str]:
        """Importing table, table, code and severity -> detail, by the command line."""
        rows = self.database.json("issues", "--session", self.ids[name])
        return {
            tuple(
                row[name] for name in ("imported_by", "issue_table", "issue_code", "severity")
            ): ID_OF_A_COPY.sub(r"\1", row["issue_detail"])
            for row in rows
        }


@pytest.fixture(scope="module")
def imported(make_database: Callable[..., Any], damaged_copy: Callable[..., Path]) -> Imported:
    database = make_database()
    paths = {change.__name__: damaged_copy(change) for change in (unchanged, mixed_block)}
    for group in FILES:
        path = damaged_copy(all_of(group))
        paths |= {one.apply.__name__: path for one in group}
    outcomes = database.json_lines("register", *dict.fromkeys(paths.values()))
    assert {outcome["status"] for outcome in outcomes} == {"registered"}
    ids = {name: int(path.stem.rsplit("_")[-1]) for name, path in paths.items()}
    wanted = [word for table in TABLES for word in ("--table", table)]
    done = database.json("populate", *wanted, check=False)
    return Imported(database, ids, done["failures"])


def all_of(group: Sequence[Oddity]) -> Callable[[h5py.File], None]:
    def odd(file: h5py.File) -> None:
        for one in group:
            one.apply(file)

    return odd


@pytest.mark.parametrize("group", FILES, ids=lambda group: group[0].apply.__name__)
def test_oddities_become_issues_and_no_other_appears(imported: Imported, group: Sequence[Oddity]) -> None:
    before, found = imported.issues("unchanged"), imported.issues(group[0].apply.__name__)
    new = {issue for issue in found if found[issue] != before.get(issue)}
    assert new == frozenset.union(*(one.expected for one in group))


@pytest.mark.parametrize("one", ODDITIES, ids=lambda one: one.apply.__name__)
def test_an_issue_names_what_is_odd(imported: Imported, one: Oddity) -> None:
    found = imported.issues(one.apply.__name__)
    assert any(one.detail in found[issue] for issue in one.expected), found


def test_warnings_and_hints_stop_no_import(imported: Imported) -> None:
    assert {failure["key"]["session_id"] for failure in imported.failures} == {imported.ids["mixed_block"]}
    whole = imported.database.row_counts(imported.ids["unchanged"])
    for group in FILES:
        counts = imported.database.row_counts(imported.ids[group[0].apply.__name__])
        masters = {name for name in counts if "__" not in name}
        assert {name: counts[name] for name in masters} == {name: whole[name] for name in masters}


def test_an_infinite_metric_is_null(imported: Imported) -> None:
    from schemas import ecephys

    imported.database.connect()
    units = ecephys.Recording.Unit & {"session_id": imported.ids["infinite_metric"]}
    same = ecephys.Recording.Unit & {"session_id": imported.ids["unchanged"]}
    for name in ("snr", "l_ratio"):
        assert len(units & f"{name} IS NULL") == 1 + len(same & f"{name} IS NULL")


def test_changes_that_no_image_belongs_to_are_kept_without_one(imported: Imported) -> None:
    from schemas import stimulus

    imported.database.connect()
    for name in ("change_nowhere", "change_beside"):
        rows = (stimulus.Stimulus.Change & {"session_id": imported.ids[name]}).to_dicts(order_by="trial_id")
        assert rows[0]["presentation_id"] is None
        assert rows[0]["change_residual"] is None
        assert all(row["presentation_id"] is not None for row in rows[1:])


def test_an_error_stops_its_table_in_words_and_no_other(imported: Imported) -> None:
    session_id = imported.ids["mixed_block"]
    ((failed, message),) = [(failure["table"], failure["error"]) for failure in imported.failures]
    assert failed == "Stimulus"
    assert "mixed_block" in message
    assert "blocks 1: 0" in message
    assert message.endswith("docs/issues.md.")
    counts = imported.database.row_counts(session_id)
    whole = imported.database.row_counts(imported.ids["unchanged"])
    for name, number in counts.items():
        if name.startswith("stimulus._stimulus"):
            assert number == 0, name
        else:
            assert number == whole[name], name


def test_an_error_is_listed_with_the_issues(imported: Imported) -> None:
    rows = imported.database.json("issues", "--severity", "error")
    found = [(row["session_id"], row["imported_by"], row["issue_code"], row["severity"]) for row in rows]
    assert found == [(imported.ids["mixed_block"], "Stimulus", "mixed_block", "error")]


def test_issues_are_chosen_by_session_and_severity(imported: Imported) -> None:
    database, session_id = imported.database, imported.ids["zero_ccf"]
    everything = database.json("issues")
    assert {row["session_id"] for row in everything} == set(imported.ids.values())
    mine = database.json("issues", "--session", session_id)
    assert mine == [row for row in everything if row["session_id"] == session_id]
    two = database.json("issues", "--session", session_id, "--session", imported.ids["no_quality"])
    assert {row["session_id"] for row in two} == {session_id, imported.ids["no_quality"]}
    warnings = database.json("issues", "--session", session_id, "--severity", "warning")
    assert warnings == [row for row in mine if row["severity"] in ("warning", "error")]
    assert 0 < len(warnings) < len(mine)


def test_issues_are_listed_in_words(imported: Imported) -> None:
    session_id = imported.ids["zero_ccf"]
    lines = imported.database.call("issues", "--session", session_id).stdout.splitlines()
    assert f"warning {session_id}  channels: zero_ccf: " in "\n".join(lines)
    assert lines[-1] == f"{len(lines) - 1} issues."


def test_an_unknown_session_or_severity_is_refused(imported: Imported) -> None:
    done = imported.database.call("issues", "--session", 12345, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "No such session is registered: 12345" in done.stderr
    assert imported.database.call("issues", "--severity", "fatal", check=False).returncode == 2


def test_every_code_is_documented_and_every_issue_has_one() -> None:
    from vbn.nwb import CODES

    text = (Path(__file__).parents[3] / "docs" / "issues.md").read_text()
    assert all(f"| `{code}` |" in text for code in CODES)


def test_importing_again_replaces_the_issues(
    database: Any, damaged_copy: Callable[..., Path], imported: Imported
) -> None:
    from schemas import ecephys, session

    path = damaged_copy(infinite_metric)
    session_id = database.json_lines("register", path)[0]["session_id"]
    database.json("populate", "--table", "Recording")
    issues = session.ImportIssue & {"imported_by": "Recording"}
    first = set(issues.to_arrays("issue_code").tolist())
    assert "infinite_values" in first
    n_others = len(session.ImportIssue()) - len(issues)
    with h5py.File(path, "r+") as file:
        put(file["units/snr"], 2, 3.5)
        put(file["units/l_ratio"], 2, 0.5)
    assert database.json_lines("register", "--replace", path)[0]["status"] == "replaced"
    (ecephys.Recording & {"session_id": session_id}).delete(prompt=False)
    assert database.json("populate", "--table", "Recording") == {"done": 1, "failures": []}
    assert set(issues.to_arrays("issue_code").tolist()) == first - {"infinite_values"}
    assert len(session.ImportIssue()) - len(issues) == n_others


def test_the_issues_of_the_corpus_are_those_that_were_put_in(populated_corpus: Any, corpus: Path) -> None:
    """Invalid channels, a unit on one, NaN metrics, channels above the brain; a session without a pupil."""
    facts = {
        int(path.parent.parent.name): json.loads(path.read_text())
        for path in corpus.glob("behavior_ecephys_sessions/*/expected/expected.json")
    }
    for session_id, fact in facts.items():
        rows = populated_corpus.json("issues", "--session", session_id)
        codes = {row["issue_code"] for row in rows}
        always = {"invalid_channels", "unit_on_invalid_channel", "missing_ccf", "missing_structure"}
        assert always <= codes
        assert ("missing_pupil" in codes) == (not fact["eye_tracking_rig_geometry"])
        invalid = next(row for row in rows if row["issue_code"] == "invalid_channels")
        number = fact["n_channels_all"] - fact["n_channels_default"]
        assert invalid["issue_detail"].startswith(f"{number}: ")
        assert "error" not in {row["severity"] for row in rows}
