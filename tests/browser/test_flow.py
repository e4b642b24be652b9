"""A borrower signs in, pays at the sandbox gateway, prints, and takes the payment back: on a phone and at a desk, with
and without JavaScript. Every page on the way is looked at."""

import io

import pytest
from playwright.async_api import Browser, expect
from pypdf import PdfReader

from tests.browser.site import COMMISSION_WITH_VAT, Borrower, Site
from tests.browser.visitor import SIZES, Visitor, visit

pytestmark = pytest.mark.timeout(600)  # the first test installs the browser where there is none

AMOUNT = "750.50"


@pytest.mark.parametrize("scripted", [True, False], ids=["scripts", "no-scripts"])
@pytest.mark.parametrize("size", SIZES)
async def test_a_borrower_pays_and_takes_it_back(
    chromium: Browser, site: Site, axe: str, size: str, scripted: bool
) -> None:
    borrower = await site.borrower()
    async with visit(chromium, site, size, axe, scripted=scripted) as visitor:
        await _signs_in(visitor, borrower)
        owed = await visitor.page.locator("dl.figures").first.inner_text()
        await _looks_at_a_loan(visitor, borrower)
        await _fills_the_cart(visitor, borrower)
        operation = await _pays(visitor)
        assert await visitor.page.locator("#operacion").inner_text() == operation
        await _prints(visitor, operation)
        [payment] = await site.card_payments(borrower)
        assert (payment["status"], payment["reference"]) == ("REGISTERED", operation)

        await _takes_it_back(visitor)
        [payment] = await site.card_payments(borrower)
        assert payment["status"] == "REVERSED"
        await visitor.page.get_by_role("link", name="Mis deudas").click()
        await visitor.arrives("Mis deudas")
        assert await visitor.page.locator("dl.figures").first.inner_text() == owed
        await _signs_out(visitor)


async def _signs_in(visitor: Visitor, borrower: Borrower) -> None:
    await visitor.page.goto("/espacio")
    await visitor.arrives("Entrar")
    await visitor.look("entrar")
    await visitor.sign_in(borrower)
    await visitor.look("deudas")


async def _looks_at_a_loan(visitor: Visitor, borrower: Borrower) -> None:
    page = visitor.page
    loan = page.locator(f"#credito-{borrower.late_folio}")
    await loan.get_by_role("link", name="Ver calendario y saldo").click()
    await visitor.arrives(f"Crédito {borrower.late_folio}")
    await expect(page.locator("#grafica")).to_be_visible()
    await expect(page.locator("#calendario tbody tr")).to_have_count(12)
    await visitor.look("credito")
    await page.go_back()
    await visitor.arrives("Mis deudas")


async def _fills_the_cart(visitor: Visitor, borrower: Borrower) -> None:
    """With the two overdue installments of one loan, and an amount on the other."""
    page = visitor.page
    await page.locator(f"#pagos-{borrower.late_folio}").select_option("2")
    await page.locator(f"#agregar-{borrower.late_folio}").click()
    await expect(page.locator("#carrito-cuenta")).to_have_text("1")
    await page.locator(f"#otro-{borrower.folio} summary").click()
    await page.locator(f"#importe-{borrower.folio}").fill(AMOUNT)
    await page.locator(f"#agregar-importe-{borrower.folio}").click()
    await expect(page.locator("#carrito-cuenta")).to_have_text("2")
    await visitor.look("deudas-con-carrito")

    await page.get_by_role("link", name="Carrito", exact=False).first.click()
    await visitor.arrives("Carrito")
    await expect(page.locator(f"#carrito-{borrower.folio}")).to_contain_text(f"${AMOUNT}")
    await visitor.look("carrito")


async def _pays(visitor: Visitor) -> str:
    """From the cart to the receipt; the gateway's operation number."""
    page = visitor.page
    total = await page.locator("#total").inner_text()
    await page.locator("#continuar").click()
    await visitor.arrives("Confirmar pago")
    await visitor.look("confirmar")
    await expect(page.locator("#pagar")).to_contain_text(total)
    await page.locator("#pagar").click()
    await visitor.at_the_gateway(total)
    await visitor.look("pasarela")
    await visitor.choose("pay")
    await visitor.arrives("Pago registrado")
    await visitor.look("registrado")
    operation = await page.locator("#operacion").inner_text()
    await page.locator("#recibo").click()
    await visitor.arrives("Recibo de pago")
    await visitor.look("recibo")
    await expect(page.locator("#total")).to_have_text(total)
    return operation


async def _prints(visitor: Visitor, operation: str) -> None:
    """The receipt, and a statement of account."""
    assert operation in await _text_of_pdf(visitor, "#pdf")
    await visitor.page.get_by_role("link", name="Movimientos").first.click()
    await visitor.arrives("Movimientos")
    await expect(visitor.page.locator("#comisiones ~ table")).to_contain_text(f"${COMMISSION_WITH_VAT}")
    await visitor.look("movimientos")
    assert AMOUNT in await _text_of_pdf(visitor, "#estado-pdf")


async def _text_of_pdf(visitor: Visitor, link: str) -> str:
    """What stands in the PDF behind a link, which the browser shows in its own viewer."""
    address = await visitor.page.locator(link).get_attribute("href")
    answer = await visitor.page.context.request.get(address or "")
    assert answer.headers["content-type"] == "application/pdf"
    return "".join(page.extract_text() for page in PdfReader(io.BytesIO(await answer.body())).pages)


async def _takes_it_back(visitor: Visitor) -> None:
    page = visitor.page
    await page.locator("main ul.lines a").first.click()
    await visitor.arrives("Recibo de pago")
    await page.locator("#anular").click()
    await visitor.arrives("Anular pago")
    await visitor.look("anular")
    await page.locator("#confirmar").click()
    await visitor.arrives("Recibo de pago")
    await expect(page.locator("#avisos")).to_contain_text("El pago quedó anulado")
    await expect(page.locator("#anular")).to_have_count(0)
    await visitor.look("anulado")


async def _signs_out(visitor: Visitor) -> None:
    await visitor.page.get_by_role("button", name="Salir").click()
    await visitor.arrives("Entrar")
    await visitor.page.goto("/espacio/movimientos")
    await visitor.arrives("Entrar")
    assert visitor.faults == []
