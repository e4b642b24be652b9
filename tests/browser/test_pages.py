"""The pages that are not on the way of a payment, and how soon all of them answer."""

import statistics
from pathlib import Path
from time import perf_counter

import httpx2
import pytest
from playwright.async_api import Browser, expect

from tests.browser.site import PASSWORD, Site
from tests.browser.visitor import visit
from tests.support.processes import api_process
from tests.support.sabotage import damaged_loan
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(600)  # the first test installs the browser where there is none

MEDIAN_SECONDS = 0.05
CALLS = 15
ROUNDS = 6


async def test_somebody_who_was_invited_and_owes_nothing(chromium: Browser, site: Site, axe: str) -> None:
    username, secret = await site.invite()
    async with visit(chromium, site, "phone", axe) as visitor:
        page = visitor.page
        await page.goto("/espacio/entrar")
        await page.get_by_role("link", name="Tengo una invitación").click()
        await visitor.arrives("Elegir contraseña")
        await visitor.look("invitacion")
        await page.get_by_label("Usuario").fill(username)
        await page.get_by_label("Código de invitación").fill(secret)
        await page.get_by_label("Contraseña nueva").fill(PASSWORD)
        await page.get_by_label("Repita la contraseña").fill(PASSWORD)
        await page.get_by_role("button", name="Guardar contraseña").click()

        await visitor.arrives("Entrar")
        await expect(page.locator("#avisos")).to_contain_text("Su contraseña quedó guardada")
        await page.get_by_label("Usuario").fill(username)
        await page.get_by_label("Contraseña").fill("no es esta")
        await page.get_by_role("button", name="Entrar").click()
        await expect(page.get_by_role("alert")).to_contain_text("no son correctos")
        visitor.was_refused(422)
        await visitor.look("entrar-rechazado")
        await page.get_by_label("Contraseña").fill(PASSWORD)
        await page.get_by_role("button", name="Entrar").click()

        await visitor.arrives("Mis deudas")
        await expect(page.locator("main")).to_contain_text("No debe nada")
        await visitor.look("sin-deudas")
        await page.goto("/espacio/carrito")
        await visitor.look("carrito-vacio")
        await page.goto("/espacio/movimientos")
        await visitor.look("sin-movimientos")
        await page.goto("/espacio/nada")
        await visitor.arrives("No encontramos esa página")
        visitor.was_refused(404)
        await visitor.look("no-existe")


@pytest.mark.parametrize(("size", "scripted"), [("phone", True), ("desktop", False)])
async def test_a_password_is_changed(chromium: Browser, site: Site, axe: str, size: str, scripted: bool) -> None:
    borrower = await site.borrower()
    async with visit(chromium, site, size, axe, scripted=scripted) as visitor:
        page = visitor.page
        await page.goto("/espacio")
        await visitor.sign_in(borrower)
        await visitor.look("mis-deudas")
        await page.get_by_role("link", name="Contraseña").click()
        await visitor.arrives("Cambiar contraseña")
        for current, said in (("no es esta", "La contraseña actual no es correcta"), (PASSWORD, None)):
            await page.get_by_label("Contraseña actual").fill(current)
            await page.get_by_label("Contraseña nueva").fill("cuatro gatos pardos")
            await page.get_by_label("Repita la contraseña").fill("cuatro gatos pardos")
            await page.get_by_role("button", name="Cambiar contraseña").click()
            if said:
                await expect(page.get_by_role("alert")).to_contain_text(said)
                visitor.was_refused(422)
                await visitor.look("contrasena")
        await visitor.arrives("Mis deudas")
        await expect(page.locator("#avisos")).to_contain_text("Su contraseña quedó cambiada")
        assert visitor.faults == []


@pytest.mark.parametrize("size", ["phone", "desktop"])
async def test_an_error_that_nobody_foresaw_is_a_page(chromium: Browser, site: Site, axe: str, size: str) -> None:
    borrower = await site.borrower()
    async with visit(chromium, site, size, axe) as visitor:
        await visitor.page.goto("/espacio")
        await visitor.sign_in(borrower)
        async with damaged_loan(site.owner, borrower.loan_id):

            async def fails() -> bool:
                answer = await visitor.page.goto(f"/espacio/creditos/{borrower.loan_id}")
                return answer is not None and answer.status == 500

            await eventually(fails)  # as soon as the replica has it
            await visitor.arrives("Algo falló de nuestro lado")
            visitor.was_refused(500)
            await visitor.look("error")
        await visitor.page.get_by_role("link", name="Ir a Mis deudas").click()
        await visitor.arrives("Mis deudas")


async def test_a_form_without_its_token_does_nothing(chromium: Browser, site: Site, axe: str) -> None:
    borrower = await site.borrower()
    async with visit(chromium, site, "phone", axe) as visitor:
        page = visitor.page
        await page.goto("/espacio")
        await visitor.sign_in(borrower)
        await page.locator("input[name=csrf]").evaluate_all("fields => fields.forEach(field => field.remove())")
        await page.get_by_role("button", name="Salir").click()
        await visitor.arrives("No se puede hacer")
        visitor.was_refused(403)
        await visitor.look("formulario-ajeno")
        await page.goto("/espacio")
        await visitor.arrives("Mis deudas")


async def test_the_keyboard_is_enough(chromium: Browser, site: Site, axe: str) -> None:
    borrower = await site.borrower()
    async with visit(chromium, site, "desktop", axe) as visitor:
        page = visitor.page
        await page.goto("/espacio/entrar")
        await page.keyboard.press("Tab")
        await expect(page.get_by_role("link", name="Saltar al contenido")).to_be_focused()
        await page.keyboard.press("Enter")
        await page.keyboard.press("Tab")
        await expect(page.get_by_label("Usuario")).to_be_focused()
        await page.keyboard.type(borrower.username)
        await page.keyboard.press("Tab")
        await page.keyboard.type(PASSWORD)
        await page.keyboard.press("Enter")
        await visitor.arrives("Mis deudas")

        await page.locator(f"#pagos-{borrower.late_folio}").focus()
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await expect(page.locator("#carrito-cuenta")).to_have_text("1")
        await page.goto("/espacio/pagar")
        await page.locator("#pagar").focus()
        await page.keyboard.press("Enter")
        await expect(page.locator("button[value=pay]")).to_be_visible()
        assert visitor.faults == []


async def test_pages_answer_within_fifty_milliseconds(chromium: Browser, site: Site, axe: str, tmp_path: Path) -> None:
    borrower = await site.borrower()
    async with visit(chromium, site, "phone", axe) as visitor:
        await visitor.page.goto("/espacio")
        await visitor.sign_in(borrower)
        cookies = {one["name"]: one["value"] for one in await visitor.page.context.cookies()}
    paths = ("", "/carrito", "/movimientos", f"/creditos/{borrower.loan_id}", "/pagar")
    async with (
        api_process(tmp_path, POSTGRES_DB=site.database) as (_, address),
        httpx2.AsyncClient(base_url=f"{address}/espacio", cookies=cookies, timeout=15.0) as client,
    ):
        for path in paths:
            found = await _fastest_median(client, path)
            print(f"/espacio{path}: {found * 1000:.1f} ms")
            assert found < MEDIAN_SECONDS, path


async def _fastest_median(client: httpx2.AsyncClient, path: str) -> float:
    """Of some rounds, since the machine may have other things to do; the first one warms up."""
    return min([await _median(client, path) for _ in range(ROUNDS)])


async def _median(client: httpx2.AsyncClient, path: str) -> float:
    seconds = []
    for _ in range(CALLS):
        began = perf_counter()
        assert (await client.get(path)).status_code == 200
        seconds.append(perf_counter() - began)
    return statistics.median(seconds)
