"""``vbn worker``."""

import click

from populate.commands.module_option import module_option
from populate.commands.options import TABLES, sessions_option


class _Memory(click.ParamType):  # type: ignore[type-arg]
    """A size such as 4GB, 500MB or 2GiB, or TABLE=SIZE."""

    name = "[table=]size"
    units = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "MIB": 2**20, "GIB": 2**30}  # noqa: RUF012

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int]:
        import re

        if isinstance(value, tuple):
            return value
        table, _, size = str(value).rpartition("=")
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", size)
        if found is None or found[2].upper() not in self.units:
            self.fail(f"'{size}' is not a size. Examples: 4GB, 500MB, Psth=8GB.", param, ctx)
        return table.strip(), int(float(found[1]) * self.units[found[2].upper()])


class _Seconds(click.ParamType):  # type: ignore[type-arg]
    """A duration such as 90s, 30min or 2h."""

    name = "time"
    units = {"": 1, "s": 1, "min": 60, "h": 3600, "d": 86400}  # noqa: RUF012

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        import re

        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", str(value))
        if found is None or found[2] not in self.units or not float(found[1]):
            self.fail(f"'{value}' is not a duration. Examples: 90s, 30min, 2h.", param, ctx)
        return float(found[1]) * self.units[found[2]]


@click.command("worker")
@TABLES
@sessions_option()
@click.option(
    "--processes",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Number of worker processes.",
)
@click.option(
    "--max-memory", "memory", type=_Memory(), multiple=True, metavar="[TABLE=]SIZE",
    help="Limit of each process, such as 4GB, or while it makes entries of a table, such as Psth=8GB; may be "
    "repeated. Linux only.",
)  # fmt: skip
@click.option(
    "--max-job-time",
    type=_Seconds(),
    help="Longest time of a job, such as 2h; longer ones are recorded as failed.",
)
@click.option(
    "--until-idle", is_flag=True, help="End when nothing is left to do, instead of waiting for more work."
)
@click.option(
    "--tries",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    help="Number of tries of a job that fails temporarily.",
)
@click.option(
    "--poll", type=click.FloatRange(0.1), default=10.0, show_default=True, metavar="SECONDS",
    help="Pause between two checks for new work.",
)  # fmt: skip
@click.option(
    "--log-format", "--log", "log", type=click.Choice(["text", "json"]), default="text", show_default=True,
    envvar="VBN_LOG_FORMAT", show_envvar=True, help="Lines for people, or one JSON object per line.",
)  # fmt: skip
@module_option
def command(
    tables: tuple[str, ...],
    sessions: tuple[int, ...],
    processes: int,
    memory: tuple[tuple[str, int], ...],
    max_job_time: float | None,
    until_idle: bool,
    tries: int,
    poll: float,
    log: str,
) -> None:
    """Import and compute what is missing, and wait for more work, until stopped.

    Any number of workers, on any number of machines, share the work. Sessions registered meanwhile are
    found. Temporary failures (a lost connection, a lock, a file on the web) are retried; permanent ones are
    recorded (vbn errors) and stay until vbn retry.

    SIGTERM and Ctrl-C roll back the current job, return it to the queue and end the worker.

    Exit codes: 0 stopped by SIGTERM, or idle and no job failed permanently here; 1 a job failed here
    (--until-idle), or the settings, the server or the store cannot be used; 2 wrong usage; 130 Ctrl-C.

    \b
    Examples:
      vbn worker --processes 4 --log-format json
      vbn worker --session 1065437523,1064644573 --until-idle
    """
    import contextlib

    from populate.work.interruption import Terminated, terminated_by_signal
    from populate.work.processes import run_workers
    from populate.work.worker import Plan, work
    from populate.work.worklog import Event, TextLog, everything_to, json_log, reporter

    is_json = log == "json"
    show = json_log if is_json else TextLog()
    failed = 0

    def send(event: Event) -> None:
        nonlocal failed
        failed += event["event"] == "job_failed"
        show(event)

    report = reporter(send)
    with everything_to(report) if is_json else contextlib.nullcontext():
        plan = Plan(
            tables=tables,
            sessions=sessions,
            until_idle=until_idle,
            poll_s=poll,
            tries=tries,
            max_memory_bytes=dict(memory).get(""),
            memory_of_tables=tuple(each for each in memory if each[0]),
            max_job_s=max_job_time,
        )
        report("started")
        try:
            with terminated_by_signal():
                if processes == 1:
                    work(plan, report)
                else:
                    run_workers(plan, processes, send)
        except Terminated:
            report("stopped", reason="SIGTERM")
            return
        except KeyboardInterrupt:
            report("stopped", reason="interrupted")
            raise
    if failed:
        raise SystemExit(1)
