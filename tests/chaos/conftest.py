"""The whole chain for every test, and chains with a broken link for the controls."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from tests.chaos import chain as chains
from tests.chaos.chain import Chain
from tests.chaos.nursery import CONSUMER, RELAY, Nursery

FOLDER = Path(__file__).parent
BuildChain = Callable[..., AbstractAsyncContextManager[Chain]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """These tests restart the servers, which no other test's open connection would survive: they come first."""
    items.sort(key=lambda item: not item.path.is_relative_to(FOLDER))


@pytest.fixture(scope="session")
async def services() -> AsyncIterator[Nursery]:
    """Where relays and consumers come from."""
    made = Nursery()
    yield made
    await made.close()


@pytest.fixture(scope="session")
async def template() -> AsyncIterator[str]:
    """An initialised database, to be copied."""
    async with chains.template() as name:
        yield name


@pytest.fixture
def build(template: str, services: Nursery, tmp_path: Path) -> BuildChain:
    """Builds a chain, with another relay or consumer if one is named."""

    @asynccontextmanager
    async def make(relay: str = RELAY, consumer: str = CONSUMER) -> AsyncIterator[Chain]:
        async with chains.chain(template, services, tmp_path, relay=relay, consumer=consumer) as made:
            await made.start()
            yield made

    return make


@pytest.fixture
async def chain(build: BuildChain) -> AsyncIterator[Chain]:
    """A chain as it is deployed."""
    async with build() as made:
        yield made
