"""A day at the office: officers, an administrator and an auditor at work in a browser, on a phone and at a desk, with
and without JavaScript. Every page on the way is looked at."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from secrets import token_hex

import pytest
from backend_api.http.resources import Resources
from playwright.async_api import Browser, FilePayload, expect

from tests.browser.site import PASSWORD, Site
from tests.browser.visitor import Visitor, visit
from tests.support.builders import random_rfc
from tests.support.imports import csv_file, row, work

pytestmark = pytest.mark.timeout(600)  # the first test installs the browser where there is none

OFFICE = "/oficina"
LOAN = "150000"


@pytest.mark.parametrize(("size", "scripted"), [("phone", True), ("desktop", False)])
async def test_two_officers_grant_a_loan_and_take_a_payment_back(
    chromium: Browser, site: Site, axe: str, size: str, scripted: bool
) -> None:
    async with (
        at_work(chromium, site, size, axe, "officer", scripted=scripted) as maker,
        at_work(chromium, site, size, axe, "officer", scripted=scripted) as checker,
    ):
        name = await _registers_a_client(maker)
        folio = await _grants(maker)
        await _changes_the_terms(maker)
        await _asks_for_activation(maker)
        await checker.page.goto(f"{OFFICE}/autorizaciones")
        await checker.look("autorizaciones")
        await checker.page.get_by_role("row").filter(has_text=name).get_by_role("link").first.click()
        await checker.page.get_by_role("link", name="Autorizar", exact=True).click()
        await checker.arrives("Autorizar")
        await checker.look("autorizar")
        await press(checker, "Autorizar y hacer")
        await expect(checker.page.locator("#estado")).to_have_text("Autorizada")
        await checker.look("autorizada")

        await maker.page.goto(f"{OFFICE}/creditos?buscar={folio}")
        await maker.arrives(f"Crédito {folio}")
        await expect(maker.page.locator("#estado")).to_have_text("Vigente")
        await _pays_and_takes_it_back(maker)
        await maker.page.goto(f"{OFFICE}/creditos?buscar={folio}")
        await maker.arrives(f"Crédito {folio}")
        await maker.look("credito")
        await _spreads_a_payment(maker, name, folio)
        assert maker.faults == checker.faults == []


async def test_a_file_with_errors_is_mended(chromium: Browser, site: Site, resources: Resources, axe: str) -> None:
    good, bad = row(full_name="Rosa Ibarra"), row(full_name="Juan Mal Escrito", rfc="XX")
    mended = {**bad, "rfc": random_rfc()}
    async with at_work(chromium, site, "phone", axe, "officer") as visitor:
        await _sends(visitor, csv_file([good, bad]), "Solo revisar, sin guardar nada")
        await visitor.look("importacion-en-espera")
        await work(resources)
        # The page looks again by itself.
        await expect(visitor.page.locator("#estado")).to_have_text("Terminada")
        await expect(visitor.page.locator("main")).to_contain_text("Un RFC tiene 13 caracteres")
        await visitor.look("importacion-con-errores")
        await _sends(visitor, csv_file([good, mended]), "Revisar y guardar")
        await work(resources)
        await expect(visitor.page.locator("#estado")).to_have_text("Terminada")
        await visitor.look("importacion")
        await visitor.page.goto(f"{OFFICE}/clientes?buscar={mended['rfc']}")
        await visitor.arrives("Juan Mal Escrito")
        assert visitor.faults == []


async def test_an_administrator_looks_after_users_keys_and_events(chromium: Browser, site: Site, axe: str) -> None:
    await site.park()
    async with at_work(chromium, site, "desktop", axe, "admin") as visitor:
        page = visitor.page
        await page.goto(f"{OFFICE}/eventos")
        await visitor.look("eventos")
        await page.get_by_role("button", name="Reintentar").first.click()
        await expect(page.locator("#avisos")).to_contain_text("vuelven a intentarse")
        await expect(page.locator("main")).not_to_contain_text("The event is too large.")

        await page.goto(f"{OFFICE}/llaves/nueva")
        await page.get_by_label("Nombre").fill("MO App")
        await page.get_by_label("clients:read").check()
        await visitor.look("llave-nueva")
        await press(visitor, "Crear llave")
        await expect(page.locator("#secreto")).to_contain_text("sofipo_live_")
        await visitor.look("llave")

        await page.goto(f"{OFFICE}/usuarios/nuevo")
        await page.get_by_label("Usuario", exact=True).fill(f"ines-{token_hex(4)}")
        await page.get_by_label("Papel").select_option("Ejecutivo")
        await press(visitor, "Crear usuario")
        await expect(page.locator("#secreto")).to_be_visible()
        for place in (
            "usuarios",
            "llaves",
            "productos",
            "productos/STANDARD",
            "productos/STANDARD/version",
            "senuelos",
        ):
            await page.goto(f"{OFFICE}/{place}")
            await visitor.look(place.replace("/", "-"))

        await page.get_by_role("link", name="Mi contraseña").click()
        await visitor.arrives("Cambiar contraseña")
        await visitor.look("contrasena")


async def test_an_auditor_sees_everything_and_changes_nothing(chromium: Browser, site: Site, axe: str) -> None:
    borrower = await site.borrower()
    async with at_work(chromium, site, "desktop", axe, "auditor") as visitor:
        page = visitor.page
        await page.goto(f"{OFFICE}/clientes/{borrower.client_id}")
        await visitor.look("cliente-auditor")
        await expect(page.locator("main .tools a")).to_have_text(["Estado de cuenta (PDF)", "Historia del cliente"])
        await page.get_by_role("link", name="Historia del cliente").click()
        await visitor.arrives("Historia del cliente")
        await visitor.look("historia")
        await page.goto(f"{OFFICE}/creditos/{borrower.loan_id}")
        await visitor.look("credito-auditor")
        await expect(page.locator("main .tools a")).to_have_text(["Historia del crédito"])
        await page.goto(f"{OFFICE}/creditos/{borrower.loan_id}/castigar")
        await visitor.arrives("No se puede hacer")
        visitor.was_refused(403)
        await visitor.look("no-se-puede")


@asynccontextmanager
async def at_work(
    chromium: Browser, site: Site, size: str, axe: str, role: str, *, scripted: bool = True
) -> AsyncIterator[Visitor]:
    """Somebody of this role who has just come in."""
    username = await site.staff(role)
    async with visit(chromium, site, size, axe, scripted=scripted) as visitor:
        await visitor.page.goto(OFFICE)
        await visitor.arrives("Entrar")
        await visitor.page.get_by_label("Usuario").fill(username)
        await visitor.page.get_by_label("Contraseña").fill(PASSWORD)
        await press(visitor, "Entrar")
        await visitor.arrives("Inicio")
        await visitor.look(f"inicio-{role}")
        yield visitor


async def press(visitor: Visitor, button: str) -> None:
    """The button with this name."""
    await visitor.page.get_by_role("button", name=button, exact=True).click()


async def _registers_a_client(visitor: Visitor) -> str:
    page, name = visitor.page, f"Beatriz Soto {token_hex(3)}"
    await page.get_by_role("link", name="Nuevo cliente").click()
    await visitor.arrives("Nuevo cliente")
    await page.get_by_label("Nombre completo").fill(name)
    await page.get_by_label("Correo").fill(f"{token_hex(6)}@example.com")
    await page.get_by_label("RFC").fill("XAXX010101000")
    await press(visitor, "Registrar cliente")
    await expect(page.locator("#campo-rfc-error")).to_contain_text("genérico")
    visitor.was_refused(422)
    await visitor.look("cliente-con-error")
    await page.get_by_label("RFC").fill(random_rfc())
    await press(visitor, "Registrar cliente")
    await visitor.arrives(name)
    await visitor.look("cliente-nuevo")
    return name


async def _grants(visitor: Visitor) -> str:
    """A loan of which a preview was seen; its folio."""
    page = visitor.page
    await page.get_by_role("link", name="Nuevo crédito").click()
    await visitor.arrives("Nuevo crédito")
    await page.get_by_label("Monto").fill(LOAN)
    await page.get_by_label("Tasa de interés anual").fill("36")
    await page.get_by_label("Plazo en meses").fill("24")
    await press(visitor, "Calcular")
    await expect(page.locator("#vista")).to_contain_text("CAT sin IVA")
    await visitor.look("credito-vista")
    await press(visitor, "Otorgar crédito")
    await expect(page.locator("#estado")).to_have_text("Por disponer")
    await visitor.look("credito-por-disponer")
    return (await page.get_by_role("heading", level=1).inner_text()).removeprefix("Crédito ")


async def _changes_the_terms(visitor: Visitor) -> None:
    page = visitor.page
    await page.get_by_role("link", name="Cambiar condiciones").click()
    await visitor.arrives("Cambiar condiciones")
    await page.get_by_label("Número de pagos").fill("601")
    await press(visitor, "Guardar condiciones")
    await expect(page.locator("#campo-installments-error")).to_be_visible()
    visitor.was_refused(422)
    await visitor.look("condiciones")
    await page.get_by_label("Número de pagos").fill("18")
    await press(visitor, "Guardar condiciones")
    await expect(page.locator("#avisos")).to_contain_text("quedaron guardados")


async def _spreads_a_payment(visitor: Visitor, name: str, folio: str) -> None:
    page = visitor.page
    await page.get_by_role("link", name=name).click()
    await visitor.arrives(name)
    await page.get_by_role("link", name="Registrar pago repartido").click()
    await visitor.arrives("Registrar pago repartido")
    await page.get_by_label("Importe").fill("1000")
    await page.get_by_label(f"Crédito {folio}").fill("2000")
    await press(visitor, "Registrar pago")
    await expect(page.locator("#problema")).to_contain_text("suma más que el importe")
    visitor.was_refused(422)
    await visitor.look("pago-repartido")
    await page.get_by_label(f"Crédito {folio}").fill("1000")
    await press(visitor, "Registrar pago")
    await visitor.arrives("Pago de $1,000.00")


async def _asks_for_activation(visitor: Visitor) -> None:
    await visitor.page.get_by_role("link", name="Activar crédito").click()
    await visitor.arrives("Activar crédito")
    await visitor.look("activar")
    await press(visitor, "Activar y entregar hoy")
    await expect(visitor.page.locator("#avisos")).to_contain_text("autorización de otra persona")
    await expect(visitor.page.locator("#nota")).to_contain_text("la tiene que decidir otra persona")
    await visitor.look("solicitud-propia")


async def _pays_and_takes_it_back(visitor: Visitor) -> None:
    page = visitor.page
    await page.get_by_role("link", name="Registrar pago").click()
    await visitor.arrives("Registrar pago")
    await expect(page.locator("main")).to_contain_text("Para liquidar hoy")
    await page.get_by_label("Importe").fill("5000")
    await visitor.look("pago-nuevo")
    await page.locator("#confirmar").dblclick()
    await visitor.arrives("Pago de $5,000.00")
    await visitor.look("pago")
    await page.get_by_role("link", name="Anular pago").click()
    await visitor.arrives("Anular pago")
    await page.get_by_label("Motivo").fill("Era de otra persona.")
    await press(visitor, "Anular pago")
    await expect(page.locator("#estado")).to_have_text("Anulado")
    await visitor.look("pago-anulado")


async def _sends(visitor: Visitor, content: bytes, depth: str) -> None:
    page = visitor.page
    await page.goto(f"{OFFICE}/importaciones")
    await page.get_by_role("link", name="Importar archivo").click()
    await visitor.arrives("Importar archivo")
    file = FilePayload(name="clientes.csv", mimeType="text/csv", buffer=content)
    await page.get_by_label("Archivo de clientes").set_input_files(file)
    await page.get_by_label("Qué se hace").select_option(depth)
    await press(visitor, "Enviar archivo")
    await visitor.arrives("clientes.csv")
