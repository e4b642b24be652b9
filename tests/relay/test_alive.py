"""`sofipo outbox relay-alive`, the health check of a relay's container: it means this relay, and that one leads."""

from backend_api.cli.relay_health import complaint
from backend_api.db.pools import connect
from backend_api.relay import queries

from tests.relay.house import House
from tests.support.processes import try_command
from tests.support.waiting import eventually


async def test_without_a_relay_the_command_fails_with_a_sentence(house: House) -> None:
    code, said = await try_command(
        "-m", "backend_api.cli", "outbox", "relay-alive", POSTGRES_DB=house.settings.postgres_db
    )
    assert code == 1
    assert said == "no relay on this host has asked the database anything for 10 s\n"


async def test_with_a_leader_it_succeeds(house: House) -> None:
    async with house.relay():
        await eventually(house.has_leader)
        assert await complaint(house.owner) is None


async def test_a_relay_that_asks_in_vain_is_not_enough(house: House) -> None:
    silent = await connect(house.settings)
    try:
        await silent.execute("SELECT pg_advisory_lock($1)", queries.LEADER_LOCK)
        async with house.relay():

            async def nobody_leads() -> bool:
                return "nobody leads" in (await complaint(house.owner) or "")

            await eventually(nobody_leads)
    finally:
        silent.terminate()
