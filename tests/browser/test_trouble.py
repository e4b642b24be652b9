"""What borrowers do when they are in doubt - click twice, go back, open another tab, wait - and what gateways do: tell
twice, late, in disorder. There is one payment, and the pages say so."""

from decimal import Decimal

import pytest
from playwright.async_api import Browser, expect

from tests.browser.site import COMMISSION_WITH_VAT, Borrower, Site
from tests.browser.visitor import Visitor, tab, visit

pytestmark = pytest.mark.timeout(600)  # the first test installs the browser where there is none

FEE_WITH_VAT = Decimal("116.00")


async def _goes_to_pay(visitor: Visitor, borrower: Borrower) -> str:
    """Signs in, puts the next installment into the cart, and stands before the button; the total."""
    page = visitor.page
    await page.goto("/espacio")
    await visitor.sign_in(borrower)
    await page.locator(f"#pagos-{borrower.folio}").select_option("1")
    await page.locator(f"#agregar-{borrower.folio}").click()
    await expect(page.locator("#carrito-cuenta")).to_have_text("1")
    await page.goto("/espacio/pagar")
    await visitor.arrives("Confirmar pago")
    return await page.locator("#total").inner_text()


async def _amounts(site: Site, borrower: Borrower) -> list[str]:
    """What was paid through the gateway with its commission, as the pages write it."""
    paid = [Decimal(payment["amount"]) for payment in await site.card_payments(borrower)]
    return [f"${amount + COMMISSION_WITH_VAT:,.2f}" for amount in paid]


def _pesos(written: str) -> Decimal:
    return Decimal(written.replace("$", "").replace(",", ""))


async def test_two_clicks_two_notices_and_the_way_back_pay_once(chromium: Browser, site: Site, axe: str) -> None:
    borrower = await site.borrower()
    async with visit(chromium, site, "desktop", axe) as visitor:
        total = await _goes_to_pay(visitor, borrower)
        await visitor.page.locator("#pagar").dblclick()
        await visitor.at_the_gateway(total)
        await visitor.choose("pay_twice")
        await visitor.arrives("Pago registrado")

        await visitor.page.go_back()
        await expect(visitor.page.locator("main")).to_contain_text("Esta orden ya está pagada")
        await visitor.page.goto("/espacio/pagar")
        await expect(visitor.page.locator("main")).to_contain_text("Su carrito está vacío")
        assert visitor.faults == []
    assert await _amounts(site, borrower) == [total]


async def test_two_tabs_pay_once(chromium: Browser, site: Site, axe: str) -> None:
    borrower = await site.borrower()
    async with visit(chromium, site, "phone", axe) as visitor:
        total = await _goes_to_pay(visitor, borrower)
        other = await tab(visitor.page.context, "phone", axe)
        await other.page.goto("/espacio/pagar")
        await visitor.page.locator("#pagar").click()
        await visitor.at_the_gateway(total)
        await other.page.locator("#pagar").click()
        await other.at_the_gateway(total)
        await visitor.choose("pay")
        await visitor.arrives("Pago registrado")
        await other.choose("pay")
        await other.arrives("Pago registrado")
    assert await _amounts(site, borrower) == [total]


async def test_an_expired_cart_says_so_and_charges_nothing(chromium: Browser, site: Site, axe: str) -> None:
    borrower = await site.borrower()
    async with visit(chromium, site, "phone", axe) as visitor:
        await _goes_to_pay(visitor, borrower)
        await site.let_carts_expire()
        await visitor.page.locator("#pagar").click()
        await visitor.arrives("Carrito")
        await expect(visitor.page.locator("#problema")).to_contain_text("venció")
        visitor.was_refused(409)
        await visitor.look("carrito-vencido")
    assert await _amounts(site, borrower) == []


async def test_a_changed_debt_is_told_and_a_refused_payment_tried_again(
    chromium: Browser, site: Site, axe: str
) -> None:
    borrower = await site.borrower()
    async with visit(chromium, site, "phone", axe) as visitor:
        page = visitor.page
        total = await _goes_to_pay(visitor, borrower)
        await site.charge_fee(borrower)
        await page.locator("#pagar").click()
        await expect(page.locator("#cambios")).to_contain_text("No se cobró nada")
        visitor.was_refused(409)
        await visitor.look("cambios")
        new_total = await page.locator("#total").inner_text()
        assert _pesos(new_total) == _pesos(total) + FEE_WITH_VAT

        await page.locator("#pagar").click()
        await visitor.at_the_gateway(new_total)
        await visitor.choose("refuse")
        await visitor.arrives("Pago rechazado")
        await visitor.look("rechazado")
        assert await _amounts(site, borrower) == []
        await page.locator("#reintentar").click()
        await visitor.at_the_gateway(new_total)
        await visitor.look("pasarela-otra-vez")
        await visitor.choose("disorder")
        await visitor.arrives("Pago registrado")
    assert await _amounts(site, borrower) == [new_total]


@pytest.mark.parametrize("scripted", [True, False], ids=["scripts", "no-scripts"])
async def test_a_notice_after_the_way_back_is_waited_for(
    chromium: Browser, site: Site, axe: str, scripted: bool
) -> None:
    borrower = await site.borrower()
    async with visit(chromium, site, "phone", axe, scripted=scripted) as visitor:
        total = await _goes_to_pay(visitor, borrower)
        await visitor.page.locator("#pagar").click()
        await visitor.at_the_gateway(total)
        async with site.busy_with(borrower):
            await visitor.choose("pay_late")
            await visitor.arrives("Esperando la confirmación")
            await visitor.look("esperando")
        if not scripted:
            await visitor.page.locator("#actualizar").click()
            while await visitor.page.locator("#actualizar").count():
                await visitor.page.locator("#actualizar").click()
        await visitor.arrives("Pago registrado")
        assert visitor.faults == []
    assert await _amounts(site, borrower) == [total]
