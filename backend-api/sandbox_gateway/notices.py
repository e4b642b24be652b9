"""Notices on their way to the API: signed, and told again with growing delays until it has taken them."""

import asyncio
import hmac
import json
from collections.abc import Callable
from typing import Any

import httpx2
import structlog

from sandbox_gateway.book import Entry, Notice

log = structlog.get_logger()

FIRST_DELAY_SECONDS = 0.5
LONGEST_DELAY_SECONDS = 60.0
GIVE_UP_SECONDS = 24 * 3600.0
ANSWER_SECONDS = 10.0
SIGNATURE = "Sofipo-Signature"


def signature(secret: bytes, now: int, body: bytes) -> str:
    """The value of the header: when, and HMAC-SHA256 over the time, a dot and the body."""
    return f"t={now},v1={hmac.new(secret, b'%d.' % now + body, 'sha256').hexdigest()}"


class Messenger:
    """Carries notices, each on a task of its own, so that one that is not taken holds up no other."""

    def __init__(self, url: str, secret: bytes, clock: Callable[[], float]) -> None:
        self._url = url
        self._secret = secret
        self._clock = clock
        self._http = httpx2.AsyncClient(timeout=ANSWER_SECONDS, trust_env=False)
        self._tasks: set[asyncio.Task[None]] = set()

    def send(self, entry: Entry, notice: Notice, *, after_seconds: float = 0.0) -> asyncio.Event:
        """Begin to tell; the event is set once the first try has ended, however it did."""
        tried = asyncio.Event()
        task = asyncio.create_task(self._tell(entry, notice, tried, after_seconds))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return tried

    async def close(self) -> None:
        """Forget what was not told yet."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._http.aclose()

    async def _tell(self, entry: Entry, notice: Notice, tried: asyncio.Event, after_seconds: float) -> None:
        await asyncio.sleep(after_seconds)
        told = {"order_id": str(notice.order_id), "sequence": notice.sequence}
        delay, waited = FIRST_DELAY_SECONDS, 0.0
        while waited < GIVE_UP_SECONDS:
            trouble = await self._try(entry, notice)
            tried.set()
            if trouble is None:
                log.info("notice_taken", **told)
                return
            log.warning("notice_not_taken", **told, trouble=trouble, next_seconds=delay)
            await asyncio.sleep(delay)
            waited += delay
            delay = min(2 * delay, LONGEST_DELAY_SECONDS)
        log.error("notice_given_up", **told)

    async def _try(self, entry: Entry, notice: Notice) -> str | None:
        """None when it was taken, else why not."""
        body = json.dumps(notice.told()).encode()
        now = int(self._clock())
        headers = {"Content-Type": "application/json", SIGNATURE: signature(self._secret, now, body)}
        try:
            answer = await self._http.post(self._url, content=body, headers=headers)
        except httpx2.HTTPError as error:
            return type(error).__name__
        if not answer.is_success:
            return f"status {answer.status_code}"
        entry.taken += 1
        entry.refunded = entry.refunded or _outcome(answer) == "refund"
        return None


def _outcome(answer: httpx2.Response) -> Any:
    try:
        said = answer.json()
    except ValueError:
        return None
    return said.get("outcome") if isinstance(said, dict) else None
