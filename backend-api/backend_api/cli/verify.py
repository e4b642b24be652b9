"""`sofipo verify`: what is looked at, with a bar, and how it is told."""

import logging
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from backend_api.audit import evidence, verification
from backend_api.audit.archive import open_archive
from backend_api.audit.verification import Check, Report
from backend_api.db.pools import LOST_SERVER, connect
from backend_api.outbox import broker
from backend_api.settings import Settings

AWAY = LOST_SERVER


async def verify(settings: Settings, *, quick: bool) -> Report:
    """Look at everything. Raises what a lost database raises."""
    logging.disable(logging.CRITICAL)  # what is logged of a server that is away, the report says better
    connection = await connect(settings, name="sofipo-verify", session=evidence.SESSION)
    try:
        async with open_archive(settings) as archive:
            with _bar() as bar:
                return await verification.verify(connection, archive, broker.url(settings), _told(bar), quick=quick)
    finally:
        await connection.close()


def data(report: Report) -> dict[str, Any]:
    """The report for programs."""
    return {"checks": [asdict(check) for check in report.checks], "parts": report.parts, "digest": report.digest}


def lines(report: Report) -> Iterator[str]:
    """The report for people: a line for each check, with its differences and what to do, and the digest."""
    for check in report.checks:
        yield f"{_state(check):<10}  {check.name:<9}  {check.looked_at} looked at"
        if check.not_looked:
            yield f"            {check.not_looked}"
        for finding in check.findings:
            yield f"            {finding.subject}: {finding.sentence} {finding.remedy}"
        if check.differences > len(check.findings):
            yield f"            and {check.differences - len(check.findings)} more"
    yield f"digest {report.digest or 'none: not everything could be looked at'}"


def _state(check: Check) -> str:
    if check.differences:
        return "differs"
    return "not looked" if check.not_looked else "ok"


def _told(bar: Progress) -> verification.Tell:
    """Shows progress as a bar for each kind of thing."""
    tasks: dict[str, Any] = {}

    def tell(what: str, done: int, total: int) -> None:
        if what not in tasks:
            tasks[what] = bar.add_task(what, total=total)
        bar.update(tasks[what], completed=done, total=max(done, total))

    return tell


def _bar() -> Progress:
    """On the standard error, where it disturbs no program; without a terminal nothing."""
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        console=Console(file=sys.stderr), disable=not sys.stderr.isatty(),
    )  # fmt: skip
