"""What is fuzzed: a running API, somebody of every role, and the borrowers whose data must not get out."""

from dataclasses import dataclass
from uuid import UUID, uuid4

import httpx2
from backend_api.auth.permissions import Role
from backend_api.settings import Settings

from tests.support.builders import Json, new_client, new_loan, pay
from tests.support.processes import Process
from tests.support.service import create_user, running, sign_in

ANONYMOUS = "anonymous"
CURP = "PEPJ800101HDFRRN03"
CLABE = "032180000118359719"
OTHER_CURP = "TOAA850202MDFRRN00"
OTHER_CLABE = "012180000118359700"
PASSWORD = "correct horse battery"


@dataclass(frozen=True, slots=True)
class Target:
    """The process and its address; headers by role; ids by the name of their part of a path."""

    process: Process
    address: str
    headers: dict[str, dict[str, str]]
    ids: dict[str, list[str]]
    private: dict[str, frozenset[str]]
    """Ids and identifiers of borrowers that a role must not see."""
    secrets: frozenset[str]
    """What may stand in no log."""


@dataclass(frozen=True, slots=True)
class Borrower:
    """A client with loans and a payment."""

    client: Json
    loans: list[Json]
    payment: Json

    @property
    def identifiers(self) -> set[str]:
        """What names this person or anything of theirs."""
        named = {self.client[field] for field in ("id", "rfc", "email", "curp", "clabe", "external_id")}
        return named | {loan[field] for loan in self.loans for field in ("id", "external_id")} | {self.payment["id"]}


async def prepare(process: Process, address: str, settings: Settings) -> Target:
    """Register borrowers with loans in every state that a call needs, and sign in somebody of every role."""
    names = {role: f"{role.value}-{uuid4().hex[:8]}" for role in Role}
    headers: dict[str, dict[str, str]] = {ANONYMOUS: {}}
    async with running(settings) as app, httpx2.AsyncClient(base_url=address, timeout=30.0) as api:

        async def join(role: Role, client_id: UUID | None = None) -> None:
            await create_user(app.state.resources, names[role], PASSWORD, role, client_id)
            headers[role.value] = {"Authorization": f"Bearer {await sign_in(api, names[role], PASSWORD)}"}

        for role in (Role.ADMIN, Role.OFFICER, Role.AUDITOR):
            await join(role)
        api.headers.update(headers[Role.ADMIN.value])
        own, other = [await _borrower(api, curp, clabe) for curp, clabe in ((CURP, CLABE), (OTHER_CURP, OTHER_CLABE))]
        asked = await api.post("/api/v1/imports/clients", params={"format": "csv"}, content=b"full_name,email,rfc\n")
        del api.headers["Authorization"]
        await join(Role.CLIENT, UUID(own.client["id"]))
    ids = {
        "client_id": [own.client["id"], other.client["id"]],
        "key": [own.client["rfc"], other.client["rfc"]],
        "loan_id": [loan["id"] for loan in (*own.loans, *other.loans)],
        "payment_id": [own.payment["id"], other.payment["id"]],
        "customer": [own.client["external_id"], other.client["external_id"]],
        "import_id": [asked.json()["id"]],
        "code": ["STANDARD"],
        "product": ["STANDARD"],
        "version": ["1"],
    }
    everybody = frozenset(own.identifiers | other.identifiers)
    private = {Role.CLIENT.value: frozenset(other.identifiers), ANONYMOUS: everybody}
    people = {borrower.client[field] for borrower in (own, other) for field in ("rfc", "email", "curp", "clabe")}
    tokens = {value["Authorization"].partition(" ")[2] for value in headers.values() if value}
    return Target(process, address, headers, ids, private, frozenset({*people, *tokens, PASSWORD}))


async def _borrower(api: httpx2.AsyncClient, curp: str, clabe: str) -> Borrower:
    client = await new_client(api, curp=curp, clabe=clabe, phone="+52 55 1234 5678", external_id=str(uuid4()))
    states = ("ACTIVE", "ACTIVE", "PENDING")
    loans = [await new_loan(api, client["id"], status=status, external_id=str(uuid4())) for status in states]
    return Borrower(client, loans, (await pay(api, loans[0]["id"])).json())
