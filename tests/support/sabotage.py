"""Faults of the database on demand: triggers for rows that are marked, and a damaged row."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from secrets import token_hex
from uuid import UUID

from backend_api.db.pools import Connection


@asynccontextmanager
async def failing_payments(
    owner: Connection, sqlstate: str, *, times: int = 1_000_000, at_commit: bool = False
) -> AsyncIterator[str]:
    """A reference whose payments fail with this SQLSTATE the first `times` times, at once or only at the commit.

    A sequence counts the failures, because it is not rolled back with them.
    """
    name = f"sabotage_{token_hex(6)}"
    kind = "CONSTRAINT TRIGGER" if at_commit else "TRIGGER"
    when = "AFTER INSERT ON payments DEFERRABLE INITIALLY DEFERRED" if at_commit else "AFTER INSERT ON payments"
    await owner.execute(
        f"""
        CREATE SEQUENCE {name};
        CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
        BEGIN
            IF NEW.reference = '{name}' AND nextval('{name}') <= {times} THEN
                RAISE EXCEPTION 'sabotage' USING ERRCODE = '{sqlstate}';
            END IF;
            RETURN NULL;
        END $$;
        CREATE {kind} {name} {when} FOR EACH ROW EXECUTE FUNCTION {name}();
        """
    )
    try:
        yield name
    finally:
        await owner.execute(f"DROP TRIGGER {name} ON payments; DROP FUNCTION {name}(); DROP SEQUENCE {name}")


@asynccontextmanager
async def deadlocked_loan(owner: Connection, loan_id: str) -> AsyncIterator[None]:
    """Whoever changes the loan next is the one of two that the database lets fail."""
    name = f"sabotage_{token_hex(6)}"
    await owner.execute(
        f"""
        CREATE SEQUENCE {name};
        CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
        BEGIN
            IF NEW.id = '{UUID(loan_id)}' AND nextval('{name}') = 1 THEN
                RAISE EXCEPTION 'sabotage' USING ERRCODE = 'deadlock_detected';
            END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER {name} BEFORE UPDATE ON loans FOR EACH ROW EXECUTE FUNCTION {name}();
        """
    )
    try:
        yield
        assert await owner.fetchval(f"SELECT is_called FROM {name}"), "nobody changed the loan"
    finally:
        await owner.execute(f"DROP TRIGGER {name} ON loans; DROP FUNCTION {name}(); DROP SEQUENCE {name}")


@asynccontextmanager
async def damaged_loan(owner: Connection, loan_id: str) -> AsyncIterator[None]:
    """The loan's terms cannot be read: nobody who reckons with them foresaw that."""
    terms = await owner.fetchval("SELECT terms FROM loans WHERE id = $1", UUID(loan_id))
    damage = "UPDATE loans SET terms = $2 WHERE id = $1"
    await owner.execute(damage, UUID(loan_id), "{}")
    try:
        yield
    finally:
        await owner.execute(damage, UUID(loan_id), terms)
