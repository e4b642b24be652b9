"""Health: is the process alive, can it do its work, and what is degraded although it can."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from backend_api.cache.redis import RedisUnavailableError
from backend_api.db.pools import LOST_SERVER
from backend_api.db.sampler import MAX_LAG_SECONDS
from backend_api.http.resources import Resources, resources_of

router = APIRouter(tags=["System"])

CHECK_SECONDS = 1.0
OUTBOX = """
SELECT count(*) FILTER (WHERE parked_at IS NOT NULL) AS parked,
       coalesce(extract(epoch FROM clock_timestamp() - min(enqueued_at) FILTER (WHERE parked_at IS NULL)), 0)::float
           AS oldest_seconds
  FROM outbox
"""
OUTBOX_LATE_SECONDS = 30.0

State = Literal["ok", "degraded", "down"]
WELL: dict[str, Any] = {
    "status": "ok",
    "checks": {
        "primary": {"status": "ok", "detail": "The primary answers."},
        "replica": {"status": "ok", "detail": "The replica is at most 0.02 s behind."},
        "cache": {"status": "ok", "detail": "Redis answers."},
        "outbox": {"status": "ok", "detail": "Events leave in time."},
    },
}
DOWN = {
    "status": "down",
    "checks": {
        **WELL["checks"],
        "primary": {"status": "down", "detail": "The primary does not answer: nothing can be written."},
    },
}


class Check(BaseModel):
    """One part of the system."""

    status: State
    detail: str


class Health(BaseModel):
    """`ok`: all is well. `degraded`: requests are answered, and something needs a look. `down`: writes fail."""

    model_config = ConfigDict(json_schema_extra={"examples": [WELL]})

    status: State
    checks: dict[str, Check]


class Alive(BaseModel):
    """The process answers."""

    status: Literal["ok"] = Field(default="ok", examples=["ok"])


UNFIT: dict[int | str, dict[str, Any]] = {
    503: {
        "model": Health,
        "description": "Nothing can be written.",
        "content": {"application/json": {"example": DOWN}},
    }
}


@router.get("/livez", operation_id="isAlive", summary="Is the process alive?")
async def livez() -> Alive:
    """Says nothing about anything behind the process: restarting it mends nothing there."""
    return Alive()


@router.get(
    "/readyz",
    response_model=Health,
    responses=UNFIT,
    operation_id="isReady",
    summary="Can it work, and what is degraded?",
)
@router.get("/healthz", response_model=Health, responses=UNFIT, operation_id="health", summary="The same as /readyz")
async def readyz(request: Request) -> Response:
    """503 only when the primary is away; a missing replica, cache or relay degrades and is named."""
    resources = resources_of(request)
    names: dict[str, Callable[[Resources], Awaitable[Check]]] = {
        "primary": _primary,
        "replica": _replica,
        "cache": _cache,
        "outbox": _outbox,
    }
    found = await asyncio.gather(*(check(resources) for check in names.values()))
    checks = dict(zip(names, found, strict=True))
    states = {check.status for check in found}
    overall: State = "down" if "down" in states else "degraded" if "degraded" in states else "ok"
    health = Health(status=overall, checks=checks)
    return Response(
        health.model_dump_json(), 503 if overall == "down" else 200, {"Cache-Control": "no-store"}, "application/json"
    )


async def _primary(resources: Resources) -> Check:
    if resources.sampler.fresh_primary() is None:
        return Check(status="down", detail="The primary does not answer: nothing can be written.")
    return Check(status="ok", detail="The primary answers.")


async def _replica(resources: Resources) -> Check:
    lag = resources.sampler.lag_seconds()
    if lag is None:
        return Check(status="degraded", detail="The replica does not answer: all reads go to the primary.")
    if lag > MAX_LAG_SECONDS:
        return Check(status="degraded", detail=f"The replica is {lag:.1f} s behind: all reads go to the primary.")
    return Check(status="ok", detail=f"The replica is at most {lag:.2f} s behind.")


async def _cache(resources: Resources) -> Check:
    try:
        await resources.redis.execute("PING")
    except RedisUnavailableError:
        return Check(status="degraded", detail="Redis does not answer: reads come from the database.")
    if await resources.cache.standing(None) is None:
        return Check(status="degraded", detail="Redis answers again; the cache is not trusted yet.")
    return Check(status="ok", detail="Redis answers.")


async def _outbox(resources: Resources) -> Check:
    try:
        async with asyncio.timeout(CHECK_SECONDS), resources.databases.writer.acquire() as connection:
            row: Any = await connection.fetchrow(OUTBOX)
    except LOST_SERVER:
        return Check(status="degraded", detail="The outbox could not be asked.")
    if row["parked"]:
        return Check(status="degraded", detail=f"{row['parked']} events are parked: see `sofipo outbox parked`.")
    if row["oldest_seconds"] > OUTBOX_LATE_SECONDS:
        return Check(
            status="degraded",
            detail=f"The oldest event has waited {row['oldest_seconds']:.0f} s: see `sofipo outbox status`.",
        )
    return Check(status="ok", detail="Events leave in time.")
