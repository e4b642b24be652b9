"""In which order the Postman collection makes the calls: each with what it sends, checks and keeps.

What is not said here is as the OpenAPI document has it: the example is sent, `{client_id}` in an address is the
variable of that name, the answer has the first good status. `{{name}}` is a variable of the collection.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

NOTHING: Mapping[str, Any] = {}


@dataclass(frozen=True)
class Step:
    """One request of the walk."""

    operation: str
    title: str = ""
    """Instead of the call's summary, where a call is made more than once."""
    by: str | None = "access_token"
    """The variable with the caller's token, or, ending in `_key`, an API key. None: nobody, as also in open calls."""
    body: Mapping[str, Any] | None = None
    text: str = ""
    """What is sent instead of a body of fields: a file of plain text."""
    path: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    status: tuple[int, ...] = ()
    """Which answers are good."""
    holds: Mapping[str, Any] = field(default_factory=dict)
    """Places of the answer (`data.0.id`) and what stands there."""
    keeps: Mapping[str, str] = field(default_factory=dict)
    """Variables that are set, and from which places of the answer."""
    before: str = ""
    """A script that runs before the request is sent."""
    note: str = ""
    """What the reader should know beside the document's description."""


SHARED_SCRIPT = """
// Names that nobody has yet, so that the folder may be run again on the same stack.
if (!pm.collectionVariables.get("run")) {
    const any = (signs) => signs[Math.floor(Math.random() * signs.length)];
    const pick = (signs, count) => Array.from({ length: count }, () => any(signs)).join("");
    pm.collectionVariables.set("run", pick("ABCDEFGHJKLMNPQRSTUVWXYZ23456789", 8));
    for (const name of ["rfc", "other_rfc"]) {
        const letters = pick("ABCDEFGHIJKLMNOPQRSTUVWXYZ", 3);
        pm.collectionVariables.set(name, `T${letters}800101${pick("123456789ABCDEFG", 3)}`);
    }
}
"""
NEW_RUN = 'pm.collectionVariables.unset("run");'

PASSWORD = "tres tristes tigres"
OFFICER = "ines-{{run}}"
PRODUCT = {
    "name": "Payroll loan",
    "terms": {"interest_rate": "0.36", "installments": 24, "frequency": {"unit": "semimonth"}},
    "limits": {"min_amount": "5000.00", "max_amount": "100000.00", "max_installments": 72},
}
LOAN = {"client_id": "{{client_id}}", "amount": 50000.00, "interest_rate": 0.15, "term_months": 24}
SMALL_LOAN = {**LOAN, "amount": 1000.00, "term_months": 12}
PENDING = {**SMALL_LOAN, "status": "PENDING"}
REASON = {"reason": "Of somebody else."}

BORROWER = "carlos-{{run}}"
OWN_PAYMENT = {"payment_id": "{{own_payment_id}}"}
SIGN_NOTICE = """
// As the gateway signs: an HMAC of time and body under the secret that it shares with the API.
const seconds = Math.floor(Date.now() / 1000);
const body = pm.variables.replaceIn(pm.request.body.raw);
const signature = CryptoJS.HmacSHA256(`${seconds}.${body}`, pm.environment.get("gateway_secret"));
pm.collectionVariables.set("signature", `t=${seconds},v1=${signature}`);
"""
NOTICE: Mapping[str, Any] = {
    "body": {
        "order_id": "{{checkout_id}}",
        "status": "paid",
        "transaction_code": "PM-{{run}}",
        "amount": "{{order_total}}",
        "sequence": 1,
    },
    "headers": {"Sofipo-Signature": "{{signature}}"},
    "before": SIGN_NOTICE,
    "holds": {"outcome": "registered"},
}


def _loan(variable: str) -> dict[str, str]:
    return {"loan_id": f"{{{{{variable}}}}}"}


def _signs_in(title: str, token: str, username: str = OFFICER) -> Step:
    return Step(
        "signIn", title, body={"username": username, "password": PASSWORD}, keeps={token: "access_token"}
    )  # fmt: skip


def _asks_for_loan(title: str, variable: str) -> Step:
    return Step("createLoan", title, body=PENDING, holds={"status": "PENDING"}, keeps={variable: "id"})


WALK: tuple[tuple[str, str, tuple[Step, ...]], ...] = (
    (
        "1 The service and who calls it",
        "Sign in first: every other request sends the token that this one keeps.",
        (
            Step("welcome", before=NEW_RUN),
            Step("isAlive"),
            Step("isReady"),
            Step("health"),
            Step(
                "signIn",
                body={"username": "{{username}}", "password": "{{password}}"},
                holds={"token_type": "bearer"},
                keeps={"access_token": "access_token", "refresh_token": "refresh_token"},
            ),
            Step("whoAmI", holds={"username": "{{username}}", "role": "admin"}),
            Step(
                "refreshSession",
                body={"refresh_token": "{{refresh_token}}"},
                keeps={"access_token": "access_token", "refresh_token": "refresh_token"},
            ),
            Step("listSessions"),
        ),
    ),
    (
        "2 A client",
        "The person who borrows, and what others get to see of them.",
        (
            Step(
                "createClient",
                body={
                    "full_name": "Carlos Perez",
                    "email": "carlos.{{run}}@example.com",
                    "rfc": "{{rfc}}",
                    "credit_limit": "500000.00",
                },
                holds={"status": "ACTIVE", "rfc": "{{rfc}}", "version": 1},
                keeps={"client_id": "id"},
            ),
            Step("getClient", path={"key": "{{client_id}}"}, holds={"full_name": "Carlos Perez"}),
            Step(
                "getClient",
                "Look a client up without a token",
                by=None,
                path={"key": "{{rfc}}"},
                holds={"id": "{{client_id}}", "full_name": "C. P."},
                note="Masked, unless the operator says otherwise.",
            ),
            Step("listClients", query={"limit": "10", "sort": "-created_at"}, holds={"data.0.id": "{{client_id}}"}),
            Step(
                "updateClient",
                headers={"If-Match": '"0"'},
                status=(412,),
                title="Change a client that somebody changed meanwhile",
                note="`If-Match` holds the ETag of what the caller has seen; this one is of nothing.",
            ),
            Step("updateClient", holds={"phone": "+52 55 1234 5678"}),
            Step(
                "replaceClient",
                body={
                    "full_name": "Carlos Perez Lopez",
                    "email": "carlos.{{run}}@example.com",
                    "rfc": "{{rfc}}",
                    "credit_limit": "500000.00",
                },
                holds={"full_name": "Carlos Perez Lopez", "phone": None},
            ),
        ),
    ),
    (
        "3 Products",
        "The terms that loans copy.",
        (
            Step(
                "createProduct",
                body={"code": "P{{run}}", **PRODUCT},
                holds={"version": 1},
                keeps={"code": "code"},
            ),
            Step("listProducts"),
            Step("getProduct", holds={"code": "{{code}}"}),
            Step("replaceProduct", body={**PRODUCT, "name": "Payroll loan, new"}, holds={"name": "Payroll loan, new"}),
            Step("getProductVersion", path={"version": "1"}, holds={"version": 1}),
        ),
    ),
    (
        "4 A loan",
        "From the question what it would cost to the money that is handed over.",
        (
            Step("previewLoan", body={"amount": "50000.00", "interest_rate": "0.15", "installments": 24}),
            Step(
                "createLoan",
                body=LOAN,
                holds={"status": "ACTIVE", "current_balance": "50000.00"},
                keeps={"loan_id": "id"},
            ),
            Step("getLoan", holds={"id": "{{loan_id}}"}),
            Step("getSchedule", holds={"installments.0.number": 1}),
            Step("listLoans", query={"client_id": "{{client_id}}"}, holds={"data.0.id": "{{loan_id}}"}),
            Step("listClientLoans", holds={"data.0.id": "{{loan_id}}"}),
            Step(
                "createLoan",
                "Grant a loan of the product",
                body={"client_id": "{{client_id}}", "product": "{{code}}", "amount": "5000.00"},
                holds={"product": "{{code}}", "status": "ACTIVE"},
                keeps={"product_loan_id": "id"},
            ),
            _asks_for_loan("Ask for a loan", "asked_loan_id"),
            Step("updateLoan", path=_loan("asked_loan_id")),
            Step("activateLoan", path=_loan("asked_loan_id"), holds={"status": "ACTIVE"}),
            Step("deleteLoan", path=_loan("asked_loan_id"), holds={"status": "CANCELLED"}),
            _asks_for_loan("Ask for another one", "asked_loan_id"),
            Step("rejectLoan", path=_loan("asked_loan_id"), holds={"status": "REJECTED"}),
            _asks_for_loan("Ask for a third one", "asked_loan_id"),
            Step("cancelLoan", path=_loan("asked_loan_id"), holds={"status": "CANCELLED"}),
        ),
    ),
    (
        "5 Payments",
        "On one loan, on several, and taken back.",
        (
            Step(
                "payLoan",
                holds={"status": "REGISTERED", "amount": "2500.00"},
                keeps={"payment_id": "id"},
            ),
            Step("getLoan", "What is still owed", holds={"current_balance": "47500.00"}),
            Step("getPayment", holds={"id": "{{payment_id}}"}),
            Step("listLoanPayments", holds={"data.0.id": "{{payment_id}}"}),
            Step(
                "payClient",
                body={
                    "amount": 1500.00,
                    "payment_details": [
                        {"loan_id": "{{loan_id}}", "amount": 1000.00},
                        {"loan_id": "{{product_loan_id}}", "amount": 500.00},
                    ],
                },
                holds={"amount": "1500.00"},
            ),
            Step("listClientPayments"),
            Step("listPayments", query={"client_id": "{{client_id}}"}),
            Step("getBalance", holds={"total_debt": "51000.00"}),
            Step("getPayoffQuote"),
            Step("listMovements", holds={"data.0.kind": "DISBURSEMENT"}),
            Step("getAccountStatement"),
            Step("getAccountStatement", "Account statement to print", query={"format": "pdf"}),
            Step("reversePayment", body=REASON, holds={"status": "REVERSED"}),
            Step("getLoan", "It is owed again", holds={"current_balance": "49000.00"}),
        ),
    ),
    (
        "6 What becomes of a loan",
        "Fees, waivers, other terms, losses.",
        (
            Step("chargeFee", holds={"status": "ACTIVE"}),
            Step("waive", holds={"status": "ACTIVE"}),
            Step(
                "restructureLoan",
                path=_loan("product_loan_id"),
                holds={"restructured_from": "{{product_loan_id}}"},
                keeps={"restructured_loan_id": "id"},
            ),
            Step("writeOffLoan", path=_loan("restructured_loan_id"), holds={"status": "WRITTEN_OFF"}),
            Step("reverseWriteOff", path=_loan("restructured_loan_id"), holds={"status": "ACTIVE"}),
        ),
    ),
    (
        "7 Portfolio and ledger",
        "What is owed in all, and the books.",
        (
            Step(
                "getPortfolioSummary",
                status=(200, 409),
                note="409 `day_not_closed` until the first day has ended: the worker closes it.",
            ),
            Step("listAgedLoans"),
            Step("getDashboard"),
            Step("getTrialBalance"),
            Step("listLedgerEntries", query={"limit": "5"}),
            Step("listLedgerPeriods"),
            Step("listApprovals"),
        ),
    ),
    (
        "8 Users",
        "Somebody is let in, chooses a password, and goes again.",
        (
            Step(
                "createUser",
                body={"username": OFFICER, "role": "officer"},
                holds={"username": OFFICER, "status": "ACTIVE"},
                keeps={"user_id": "id", "one_time_secret": "one_time_secret"},
            ),
            Step(
                "redeemOneTimeSecret",
                body={"username": OFFICER, "one_time_secret": "{{one_time_secret}}", "new_password": "{{run}} first"},
            ),
            Step(
                "signIn",
                "The new user signs in",
                body={"username": OFFICER, "password": "{{run}} first"},
                keeps={"officer_token": "access_token"},
            ),
            Step(
                "changePassword",
                by="officer_token",
                body={"current_password": "{{run}} first", "new_password": PASSWORD},
                keeps={"officer_token": "access_token"},
            ),
            Step("whoAmI", "Which session is this", by="officer_token", keeps={"session_id": "session_id"}),
            _signs_in("Sign in elsewhere", "elsewhere_token"),
            Step("endSession", by="elsewhere_token"),
            Step("signOut", by="elsewhere_token"),
            _signs_in("Sign in once more", "officer_token"),
            Step("endAllSessions", by="officer_token"),
            Step("listUsers"),
            Step("getUser", holds={"username": OFFICER}),
            Step("updateUser", body={"role": "auditor"}, holds={"role": "auditor"}),
            Step("resetPassword"),
        ),
    ),
    (
        "9 API keys",
        "How a program calls.",
        (
            Step(
                "createApiKey",
                body={"name": "Partner {{run}}", "scopes": ["clients:read", "loans:read"]},
                keeps={"api_key_id": "id", "api_key": "key"},
            ),
            Step(
                "getClient",
                "A program asks for a client",
                by="api_key",
                path={"key": "{{client_id}}"},
                holds={"id": "{{client_id}}"},
            ),
            Step("listApiKeys"),
            Step("getApiKey", holds={"status": "ACTIVE"}),
            Step("rotateApiKey", keeps={"api_key": "key"}),
        ),
    ),
    (
        "10 MO App",
        "The older calls of a partner's system, by its API key; amounts are numbers there.",
        (
            Step(
                "createApiKey",
                "A key for the partner",
                body={"name": "MO App {{run}}", "scopes": ["*"]},
                keeps={"api_key_id": "id", "partner_key": "key"},
            ),
            Step(
                "moCreateCustomer",
                by="partner_key",
                body={"external_id": "{{$guid}}", "score": 750.0, "status": 1},
                holds={"score": 750.0, "status": 1},
                keeps={"customer": "external_id"},
            ),
            Step("moListCustomers", by="partner_key"),
            Step(
                "moCreateLoan",
                by="partner_key",
                body={"customer": "{{customer}}", "amount": 500.0, "outstanding": 500.0, "status": 2},
                holds={"customer_external_id": "{{customer}}", "outstanding": 500.0, "status": 2},
                keeps={"mo_loan": "external_id"},
            ),
            Step("moListLoans", by="partner_key"),
            Step("moGetLoan", by="partner_key", query={"external_id": "{{mo_loan}}"}, holds={"amount": 500.0}),
            Step("moListCustomerLoans", by="partner_key", query={"customer": "{{customer}}"}),
            Step(
                "moRegisterPayment",
                by="partner_key",
                body={
                    "customer": "{{customer}}",
                    "amount": 10.0,
                    "status": 1,
                    "payment_details": [{"loan_id": "{{mo_loan}}", "payment_amount": 5.0}],
                },
                holds={"amount": 10.0, "status": 1},
            ),
            Step(
                "moGetBalance",
                by="partner_key",
                query={"customer": "{{customer}}"},
                holds={"score": 750.0, "total_debt": 490.0, "available_amount": 260.0},
            ),
            Step("moListUsers", by="partner_key"),
            Step("moGetUser", by="partner_key", path={"user_id": "{{user_id}}"}),
        ),
    ),
    (
        "11 The customer space",
        "The borrower signs in, fills a cart, and pays; the gateway's part is played by a signed notice.",
        (
            Step(
                "createUser",
                "Invite the borrower",
                body={"username": BORROWER, "role": "client", "client_id": "{{client_id}}"},
                keeps={"borrower_id": "id", "one_time_secret": "one_time_secret"},
            ),
            Step(
                "redeemOneTimeSecret",
                "The borrower chooses a password",
                body={"username": BORROWER, "one_time_secret": "{{one_time_secret}}", "new_password": PASSWORD},
            ),
            _signs_in("The borrower signs in", "borrower_token", BORROWER),
            Step("getOwnDebts", by="borrower_token", holds={"loans.0.loan_id": "{{loan_id}}"}),
            Step("emptyCart", by="borrower_token"),
            Step(
                "replaceCart",
                by="borrower_token",
                body={"items": [{"loan_id": "{{loan_id}}", "installments": 1}]},
                holds={"items.0.loan_id": "{{loan_id}}"},
            ),
            Step(
                "putIntoCart",
                by="borrower_token",
                body={"loan_id": "{{restructured_loan_id}}", "amount": "100.00"},
                holds={"items.1.amount": "100.00"},
            ),
            Step("takeFromCart", by="borrower_token", path=_loan("restructured_loan_id"), holds={"items.length": 1}),
            Step("getCart", by="borrower_token", keeps={"cart_total": "total"}),
            Step(
                "checkOutCart",
                by="borrower_token",
                body={"total": "{{cart_total}}"},
                holds={"status": "WAITING"},
                keeps={"checkout_id": "id", "order_total": "total"},
                note="`pay_url` leads to the gateway's page.",
            ),
            Step("getCheckout", by="borrower_token", holds={"status": "WAITING"}),
            Step("takeGatewayNotice", **NOTICE, keeps={"own_payment_id": "payment_id"}),
            Step("takeGatewayNotice", "The gateway says it again", **NOTICE),
            Step(
                "getCheckout",
                "The order is paid",
                by="borrower_token",
                holds={"status": "PAID", "payment_id": "{{own_payment_id}}"},
            ),
            Step("listOwnPayments", by="borrower_token"),
            Step("getOwnPayment", by="borrower_token", path=OWN_PAYMENT, holds={"amount": "{{order_total}}"}),
            Step("reverseOwnPayment", by="borrower_token", path=OWN_PAYMENT, holds={"status": "REVERSED"}),
        ),
    ),
    (
        "12 Espacio Clientes",
        "The older calls of the borrower's web: refusals are answers with a code, `0` means done.",
        (
            Step(
                "espacioSignIn",
                body={"username": BORROWER, "password": PASSWORD},
                keeps={"espacio_token": "access_token"},
            ),
            Step(
                "espacioDebts",
                by="espacio_token",
                query={"documento": "{{rfc}}", "moneda": "1"},
                holds={"codresp": "0"},
                keeps={"espacio_session": "idsession", "movement": "deudas.0.CODMOVIMIENTO"},
            ),
            Step(
                "espacioCart",
                by="espacio_token",
                query={
                    "idsession": "{{espacio_session}}",
                    "indicador": "S",
                    "codmovimiento": "{{movement}}",
                    "usuario": "carlos",
                },
                holds={"codresp": "0"},
            ),
            Step(
                "espacioPay",
                by="espacio_token",
                query={"session": "{{espacio_session}}", "user": "carlos", "cod_transaccion": "EC-{{run}}"},
                holds={"cod_resp": "0"},
            ),
            Step("espacioUndo", by="espacio_token", query={"cod_transaccion": "EC-{{run}}"}, holds={"cod_resp": "0"}),
        ),
    ),
    (
        "13 Files",
        "Clients of a file, and lists as files. The worker takes the file in: an import may still wait when asked for.",
        (
            Step(
                "importClients",
                text="external_id,score\nFILE-{{run}},25000.00\n",
                headers={"Content-Type": "text/plain"},
                status=(202, 200),
                note="200 when this very file was sent before.",
                keeps={"import_id": "id"},
            ),
            Step("listImports"),
            Step("getImport", holds={"id": "{{import_id}}"}),
            Step("listImportErrors"),
            Step("downloadImportResult", status=(200, 409), note="409 `import_running` until it has ended."),
            Step("cancelImport", status=(200, 409), note="409 `import_ended` when the worker was faster."),
            Step("exportClients", query={"external_id": "FILE-{{run}}"}),
            Step("exportLoans", query={"client_id": "{{client_id}}"}),
            Step("exportPayments", query={"client_id": "{{client_id}}"}),
        ),
    ),
    (
        "14 At the end",
        "What was made for this walk only is closed again.",
        (
            Step("exportPersonalData", holds={"client.id": "{{client_id}}"}),
            Step("listRecordReaders"),
            Step("listClientEvents"),
            Step("listLoanEvents"),
            Step("listDecoys"),
            Step("revokeApiKey"),
            Step("disableUser"),
            Step("retireProduct"),
            Step(
                "createClient",
                "Register a client by mistake",
                body={"full_name": "Carlos Peres", "email": "carlos.2.{{run}}@example.com", "rfc": "{{other_rfc}}"},
                keeps={"wrong_client_id": "id"},
            ),
            Step("deleteClient", path={"client_id": "{{wrong_client_id}}"}),
        ),
    ),
)

APART: Mapping[str, str] = {
    "closeLedgerPeriod": "it needs a month of which every day is closed, and closes it for good.",
    "getApproval": "nothing waits for a second person unless the operator sets APPROVE_…_ABOVE.",
    "grantApproval": "nothing waits for a second person unless the operator sets APPROVE_…_ABOVE.",
    "refuseApproval": "nothing waits for a second person unless the operator sets APPROVE_…_ABOVE.",
    "getDecoy": "it needs somebody who touched a decoy.",
}

_KEPT = dict.fromkeys(name for _, _, steps in WALK for step in steps for name in step.keeps)
COLLECTION_VARIABLES = ("run", "rfc", "other_rfc", "signature", *_KEPT)
