"""`sofipo verify` finds nothing on a lender that lived through everything, and whatever somebody changes behind it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass

import pytest
from backend_api.audit import verification
from backend_api.audit.archive import Archive, Document, open_archive
from backend_api.audit.verification import Check, Report
from backend_api.cli import verify as telling
from backend_api.db.pools import Connection
from backend_api.outbox import broker

from tests.chaos.oracle import content_hash
from tests.engine.conftest import lending
from tests.engine.lender import Lender
from tests.support.builders import LOANS, Json
from tests.support.event_database import EventDatabase, event_database
from tests.support.processes import free_port, try_command

PAST_THE_RULES = "SET LOCAL session_replication_role = replica"


@dataclass(frozen=True)
class Scene:
    """A lender with a past, and the documents of its events."""

    lender: Lender
    couch: EventDatabase
    archive: Archive
    loan: Json

    async def verify(self, *, quick: bool = True, port: int | None = None) -> Report:
        """Look at everything, as the owner, so that a change need not be committed to be seen."""
        settings = self.lender.resources.settings
        if port is not None:
            settings = settings.model_copy(update={"rabbitmq_port": port})
        return await verification.verify(
            self.lender.owner, self.archive, broker.url(settings), lambda *_: None, quick=quick
        )

    @property
    def event(self) -> str:
        """The id of an event in the middle of a chain."""
        return f"{self.loan['client_id']}:000000000003"


@pytest.fixture(scope="module")
async def scene(server: Connection, pattern: str) -> AsyncIterator[Scene]:
    """Loans in every way they can go, two closed days, and all of it told."""
    async with lending(server, pattern) as lender:
        settings = lender.resources.settings
        loan = await lender.grant(amount="36000.00", interest_rate="0.10")
        lost, renewed = await lender.grant(), await lender.grant(client_id=loan["client_id"])
        await lender.pay(loan, "1500.00")
        taken_back = await lender.pay(loan, "700.00")
        await lender.close_days(20)
        await change(lender, loan, "fees", amount="350.00", reason="Second copy.")
        await change(lender, loan, "waivers", concept="fees", amount="100.00")
        assert (await lender.reverse(taken_back)).status_code == 200
        await change(lender, renewed, "restructure", interest_rate="0.05", term_months=24)
        await lender.close_days(60)
        await change(lender, lost, "write-off", reason="The client cannot be found.")
        await lender.pay(lost, "10.00")
        async with event_database(settings) as couch, open_archive(settings, couch.name) as archive:
            await couch.store(lender.owner)
            yield Scene(lender, couch, archive, loan)


async def change(lender: Lender, loan: Json, what: str, **body: object) -> None:
    """Do something to a loan."""
    answer = await lender.api.post(f"{LOANS}/{loan['id']}/{what}", json=body)
    assert answer.status_code < 300, answer.text


def found(report: Report) -> dict[str, list[str]]:
    """The sentences of each check that differs."""
    return {check.name: [one.sentence for one in check.findings] for check in report.checks if check.differences}


async def test_nothing_is_found_and_the_digest_is_of_the_content_only(scene: Scene) -> None:
    report = await scene.verify(quick=False)
    assert found(report) == {}
    events, documents, books, loans, parked = report.checks
    assert events.looked_at == documents.looked_at > 90
    assert (books.looked_at > 20, loans.looked_at, parked.looked_at) == (True, 4, 0)
    assert report.digest is not None
    assert (await scene.verify()).digest == report.digest


async def test_nothing_is_found_on_an_invented_lender(told: Lender) -> None:
    settings = told.resources.settings
    async with event_database(settings) as couch, open_archive(settings, couch.name) as archive:
        await couch.store(told.owner)
        report = await verification.verify(told.owner, archive, broker.url(settings), lambda *_: None, quick=True)
        assert found(report) == {}
        assert report.checks[1].looked_at == await told.owner.fetchval("SELECT count(*) FROM events")


async def _reseal(scene: Scene) -> None:
    await scene.couch.change(scene.event, actor="somebody else")
    await scene.couch.change(scene.event, hash=content_hash(await scene.couch.get(scene.event)))


DOCUMENTS: dict[str, tuple[Callable[[Scene], Awaitable[None]], str]] = {
    "changed": (lambda scene: scene.couch.change(scene.event, actor="x"), "The document is not what its event says."),
    "sealed again": (_reseal, "The document is not what its event says."),
    "missing": (lambda scene: scene.couch.remove(scene.event), "The event is no document."),
    "too many": (
        lambda scene: scene.couch.add({"_id": f"{scene.loan['client_id']}:000000009999"}),
        "The document belongs to no event.",
    ),
    "of nobody": (lambda scene: scene.couch.add({"_id": "zzz"}), "The document belongs to no event."),
}


@pytest.mark.parametrize("what", DOCUMENTS)
async def test_a_document_that_is_not_as_its_event_is_named(
    what: str, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verification, "ON_THEIR_WAY_SECONDS", 0.0)
    harm, sentence = DOCUMENTS[what]
    before = await scene.verify()
    async with event_database(scene.lender.resources.settings) as couch:
        await couch.store(scene.lender.owner)
        async with open_archive(scene.lender.resources.settings, couch.name) as archive:
            copy = Scene(scene.lender, couch, archive, scene.loan)
            await harm(copy)
            report = await copy.verify()
    assert found(report) == {"documents": [sentence]}
    assert report.checks[1].findings[0].remedy
    assert report.digest not in (None, before.digest)
    assert {name for name, part in report.parts.items() if part != before.parts[name]} == {"documents"}


HASH = "It does not have the hash of its content."
ROWS = {
    "an event's content": ("UPDATE events SET actor = 'x' WHERE sequence = 3", {"events": HASH}, "events"),
    "a link": (
        "UPDATE events SET prev_hash = hash WHERE sequence = 3",
        {"events": "It does not name the hash of the event before it."},
        "events",
    ),
    "a missing event": (
        "DELETE FROM events WHERE sequence = 3",
        {"events": "It follows number 2: what was between is missing."},
        "events",
    ),
    "a missing last event": (
        "DELETE FROM events e USING clients c WHERE c.id = e.aggregate_id AND c.event_sequence = e.sequence",
        {"events": "Its row points at event"},
        "events",
    ),
    "a whole chain": (
        "DELETE FROM events e USING clients c WHERE c.id = e.aggregate_id",
        {"events": "events are counted and none is there."},
        "events",
    ),
    "a head": ("UPDATE clients SET chain_head = sha256('x')", {"events": "Its row points at event"}, None),
    "somebody": ("DELETE FROM clients", {"events": "It has events, and there is no such row in any table."}, None),
    "a posting": (
        "UPDATE postings SET amount = amount + 1 WHERE account = '1301' AND amount = 36000",
        {"books": "The entry is off balance by 1.00.", "loans": "by its entries"},
        "books",
    ),
    "a closed day": (
        "UPDATE daily_totals SET debit = debit + 1 WHERE account = '1301'",
        {"books": "The postings of a closed day are not what its totals say."},
        None,
    ),
    "a payment": ("UPDATE payments SET amount = amount + 1 WHERE amount = 1500", {}, "books"),
    "a balance": (
        "UPDATE loans SET current_balance = current_balance - 1 WHERE amount = 36000",
        {"loans": "The loan owes"},
        "loans",
    ),
    "an account": (
        "UPDATE loans SET account = replace(account::text, 'before\":\"', 'before\":\"9')::json WHERE amount = 36000",
        {"loans": "Its movements, worked out anew, do not give what its row holds."},
        "loans",
    ),
    "something parked": (
        "INSERT INTO outbox SELECT aggregate_id, 999, 0, now(), now(), 'too large' FROM events LIMIT 1",
        {"parked": "The relay has parked the event: too large."},
        None,
    ),
}


@pytest.mark.parametrize("what", ROWS)
async def test_a_row_that_was_changed_past_the_rules_is_named(
    what: str, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verification, "ON_THEIR_WAY_SECONDS", 0.0)
    statement, wanted, part = ROWS[what]
    owner = scene.lender.owner
    before = await scene.verify(quick=False)
    harm = owner.transaction(isolation="repeatable_read")
    await harm.start()
    try:
        await owner.execute(PAST_THE_RULES)
        assert await owner.execute(statement) not in ("UPDATE 0", "DELETE 0")
        report = await scene.verify(quick=False)
    finally:
        await harm.rollback()
    differences = found(report)
    for name, sentence in wanted.items():
        assert any(sentence in one for one in differences[name]), differences
    assert differences.keys() - {"documents"} == wanted.keys()
    changed = {name for name, digest in report.parts.items() if digest != before.parts[name]}
    assert changed == ({part} if part else set())
    assert (report.digest == before.digest) is (part is None)


async def test_what_is_on_its_way_is_waited_for(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    document = await scene.couch.get(scene.event)
    await scene.couch.remove(scene.event)
    del document["_rev"]
    usual = scene.archive.after

    async def arrives_just_then(last: str, limit: int, end: str | None = None) -> Sequence[Document]:
        read = await usual(last, limit, end)
        assert scene.event not in {one["_id"] for one in read}
        await scene.couch.add(document)
        return read

    monkeypatch.setattr(scene.archive, "after", arrives_just_then)
    report = await scene.verify()
    assert found(report) == {}
    assert report.checks[1].looked_at == report.checks[0].looked_at


async def test_what_could_not_be_looked_at_is_said_and_gives_no_digest(scene: Scene) -> None:
    settings = scene.lender.resources.settings.model_copy(update={"couchdb_port": free_port()})
    async with open_archive(settings) as away:
        report = await Scene(scene.lender, scene.couch, away, scene.loan).verify(port=free_port())
    assert {check.name for check in report.checks if check.not_looked} == {"documents", "parked"}
    assert (found(report), report.digest) == ({}, None)
    told = "\n".join(telling.lines(report))
    assert "not looked  documents" in told
    assert "digest none" in told


def test_of_many_differences_the_first_are_named_and_all_are_counted() -> None:
    check = Check("events")
    for number in range(50):
        check.differs(number, "It is gone.", "Look for it.")
    assert (check.differences, len(check.findings)) == (50, verification.NAMED)
    told = "\n".join(telling.lines(Report([check], {})))
    assert "differs     events" in told
    assert "0: It is gone. Look for it." in told
    assert "and 30 more" in told


async def test_as_a_command_it_ends_with_a_code_of_its_own(scene: Scene) -> None:
    name = scene.lender.resources.settings.postgres_db
    code, output = await try_command(
        "-m", "backend_api.cli", "verify", "--quick", POSTGRES_DB=name, COUCHDB_PORT=str(free_port())
    )
    assert (code, "ok          loans" in output) == (2, True), output
    code, output = await try_command("-m", "backend_api.cli", "verify", POSTGRES_PORT=str(free_port()))
    assert (code, "The primary cannot be asked" in output) == (2, True)
