"""What a check says, and what it is told."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from backend_api.settings import Settings

OLDEST = {"PostgreSQL": (15,), "Redis": (7,), "RabbitMQ": (3, 10), "CouchDB": (3,)}
"""The oldest version of each server on which everything works. RabbitMQ's brought what the policy of the queue asks."""


class Level(StrEnum):
    """How bad it is. `wrong` fails the examination; `not checked` means that another finding stands before it."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"
    NOT_CHECKED = "not checked"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A sentence, and what to do when it is not a good one."""

    level: Level
    sentence: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Setup:
    """What is examined. `clock` is this machine's, with its time zone."""

    settings: Settings
    clock: Callable[[], datetime]


def ok(sentence: str) -> Verdict:
    """All is well."""
    return Verdict(Level.OK, sentence)


def warning(sentence: str, remedy: str) -> Verdict:
    """It works, and should be looked at."""
    return Verdict(Level.WARNING, sentence, remedy)


def wrong(sentence: str, remedy: str) -> Verdict:
    """It does not do what it is there for."""
    return Verdict(Level.WRONG, sentence, remedy)


def not_checked(sentence: str) -> Verdict:
    """It cannot be told before something else is mended."""
    return Verdict(Level.NOT_CHECKED, sentence)


def start(service: str) -> str:
    """The remedy for a process that is not there; `service` is its name in the compose file."""
    return f"Start it: `make up`, or `docker compose up -d {service}`"


def judge_version(server: str, version: str) -> Verdict:
    """Whether a server is new enough. What follows the number (15.18 (Debian …), 4.0.0-rc.1) does not count."""
    oldest = OLDEST[server]
    version = re.split("[^0-9.]", version, maxsplit=1)[0]
    found = tuple(int(part) for part in version.split(".") if part)
    if found < oldest:
        needed = ".".join(map(str, oldest))
        return wrong(f"{server} is version {version}, and {needed} is needed.", f"Install {server} {needed} or newer.")
    return ok(f"{server} is version {version}.")
