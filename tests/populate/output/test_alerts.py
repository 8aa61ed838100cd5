"""The example of alert rules: it names metrics that are there, and fires when it should."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.fixtures.database import Database
from tests.populate.output.test_metrics import SAMPLE

RULES = Path(__file__).parents[3] / "docker" / "prometheus-rules.yml"
OF_SCRAPE = 'instance="lab:5006",job="vbn"'  # which Prometheus adds to every series
HOURS = 80
GROWS = f"0+1x{HOURS}"
FILE = 'node_textfile_mtime_seconds{file="/var/lib/node_exporter/vbn.prom"}'
HEAD = f"rule_files: [{RULES.name}]\nevaluation_interval: 1h"  # as the series: values are old after 5 min
CASE = """
  - interval: 1h
    input_series:
      {series}
    promql_expr_test:
      - expr: count by (alertname) (ALERTS{{alertstate="firing"}})
        eval_time: {hours}h
        exp_samples: [{expected}]
"""


def expressions() -> str:
    """Return the rules without comments and annotations."""
    lines = RULES.read_text().splitlines()
    return "\n".join(line for line in lines if not re.match(r"\s*(#|summary:)", line))


def test_rules_name_metrics_that_are_there_and_fire(
    database: Database, synthetic_files: list[Path], tmp_path: Path
) -> None:
    database.call("register", synthetic_files[0])
    found = database.call("metrics", "--backup", tmp_path).stdout
    named = set(re.findall(r"\bvbn_[a-z_]+", expressions()))
    assert named == {
        "vbn_jobs", "vbn_oldest_reservation_seconds", "vbn_last_backup_timestamp_seconds",
        "vbn_store_free_bytes", "vbn_info",
    }  # fmt: skip
    assert named <= set(re.findall(r"^vbn_[a-z_]+", found, re.MULTILINE))
    for state in re.findall(r'state="(\w+)"', expressions()):
        assert f'state="{state}"' in found
    if not shutil.which("promtool"):  # of Debian's package `prometheus`
        return
    shutil.copy(RULES, tmp_path)
    (tmp_path / "tests.yml").write_text(f"{HEAD}\ntests:{''.join(cases(found))}")
    for words in (("check", "rules", RULES.name), ("test", "rules", "tests.yml")):
        done = subprocess.run(["promtool", *words], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def cases(metrics: str) -> list[str]:
    """Return tests in which what `vbn metrics` printed stays for days, with one thing wrong at a time."""
    samples = filter(None, map(SAMPLE.fullmatch, metrics.splitlines()))
    series: dict[str, object] = {
        f"{found[1]}{{{','.join(filter(None, (found[2], OF_SCRAPE)))}}}": found[3] for found in samples
    }

    def of(words: str) -> dict[str, object]:
        names = [name for name in series if words in name]
        assert names, words
        return dict.fromkeys(names, 0)

    good = {**series, **of('state="missing"'), **of('state="error"'), **of("oldest_reservation")}
    good |= dict.fromkeys(of("store_free"), 10**12)
    good |= dict.fromkeys(of("last_backup"), HOURS * 3600)  # the clock of these tests begins at 0
    waits = dict.fromkeys(of('table="Running",state="missing"'), 2)
    return [
        _case({**good, FILE: HOURS * 3600}),
        _case({**good, **dict.fromkeys(of('table="Running",state="error"'), 1)}, "JobsFailed"),
        _case({**good, **dict.fromkeys(of("oldest_reservation"), 5 * 3600)}, "JobHangs"),
        _case({**good, **waits}, "NothingIsDone"),
        _case({**good, **waits, **dict.fromkeys(of('table="Running",state="done"'), GROWS)}),
        _case({**good, **of("last_backup")}, "BackupIsOld"),
        _case({name: value for name, value in good.items() if "last_backup" not in name}, "BackupIsOld"),
        _case({**good, **dict.fromkeys(of("store_free"), 4 * 10**10)}, "StoreIsFull"),
        _case({'up{job="vbn"}': 0}, "NoMetrics"),
        _case({**good, FILE: 3600}, "MetricsAreOld"),
    ]


def _case(series: Mapping[str, object], *alerts: str) -> str:
    lines = [
        f"- {{series: '{name}', values: '{value if value == GROWS else f'{value}x{HOURS}'}'}}"
        for name, value in series.items()
    ]
    expected = ", ".join(f"{{labels: '{{alertname=\"{name}\"}}', value: 1}}" for name in alerts)
    return CASE.format(series="\n      ".join(lines), hours=HOURS - 1, expected=expected)
