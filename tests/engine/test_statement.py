"""The account statement as the client gets it: HTML and PDF of what was known at the end of a period."""

import io

import pytest
from pypdf import PdfReader

from tests.engine.lender import Lender, days
from tests.support.builders import CLIENTS, Json


def path(loan: Json) -> str:
    return f"{CLIENTS}/{loan['client_id']}/account-statement"


async def period(lender: Lender, count: int) -> dict[str, str]:
    """From so many days ago until yesterday, which is over."""
    today = await lender.today()
    return {"from": (today - days(count)).isoformat(), "to": (today - days(1)).isoformat()}


async def test_the_page_and_the_pdf_hold_the_payment(lender: Lender) -> None:
    loan = await lender.grant(amount="36000.00", interest_rate="0.10", term_months=12)
    await lender.pass_days(15)
    await lender.pay(loan, "1000.00", reference="SPEI 4711")
    page = await lender.api.get(path(loan), headers={"Accept": "text/html"})
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    printed = await lender.api.get(path(loan), params={"format": "pdf"})
    assert (printed.status_code, printed.headers["content-type"]) == (200, "application/pdf")
    text = "".join(sheet.extract_text() for sheet in PdfReader(io.BytesIO(printed.content)).pages)
    for found in (page.text, text):
        for piece in ("SPEI 4711", "$1,000.00", "$826.00", "$150.00", "$24.00", "$35,174.00", str(loan["folio"])):
            assert piece in found, piece


@pytest.mark.parametrize("form", ["html", "pdf", "json"])
async def test_a_statement_that_was_issued_never_changes(lender: Lender, form: str) -> None:
    loan = await lender.grant(amount="36000.00", interest_rate="0.10", term_months=12)
    await lender.pass_days(15)
    payment = await lender.pay(loan, "1000.00")
    await lender.pass_days(1)
    params = {**await period(lender, 30), "format": form}
    issued = (await lender.api.get(path(loan), params=params)).content
    assert (await lender.reverse(payment)).status_code == 200
    await lender.pay(loan, "500.00", paid_on=(await lender.today() - days(10)).isoformat())
    assert (await lender.api.get(path(loan), params=params)).content == issued


async def test_a_loan_that_was_undone_is_in_no_statement_and_an_unknown_client_has_none(lender: Lender) -> None:
    loan = await lender.grant(amount="77777.00")
    assert (await lender.api.delete(f"/api/v1/loans/{loan['id']}")).status_code == 200
    page = await lender.api.get(path(loan), params={"format": "html"})
    assert page.status_code == 200
    assert "$77,777.00" not in page.text
    unknown = await lender.api.get(f"{CLIENTS}/{loan['id']}/account-statement", params={"format": "pdf"})
    assert unknown.status_code == 404
