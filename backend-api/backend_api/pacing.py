"""Patience: how long to wait after a failure, and how often to complain about one that lasts."""

import random
from time import monotonic
from typing import Any

import structlog

log = structlog.get_logger(__name__)

SHORTEST_SECONDS = 0.1
LONGEST_SECONDS = 5.0
COMPLAIN_SECONDS = 30.0


def backoff_seconds(attempt: int) -> float:
    """Time before another try after `attempt` failures in a row: doubling from 0.1 to 5 s, then ± a quarter."""
    doubled = SHORTEST_SECONDS * 2.0 ** min(attempt - 1, 10)
    return min(doubled, LONGEST_SECONDS) * random.uniform(0.75, 1.25)  # noqa: S311 - jitter, not a secret


class Complaint:
    """A warning about something that lasts: at first, then every 30 s, and a word when it is over."""

    def __init__(self, event: str) -> None:
        self._event = event
        self._said_at: float | None = None

    def say(self, **facts: Any) -> None:
        """It is so (still)."""
        if self._said_at is None or monotonic() - self._said_at >= COMPLAIN_SECONDS:
            self._said_at = monotonic()
            log.warning(self._event, **facts)

    def over(self) -> None:
        """It is so no longer."""
        if self._said_at is not None:
            self._said_at = None
            log.info("trouble_over", was=self._event)
