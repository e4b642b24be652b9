"""The slower control: the two endpoints as a team writes them in a week, on the same servers.

The read: a chain of dependencies, each with a round trip to Redis of its own, the JSON parsed and validated again for
`response_model`. The payment: SQLAlchemy, one round trip for each of the ten statements.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Annotated, Any
from uuid import uuid4

import jwt
import orjson
from backend_api.settings import Settings
from fastapi import Depends, FastAPI, Header, HTTPException, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from bench.tables import owner_dsn

SECRET = "of-the-control-alone-and-32-bytes-long"
ISSUER, AUDIENCE = "bench", "bench-api"
REQUIRED = ["iss", "aud", "sub", "jti", "iat", "exp"]
REQUESTS_PER_MINUTE = 10_000_000
POOL_SIZE = 10


class Client(BaseModel):
    """The record as it is answered; the fields of the real one."""

    model_config = ConfigDict(extra="allow")

    id: str
    full_name: str
    email: str
    rfc: str
    status: str


class Payment(BaseModel):
    """What is paid."""

    model_config = ConfigDict(extra="forbid")

    amount: Annotated[Decimal, Field(gt=0, max_digits=15, decimal_places=2)]


class Registered(BaseModel):
    """What was paid."""

    id: int
    loan_id: int
    amount: Decimal
    current_balance: Decimal


def token(user: str) -> str:
    """An access token for the control."""
    now = datetime.now(UTC)
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": user, "jti": str(uuid4()), "iat": now}
    return jwt.encode({**claims, "exp": now + timedelta(minutes=30)}, SECRET, "HS256")


def value_key(rfc: str) -> str:
    """Where the control keeps a client's record."""
    return f"bench:value:{rfc}"


def version_key(rfc: str) -> str:
    """Where it keeps the record's version."""
    return f"bench:version:{rfc}"


def open_redis(settings: Settings) -> "Redis":
    """The library's own client with its own pool."""
    password = settings.redis_password.get_secret_value() or None
    return Redis(host=settings.redis_host, port=settings.redis_port, password=password)


async def claims_of(authorization: Annotated[str, Header()]) -> dict[str, Any]:
    """The claims of the caller's token."""
    try:
        claims: dict[str, Any] = jwt.decode(
            authorization.removeprefix("Bearer "),
            SECRET,
            algorithms=["HS256"],
            issuer=ISSUER,
            audience=AUDIENCE,
            options={"require": REQUIRED},
        )
    except jwt.InvalidTokenError as error:
        raise HTTPException(401) from error
    return claims


async def user_of(request: Request, claims: Annotated[dict[str, Any], Depends(claims_of)]) -> str:
    """The caller, unless the token was revoked."""
    if await request.app.state.redis.exists(f"bench:deny:{claims['jti']}"):
        raise HTTPException(401)
    return str(claims["sub"])


async def limited_user(request: Request, user: Annotated[str, Depends(user_of)]) -> str:
    """The caller, unless it asks too often."""
    if await request.app.state.redis.incr(f"bench:limit:{user}") > REQUESTS_PER_MINUTE:
        raise HTTPException(429)
    return user


User = Annotated[str, Depends(limited_user)]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open Redis and the database."""
    settings = Settings()
    app.state.redis = open_redis(settings)
    app.state.engine = create_async_engine(owner_dsn(settings, "postgresql+asyncpg"), pool_size=POOL_SIZE)
    yield
    await app.state.redis.aclose()
    await app.state.engine.dispose()


def create_app() -> FastAPI:
    """The application."""
    app = FastAPI(lifespan=lifespan)
    app.add_api_route("/clients/{rfc}", get_client, response_model=Client)
    app.add_api_route("/loans/{loan_id}/payments", pay_loan, methods=["POST"], status_code=201)
    return app


async def get_client(
    request: Request,
    response: Response,
    rfc: str,
    _: User,
) -> Any:
    """A cached client."""
    redis = request.app.state.redis
    value = await redis.get(value_key(rfc))
    version = await redis.get(version_key(rfc))
    if value is None:
        raise HTTPException(404)
    response.headers["ETag"] = f'"{int(version)}"'
    response.headers["X-Cache"] = "hit"
    return orjson.loads(value)


async def pay_loan(
    request: Request, loan_id: int, body: Payment, user: User, idempotency_key: Annotated[str, Header()]
) -> Registered:
    """The ten statements, each a round trip (BEGIN and COMMIT are SQLAlchemy's)."""
    engine: AsyncEngine = request.app.state.engine
    fingerprint = sha256(f"{loan_id} {body.model_dump_json()}".encode()).digest()
    async with engine.begin() as connection:
        await connection.execute(KEY, {"principal": user, "key": idempotency_key, "fingerprint": fingerprint})
        client = (await connection.execute(CLIENT, {"id": loan_id})).one()
        loan = (await connection.execute(LOAN, {"id": loan_id})).one()
        if body.amount > loan.current_balance:
            raise HTTPException(409)
        values = {"client": client.id, "loan": loan.id, "amount": body.amount}
        payment_id = (await connection.execute(PAYMENT, values)).scalar_one()
        await connection.execute(POSTINGS, {"payment": payment_id, "amount": body.amount, "negative": -body.amount})
        balance = loan.current_balance - body.amount
        await connection.execute(LOAN_UPDATE, {"id": loan.id, "balance": balance})
        payload = orjson.dumps({"payment_id": payment_id, "loan_id": loan.id, "amount": str(body.amount)})
        digest = sha256(client.chain_head + payload).digest()
        sequence = client.event_sequence + 1
        await connection.execute(CLIENT_UPDATE, {"id": client.id, "sequence": sequence, "head": digest})
        event = {"client": client.id, "sequence": sequence, "payload": payload.decode()}
        await connection.execute(OUTBOX, {**event, "prev": client.chain_head, "hash": digest})
    return Registered(id=payment_id, loan_id=loan.id, amount=body.amount, current_balance=balance)


KEY = text("INSERT INTO bench.idempotency_keys (principal, key, fingerprint) VALUES (:principal, :key, :fingerprint)")
CLIENT = text(
    "SELECT c.id, c.event_sequence, c.chain_head FROM bench.clients c "
    "WHERE c.id = (SELECT client_id FROM bench.loans WHERE id = :id) FOR UPDATE"
)
LOAN = text("SELECT id, current_balance, version FROM bench.loans WHERE id = :id")
PAYMENT = text("INSERT INTO bench.payments (client_id, loan_id, amount) VALUES (:client, :loan, :amount) RETURNING id")
POSTINGS = text(
    "INSERT INTO bench.postings (payment_id, line, account, amount) "
    "VALUES (:payment, 1, '1101', :amount), (:payment, 2, '1301', :negative)"
)
LOAN_UPDATE = text("UPDATE bench.loans SET current_balance = :balance, version = version + 1 WHERE id = :id")
CLIENT_UPDATE = text("UPDATE bench.clients SET event_sequence = :sequence, chain_head = :head WHERE id = :id")
OUTBOX = text(
    "INSERT INTO bench.outbox (client_id, sequence, event_type, payload, prev_hash, hash) "
    "VALUES (:client, :sequence, 'payment_registered', cast(:payload AS jsonb), :prev, :hash)"
)
