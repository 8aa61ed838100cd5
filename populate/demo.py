"""The demonstration: two synthetic sessions are written, registered, populated, checked and plotted."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import schemas
from populate.registration import catalogue
from populate.registration.catalogue_tables import ReleaseTables
from populate.registration.register import register
from populate.work.progress import populate_with_progress
from schemas import behavior, ecephys, figures, optotagging, performance, session, stimulus
from vbn.errors import VbnError
from vbn.plots import plot_change_response, save_figure
from vbn.synthetic import SyntheticSettings, write_sessions

SETTINGS = SyntheticSettings(sessions=2, probes=3, units_per_probe=60, minutes=20, genotype=("sst",))
STRUCTURE = "VISp"


@dataclass(frozen=True)
class SessionReport:
    """What was imported and computed for one session, compared with the ground truth."""

    session_id: int
    experience_level: str
    units: int
    spikes: int
    trials: int
    presentations: int
    laser_pulses: int
    max_dprime: float | None
    tagged: int
    tagged_correctly: int
    injected: int


def run(folder: Path, say: Callable[[str], None]) -> tuple[list[SessionReport], Path]:
    """Run the demonstration in a folder; existing results are kept.

    Returns
    -------
    One report per session, and the path of the figure.

    Raises
    ------
    VbnError
        If a step fails.
    """
    data = folder / "data"
    say(f"Writing {SETTINGS.sessions} synthetic sessions to {data} ...")
    write_data(data)
    database = schemas.connect()
    say(f"Registering and populating, {database} ...")
    entered = catalogue.enter(ReleaseTables.read(data))
    failed = [outcome for outcome in register([data], entered) if outcome.status == "failed"]
    if failed:
        raise VbnError(failed[0].message)
    summary = populate_with_progress([], [], processes=1)
    if summary.failures:
        raise VbnError(f"{summary.failures[0].table}: {summary.failures[0].error}")
    truth = json.loads((data / "ground_truth.json").read_text())
    reports = [_report(key, truth) for key in session.Session.keys(order_by="session_id")]
    figure = folder / "change_response.png"
    save_figure(plot_change_response(figures.change_response(reports[0].session_id, STRUCTURE)), figure)
    return reports, figure


def write_data(folder: Path) -> None:
    """Write the sessions unless the folder has them already, with the same settings."""
    stamp = folder / "settings.json"
    wanted = json.dumps(asdict(SETTINGS))
    if stamp.exists() and stamp.read_text() == wanted:
        return
    write_sessions(folder, SETTINGS)
    stamp.write_text(wanted)


def _report(key: dict[str, Any], truth: dict[str, Any]) -> SessionReport:
    units = truth["sessions"][str(key["session_id"])]["units"]
    injected = {
        unit["unit_id"] for unit in units if unit["role"] == "opto" and unit.get("responds_to_laser", True)
    }
    labels = optotagging.unit_labels() & key & {"optotag_label": "tagged"}
    tagged = set(labels.to_arrays("unit_id").tolist())
    recording = (ecephys.Recording & key).fetch1()
    return SessionReport(
        session_id=key["session_id"],
        experience_level=(session.Session & key).fetch1("experience_level"),
        units=recording["n_units"],
        spikes=recording["n_recorded_spikes"],
        trials=(behavior.ChangeDetection & key).fetch1("n_trials"),
        presentations=(stimulus.Stimulus & key).fetch1("n_presentations_total"),
        laser_pulses=(stimulus.OptoStimulation & key).fetch1("n_pulses"),
        max_dprime=(performance.Performance & key).fetch1("max_dprime"),
        tagged=len(tagged),
        tagged_correctly=len(tagged & injected),
        injected=len(injected),
    )
