"""A clock that stands still, and a zone whose days do not end while tests run."""

from datetime import UTC, datetime, timedelta


class StoppedClock:
    """The application's clock in a test. It moves only when it is told to, so that nothing is over by itself on a slow
    machine."""

    def __init__(self, now: datetime) -> None:
        self._now = now

    def __call__(self) -> datetime:
        return self._now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._now += timedelta(seconds=seconds)


def zone_at_noon() -> str:
    """The name of a time zone in which it is about noon, so that no business day ends within hours."""
    offset = 12 - datetime.now(UTC).hour
    return f"Etc/GMT{-offset:+d}"  # these names count from Greenwich to the west
