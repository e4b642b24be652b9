"""Who may make which call: every operation of the document × every role, every scope of an API key and nobody.

What is allowed stands here once more, apart from the code: a route that is not in the table fails, and so does one that
answers anybody it should not. Borrowers get their own objects, and of other people's what they get of unknown ones.
"""

from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from backend_api.app import create_app
from backend_api.auth.permissions import Permission, Role
from backend_api.settings import Environment, Settings
from fastapi import FastAPI, Request

from tests.support.builders import Json, get, new_client, new_loan, pay
from tests.support.customer_space import order_of
from tests.support.service import client_of, signed_in_as

ANYBODY = "anybody"
SIGNED_IN = "everybody who signed in"
PERSON = "a person who signed in"
NEEDED: dict[str, str] = {
    **dict.fromkeys(["welcome", "isAlive", "isReady", "health"], ANYBODY),
    **dict.fromkeys(["signIn", "refreshSession", "redeemOneTimeSecret"], ANYBODY),
    **dict.fromkeys(["whoAmI", "previewLoan"], SIGNED_IN),
    **dict.fromkeys(["signOut", "listSessions", "endSession", "endAllSessions", "changePassword"], PERSON),
    **dict.fromkeys(["getClient", "listClients", "getBalance", "getAccountStatement"], "clients:read"),
    "exportPersonalData": "clients:read",
    **dict.fromkeys(["createClient", "replaceClient", "updateClient", "deleteClient"], "clients:write"),
    **dict.fromkeys(["listLoans", "listClientLoans", "getLoan", "getSchedule", "getPayoffQuote"], "loans:read"),
    "listMovements": "loans:read",
    **dict.fromkeys(["createLoan", "updateLoan", "deleteLoan", "activateLoan", "rejectLoan"], "loans:write"),
    **dict.fromkeys(
        ["cancelLoan", "chargeFee", "waive", "writeOffLoan", "reverseWriteOff", "restructureLoan"], "loans:write"
    ),
    **dict.fromkeys(["listPayments", "getPayment", "listLoanPayments", "listClientPayments"], "payments:read"),
    **dict.fromkeys(["payLoan", "payClient", "reversePayment"], "payments:write"),
    **dict.fromkeys(["listApprovals", "getApproval"], "approvals:read"),
    **dict.fromkeys(["grantApproval", "refuseApproval"], "approvals:decide"),
    **dict.fromkeys(["listProducts", "getProduct", "getProductVersion"], "products:read"),
    **dict.fromkeys(["createProduct", "replaceProduct", "retireProduct"], "products:write"),
    **dict.fromkeys(["importClients", "cancelImport"], "imports:write"),
    **dict.fromkeys(["listImports", "getImport", "listImportErrors", "downloadImportResult"], "imports:read"),
    "exportClients": "clients:read",
    "exportLoans": "loans:read",
    "exportPayments": "payments:read",
    **dict.fromkeys(["getDashboard", "getPortfolioSummary", "listAgedLoans"], "portfolio:read"),
    **dict.fromkeys(["getTrialBalance", "listLedgerEntries", "listLedgerPeriods"], "ledger:read"),
    "closeLedgerPeriod": "ledger:close",
    **dict.fromkeys(["listUsers", "getUser"], "users:read"),
    **dict.fromkeys(["createUser", "updateUser", "disableUser", "resetPassword"], "users:write"),
    **dict.fromkeys(["listApiKeys", "getApiKey"], "api_keys:read"),
    **dict.fromkeys(["createApiKey", "revokeApiKey", "rotateApiKey"], "api_keys:write"),
    **dict.fromkeys(["listDecoys", "getDecoy", "listRecordReaders"], "audit:read"),
    **dict.fromkeys(["listClientEvents", "listLoanEvents"], "audit:read"),
    **dict.fromkeys(["moListCustomers", "moGetBalance"], "clients:read"),
    **dict.fromkeys(["moListLoans", "moGetLoan", "moListCustomerLoans"], "loans:read"),
    **dict.fromkeys(["moListUsers", "moGetUser"], "users:read"),
    "moCreateCustomer": "clients:write",
    "moCreateLoan": "loans:write",
    "moRegisterPayment": "payments:write",
    **dict.fromkeys(["espacioSignIn", "takeGatewayNotice"], ANYBODY),
    **dict.fromkeys(["getOwnDebts", "getCart", "replaceCart", "emptyCart", "putIntoCart"], "own:account"),
    **dict.fromkeys(["takeFromCart", "checkOutCart", "getCheckout"], "own:account"),
    **dict.fromkeys(["listOwnPayments", "getOwnPayment", "reverseOwnPayment"], "own:account"),
    **dict.fromkeys(["espacioDebts", "espacioCart", "espacioPay", "espacioUndo"], "own:account"),
}
OWN = {"clients:read", "loans:read", "payments:read"}
OFFICE = OWN | {"clients:write", "loans:write", "payments:write", "approvals:read", "approvals:decide", "products:read",
                "imports:read", "imports:write", "portfolio:read", "ledger:read"}  # fmt: skip
MAY: dict[str, set[str]] = {
    "admin": OFFICE
    | {"products:write", "ledger:close", "users:read", "users:write", "api_keys:read", "api_keys:write", "audit:read"},
    "officer": OFFICE,
    "auditor": {
        *OWN,
        "approvals:read",
        "products:read",
        "imports:read",
        "portfolio:read",
        "ledger:read",
        "users:read",
        "api_keys:read",
        "audit:read",
    },
    "client": OWN | {"own:account"},
}
NOT_FOR_KEYS = {"users:write", "api_keys:write", "events:replay", "own:account"}
LOOKUP = "getClient"
"""Answers nobody too, if they know an RFC."""
SIGNS_OUT = {"signOut", "endAllSessions"}
UNKNOWN = {"code": "NOSUCH", "version": "1", "period": "2199-12"}
"""Parts of paths that are no ids."""
OBJECTS = {"client_id", "key", "loan_id", "payment_id", "checkout_id"}

Operations = dict[str, tuple[str, str]]


def operations(document: Json) -> Operations:
    """Method and path of every operation."""
    return {
        operation["operationId"]: (method.upper(), path)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


OPERATIONS = operations(create_app(Settings(environment=Environment.DEVELOPMENT)).openapi())


@dataclass(frozen=True, slots=True)
class Callers:
    """One of every role, a key of every scope, nobody; what one borrower has, and what another has."""

    roles: dict[str, httpx2.AsyncClient]
    keys: dict[str, httpx2.AsyncClient]
    nobody: httpx2.AsyncClient
    own: dict[str, str]
    others: dict[str, str]


async def possessions(api: httpx2.AsyncClient) -> dict[str, str]:
    """A borrower with a loan and a payment, by the names of their parts of paths."""
    client = await new_client(api)
    loan = await new_loan(api, client["id"])
    payment: Json = (await pay(api, loan["id"])).json()
    return {"client_id": client["id"], "key": client["id"], "loan_id": loan["id"], "payment_id": payment["id"]}


@pytest.fixture(scope="module")
async def callers(app: FastAPI, api: httpx2.AsyncClient) -> AsyncIterator[Callers]:
    """Everybody, signed in."""
    own, others = await possessions(api), await possessions(api)
    async with AsyncExitStack() as stack:
        roles = {
            role.value: await stack.enter_async_context(
                signed_in_as(app, role, UUID(own["client_id"]) if role is Role.CLIENT else None)
            )
            for role in Role
        }
        stranger = await stack.enter_async_context(signed_in_as(app, Role.CLIENT, UUID(others["client_id"])))
        for borrower, theirs in ((roles["client"], own), (stranger, others)):
            theirs["checkout_id"] = (await order_of(borrower, {"id": theirs["loan_id"]}))["id"]
        keys = {}
        for permission in Permission:
            body = {"name": f"only {permission}", "scopes": [permission.value]}
            made = await roles["admin"].post("/api/v1/api-keys", json=body)
            if permission.value in NOT_FOR_KEYS:
                assert made.status_code == 422, made.text
                continue
            assert made.status_code == 201, made.text
            keys[permission.value] = await stack.enter_async_context(client_of(app, {"X-API-Key": made.json()["key"]}))
        nobody = await stack.enter_async_context(client_of(app))
        yield Callers(roles, keys, nobody, own, others)


async def call(caller: httpx2.AsyncClient, operation: tuple[str, str], parts: dict[str, str]) -> httpx2.Response:
    """The answer to a call with an empty body about these objects, and about unknown ones where none is given."""
    method, template = operation
    names = [part.strip("{}") for part in template.split("/") if part.startswith("{")]
    path = template
    for name in names:
        path = path.replace(f"{{{name}}}", parts.get(name) or UNKNOWN.get(name) or str(uuid4()))
    return await caller.request(method, path, json={} if method in ("POST", "PUT", "PATCH") else None)


def fault(answer: httpx2.Response, *, allowed: bool, known: bool) -> str | None:
    """What is wrong with how a caller was let in or kept out."""
    if allowed:
        refusal = {"unauthenticated", "forbidden", None}  # an older contract tells no code
        kept_out = answer.status_code in (401, 403) and answer.json().get("code") in refusal
        return f"kept out with {answer.status_code}" if kept_out else None
    status = 403 if known else 401
    return None if answer.status_code == status else f"{answer.status_code} instead of {status}"


def undeclared(found: Iterable[str]) -> set[str]:
    """Operations of which nobody said who may call them."""
    return set(found) - NEEDED.keys()


def test_the_table_names_every_operation_and_no_other() -> None:
    assert undeclared(OPERATIONS) == set()
    assert NEEDED.keys() - OPERATIONS.keys() == set()


@pytest.mark.parametrize("name", OPERATIONS)
async def test_nobody_gets_only_what_is_for_anybody(name: str, callers: Callers) -> None:
    answer = await call(callers.nobody, OPERATIONS[name], callers.others)
    assert fault(answer, allowed=NEEDED[name] == ANYBODY, known=False) is None


@pytest.mark.parametrize("role", [role.value for role in Role])
@pytest.mark.parametrize("name", [name for name in OPERATIONS if name not in SIGNS_OUT])
async def test_a_role_gets_what_it_may(name: str, role: str, callers: Callers) -> None:
    allowed = NEEDED[name] in {*MAY[role], ANYBODY, SIGNED_IN, PERSON}
    answer = await call(callers.roles[role], OPERATIONS[name], callers.own if role == "client" else {})
    assert fault(answer, allowed=allowed, known=True) is None
    if role == "client" and allowed:
        assert answer.status_code == 404 if "session_id" in OPERATIONS[name][1] else answer.status_code != 404


@pytest.mark.parametrize("name", SIGNS_OUT)
@pytest.mark.parametrize("role", [role.value for role in Role])
async def test_everybody_may_sign_out(name: str, role: str, app: FastAPI) -> None:
    async with signed_in_as(app, Role(role)) as caller:
        assert fault(await call(caller, OPERATIONS[name], {}), allowed=True, known=True) is None


@pytest.mark.parametrize("scope", [permission.value for permission in Permission if permission not in NOT_FOR_KEYS])
async def test_a_key_gets_what_its_one_scope_says(scope: str, callers: Callers) -> None:
    found = {}
    for name, operation in OPERATIONS.items():
        if name in SIGNS_OUT:
            continue
        answer = await call(callers.keys[scope], operation, {})
        allowed = NEEDED[name] in {scope, ANYBODY, SIGNED_IN}
        found[name] = fault(answer, allowed=allowed, known=True)
    assert {name: wrong for name, wrong in found.items() if wrong} == {}


@pytest.mark.parametrize(
    "name", [name for name, (_, path) in OPERATIONS.items() if any(f"{{{part}}}" in path for part in OBJECTS)]
)
async def test_of_other_people_s_objects_a_borrower_learns_nothing(name: str, callers: Callers) -> None:
    borrower = callers.roles["client"]
    others = await call(borrower, OPERATIONS[name], callers.others)
    unknown = await call(borrower, OPERATIONS[name], {})
    assert others.status_code == (404 if NEEDED[name] in MAY["client"] else 403)
    assert without_ids(others) == without_ids(unknown)


def without_ids(answer: httpx2.Response) -> tuple[int, Any, dict[str, str]]:
    """An answer without what differs from request to request."""
    headers = {key: value for key, value in answer.headers.items() if key not in ("x-request-id", "ratelimit")}
    return answer.status_code, {**answer.json(), "request_id": ""}, headers


@pytest.mark.parametrize("path", ["/api/v1/clients", "/api/v1/loans", "/api/v1/payments"])
async def test_a_borrower_s_lists_hold_their_own_and_nothing_else(path: str, callers: Callers) -> None:
    page = await get(callers.roles["client"], path, params={"limit": "100"})
    wanted = {"/api/v1/clients": "client_id", "/api/v1/loans": "loan_id", "/api/v1/payments": "payment_id"}[path]
    assert [row["id"] for row in page["data"]] == [callers.own[wanted]]


async def test_a_route_without_a_permission_is_found() -> None:
    """The control: what such a route looks like to the tests above."""
    app = create_app(Settings(environment=Environment.DEVELOPMENT))

    async def everything(request: Request) -> dict[str, str]:
        return {"all of it": str(request.url)}

    app.add_api_route("/api/v1/everything", everything, operation_id="readEverything")
    assert undeclared(operations(app.openapi())) == {"readEverything"}
    async with client_of(app) as nobody:
        answer = await nobody.get("/api/v1/everything")
    assert fault(answer, allowed=False, known=False) == "200 instead of 401"
    assert fault(answer, allowed=False, known=True) == "200 instead of 403"
