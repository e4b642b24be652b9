"""The three services as they are deployed, each by its own command, on the real servers."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx2
import pytest

from tests.chaos import chain as chains
from tests.chaos.chain import Chain
from tests.chaos.nursery import Nursery
from tests.support.processes import api_process, consumer_process, relay_process


@dataclass
class Pipeline:
    """The running services, and ways to look at what they made."""

    chain: Chain
    address: str
    http: httpx2.AsyncClient
    pesos_paid: int = 0
    """How many payments of one peso the tests have made."""


@pytest.fixture(scope="module")
async def pipeline(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pipeline]:
    """API with two workers, relay and consumer over a fresh database."""
    folder = tmp_path_factory.mktemp("pipeline")
    async with chains.template() as template, chains.chain(template, Nursery(), folder) as chain:
        database = chain.settings.postgres_db
        async with (
            consumer_process(folder),
            relay_process(folder, POSTGRES_DB=database),
            api_process(folder, workers=2, POSTGRES_DB=database) as (_, address),
            httpx2.AsyncClient(base_url=address, timeout=15.0) as http,
        ):
            yield Pipeline(chain, address, http)
