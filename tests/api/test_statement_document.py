"""The account statement as page and as PDF: what has to stand there does, and nobody's name breaks out of its place."""

import asyncio
import hashlib
import os
import re
import sys
import time
from base64 import b64encode
from contextlib import suppress
from dataclasses import replace
from datetime import date
from decimal import Decimal
from html.parser import HTMLParser
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import pytest
from babel.dates import format_date
from babel.numbers import format_currency, format_percent
from backend_api.clients.statement import printing
from backend_api.clients.statement.content import NONE, Content, Facts, Figures, Kind, Table, Text, content
from backend_api.clients.statement.document import (
    MAX_ROWS,
    Client,
    InstallmentLine,
    Lender,
    LoanPart,
    StatementDocument,
    StatementTooLong,
    charge_and_credit,
)
from backend_api.clients.statement.page import CONTENT_SECURITY_POLICY, html
from backend_api.clients.statement.paper import BOLD, FONTS, PADDING, PLAIN, WIDTH, fitting, pdf, wrap
from backend_api.clients.statement.printing import Printer, PrintingFailed
from backend_api.clients.statement.spanish import amount, long_date, percent, plain, short_date
from backend_api.domain.account import Account, MovementKind, Split
from backend_api.domain.money import MAX_MONEY, ZERO
from backend_api.domain.terms import (
    BusinessDays,
    FeeCollection,
    Frequency,
    FrequencyUnit,
    InterestMethod,
    InterestPeriod,
    OpeningFee,
    Terms,
)
from backend_api.settings import Environment, Settings
from pypdf import PdfReader
from pypdf.generic import Destination
from reportlab.pdfbase.pdfmetrics import stringWidth
from reportlab.pdfbase.ttfonts import TTFontFile
from structlog.testing import capture_logs

from tests.support.statements import CLIENT, FROM, LENDER, TO, Event, crowded, loan_part, sample
from tests.support.waiting import eventually

LAST_DAY = date(2026, 7, 31)
LONG_AGO = date(2020, 1, 1)
SIMPLE = Terms(amount=Decimal("1000.00"), interest_rate=Decimal("0.36"), installments=2, disbursed_on=date(2026, 6, 10))
BACKWARDS = "\u202e"


class Page(HTMLParser):
    """A page as a browser sees it: its elements and its text."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += f"{data} "

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of all elements of a kind."""
        return [attributes for name, attributes in self.elements if name == tag]


def pages_of(file: bytes) -> list[str]:
    """The text of each page of a PDF."""
    return [page.extract_text() for page in PdfReader(BytesIO(file)).pages]


def words(text: str) -> str:
    """A text without regard to where its lines break."""
    return " ".join(text.split())


def texts(whole: Content) -> set[str]:
    """Everything a statement says."""
    found = {whole.title, *whole.sender, *whole.recipient, *(text for pair in whole.about for text in pair)}
    for part in whole.parts:
        found.add(part.title)
        for block in part.blocks:
            match block:
                case Figures(figures):
                    found |= {text for figure in figures for text in (figure.label, figure.value, figure.remark)}
                case Facts(title, facts):
                    found |= {title, *(text for pair in facts for text in pair)}
                case Table(title, columns, rows, _, remark):
                    found |= {title, remark, *(column.heading for column in columns)}
                    found |= {cell for row in rows for cell in row}
                case Text(title, paragraphs, _):
                    found |= {title, *paragraphs}
    return found - {""}


def table_of(document: StatementDocument, title: str, part: int = 1) -> list[dict[str, str]]:
    """The rows of a table by its headings; parts are the summary, then the loans."""
    for block in content(document).parts[part].blocks:
        if isinstance(block, Table) and block.title.startswith(title):
            return [dict(zip((column.heading for column in block.columns), row, strict=True)) for row in block.rows]
    raise AssertionError(title)


def facts_of(loan: LoanPart) -> dict[str, str]:
    """The conditions of a loan as its part of the statement says them."""
    document = StatementDocument(LENDER, CLIENT, loan.activity.period_from, loan.activity.period_to, (loan,))
    blocks = content(document).parts[1].blocks
    return {
        **{label: value for block in blocks if isinstance(block, Facts) for label, value in block.facts},
        **{one.label: one.value for block in blocks if isinstance(block, Figures) for one in block.figures},
    }


def pesos(text: str) -> Decimal:
    """The amount that a cell shows."""
    return ZERO if text in ("", NONE) else Decimal(text.replace("$", "").replace(",", ""))


# Spelling


@pytest.mark.parametrize(
    "value", ["0.00", "0.01", "-0.50", "1.00", "999.99", "1000.00", "-1234.56", "1234567.89", "9999999999999.99"]
)
def test_amounts_are_spelt_as_in_mexico(value: str) -> None:
    assert amount(Decimal(value)) == format_currency(Decimal(value), "MXN", locale="es_MX")


def test_nothing_is_never_less_than_nothing() -> None:
    assert amount(Decimal("-0.00")) == "$0.00"


@pytest.mark.parametrize("month", range(1, 13))
def test_dates_are_spelt_as_in_mexico(month: int) -> None:
    for day in (date(2026, month, 1), date(2026, month, 28)):
        assert long_date(day) == format_date(day, "long", locale="es_MX")
        assert short_date(day) == format_date(day, "medium", locale="es_MX")


def test_a_long_date() -> None:
    assert long_date(date(2026, 1, 15)) == "15 de enero de 2026"


@pytest.mark.parametrize(
    ("fraction", "text"),
    [("0", "0.00%"), ("0.36", "36.00%"), ("0.3605", "36.05%"), ("0.123456", "12.3456%"), ("10", "1,000.00%")],
)
def test_rates_are_spelt_as_in_mexico(fraction: str, text: str) -> None:
    assert percent(Decimal(fraction)) == text
    assert text == format_percent(Decimal(fraction), "#,##0.00##%", locale="es_MX", decimal_quantization=False)


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("  Ana \t\n Torres ", "Ana Torres"),
        (f"Ana{BACKWARDS}00.1$", "Ana00.1$"),
        ("A\u200bn\u2066a\x00\ufeff", "Ana"),
        ("Nun\u0303ez", "Nuñez"),
        ("", ""),
    ],
)
def test_text_that_somebody_typed_is_made_plain(typed: str, shown: str) -> None:
    assert plain(typed) == shown


# What it says


def test_all_of_it_stands_on_the_page_and_in_the_pdf() -> None:
    document = sample()
    said = texts(content(document))
    assert len(said) > 250
    page = words(Page(html(document)).text)
    paper = words(" ".join(pages_of(pdf(document))))
    assert [text for text in said if words(text) not in page] == []
    loose = paper.replace(" ", "")
    assert [text for text in said if text.replace(" ", "") not in loose] == []


def test_it_says_what_the_law_asks_for() -> None:
    text = words(Page(html(sample())).text)
    for wanted in (
        LENDER.name,
        LENDER.une_phone,
        LENDER.une_email,
        LENDER.une_address,
        LENDER.condusef_phone,
        LENDER.condusef_email,
        LENDER.condusef_site,
        CLIENT.name,
        "NU**********5",
        "Del 1 de enero de 2026 al 31 de diciembre de 2026",
        "Fecha de corte",
        "Tasa de interés ordinaria anual 36.00% sobre saldos insolutos",
        "Tasa de interés moratoria anual 72.00% sobre capital vencido",
        "sin IVA, para fines informativos y de comparación exclusivamente. Fecha de cálculo: 15 de diciembre de 2025",
        "Comisión por apertura $2,400.00 más IVA de $384.00",
        "Monto original del crédito $120,000.00",
        "Fecha límite: 10 de enero de 2027",
        "90 días naturales",
        "Incumplir tus obligaciones te puede generar comisiones e intereses moratorios.",
        "Contratar créditos que excedan tu capacidad de pago afecta tu historial crediticio.",
        "siguiente día hábil bancario",
        "82 días de atraso",
    ):
        assert wanted in text, wanted


def test_every_column_of_the_document_adds_up() -> None:
    document = sample()
    for at, loan in enumerate(document.loans, 1):
        (principal,) = table_of(document, "Saldo de capital", at)
        opening, charged, credited, closing = map(pesos, principal.values())
        assert opening + charged - credited == closing

        first, *movements, last = table_of(document, "Movimientos", at)
        assert movements
        balance = pesos(first["Saldo de capital"])
        for row in movements:
            concepts = [pesos(row[name]) for name in ("Capital", "Intereses", "Moratorios", "Comisiones", "IVA")]
            assert pesos(row["Cargo"]) + pesos(row["Abono"]) == sum(concepts)
            sign = 1 if pesos(row["Cargo"]) else -1
            balance += sign * concepts[0]
            assert pesos(row["Saldo de capital"]) == balance
        assert pesos(last["Saldo de capital"]) == balance == closing
        assert pesos(last["Abono"]) == sum(pesos(row["Abono"]) for row in movements)
        assert pesos(last["Cargo"]) == sum(pesos(row["Cargo"]) for row in movements)

        *parts, payoff = table_of(document, "Adeudo", at)
        for name in ("Capital", "Intereses", "Moratorios", "Comisiones", "IVA", "Total"):
            assert sum(pesos(row[name]) for row in parts) == pesos(payoff[name])
        assert pesos(payoff["Total"]) == loan.position.payoff_amount
        assert pesos(payoff["Capital"]) == closing

        for row in table_of(document, "Pagos con fecha límite", at):
            owed = sum(pesos(row[name]) for name in ("Capital", "Intereses", "IVA", "Recargos"))
            assert owed == pesos(row["Pagado"]) + pesos(row["Pendiente"])
    *loans, total = table_of(document, "Sus créditos", 0)
    for name in ("Vencido", "Exigible al corte", "Saldo de capital", "Para liquidar"):
        assert sum(pesos(row[name]) for row in loans) == pesos(total[name])


def test_commissions_stand_apart_with_their_vat_and_what_was_given_back() -> None:
    *rows, total = table_of(sample(), "Comisiones", 4)
    assert [row["Total"] for row in rows] == ["$11.60", "$11.60", "-$11.60"]
    assert rows[2]["Concepto"].startswith("Cancelación: comisión por pago en línea · SPEI 260915")
    assert (total["Importe"], total["IVA"], total["Total"]) == ("$10.00", "$1.60", "$11.60")
    assert "Comisiones por pagos en línea" not in texts(content(replace(sample(), commissions=())))


def test_what_is_open_of_the_installments_is_what_is_due() -> None:
    _, late, _ = sample().loans
    assert sum(line.open for line in late.installments) == late.position.due.total == late.overdue.total > ZERO


def test_a_movement_stands_under_the_day_it_was_recorded_with_the_day_it_counts_from() -> None:
    (row,) = [row for row in table_of(sample(), "Movimientos", 2) if "SPEI 9120" in row["Concepto"]]
    assert (row["Fecha"], row["Fecha valor"]) == ("12 sep 2026", "10 sep 2026")


def test_a_reversed_payment_stands_there_twice_and_counts_for_nothing() -> None:
    rows = [row for row in table_of(sample(), "Movimientos", 2) if "SPEI 8841" in row["Concepto"]]
    assert [row["Concepto"] for row in rows] == ["Pago · SPEI 8841", "Cancelación: pago · SPEI 8841"]
    assert rows[0]["Abono"] == rows[1]["Cargo"] == "$2,400.00"
    (paid, charged, forgiven) = table_of(sample(), "Totales", 2)
    assert paid["Total"] == "$9,400.00"
    assert (charged["Comisiones"], charged["IVA"], charged["Total"]) == ("$150.00", "$24.00", "$174.00")
    assert forgiven["Total"] == "$20.00"


def test_a_shorter_period_opens_where_the_one_before_closed() -> None:
    first, second = sample(FROM, date(2026, 8, 12)), sample(date(2026, 8, 13), TO)
    for before, after in zip(first.loans, second.loans, strict=True):
        assert before.activity.closing == after.activity.opening
    assert "SPEI 8841" in html(first)
    assert "Cancelación" not in html(first), "reversed after the cut-off"


def test_older_installments_stand_there_while_they_are_not_paid() -> None:
    _, late, _ = sample(date(2026, 12, 15), TO).loans
    rows = table_of(StatementDocument(LENDER, CLIENT, FROM, TO, (late,)), "Pagos con fecha límite")
    assert [row["Fecha límite"] for row in rows] == ["10 oct 2026", "10 nov 2026", "10 dic 2026", ""]


def test_a_period_without_movements_closes_as_it_opens() -> None:
    document = sample(date(2026, 12, 20), date(2026, 12, 31))
    punctual = document.loans[0]
    assert punctual.activity.lines == ()
    rows = table_of(document, "Movimientos")
    assert [row["Saldo de capital"] for row in rows] == ["$70,671.98", "$70,671.98"]
    assert rows[-1]["Concepto"] == "Sin movimientos en el periodo. Saldo final"
    assert "Ninguno." in words(" ".join(pages_of(pdf(document))))


def test_a_client_without_loans_gets_a_statement_that_says_so() -> None:
    document = StatementDocument(LENDER, replace(CLIENT, address=None, masked_rfc=None), FROM, TO, ())
    for text in (Page(html(document)).text, *pages_of(pdf(document))):
        assert "No hay créditos con saldo ni movimientos en el periodo." in words(text)
        assert "No registrado" in text


CLOSING = date(2026, 7, 20)


def closed_part(kind: MovementKind, *more: Event) -> LoanPart:
    """A small loan that nobody paid, closed in July."""
    return loan_part(7, "Grupal", SIMPLE, [Event(kind, CLOSING), *more], FROM, LAST_DAY)


def test_a_written_off_loan_is_still_owed() -> None:
    loan = closed_part(MovementKind.WRITE_OFF, Event(MovementKind.RECOVERY, date(2026, 7, 25), "100.00"))
    lost = loan.activity.lines[-2].line.split.total
    assert loan.owed == lost - 100
    assert facts_of(loan)["Situación"] == "Castigado"
    document = StatementDocument(LENDER, CLIENT, FROM, LAST_DAY, (loan,))
    assert table_of(document, "Adeudo")[-2]["Total"] == amount(lost - 100)
    (recovered,) = [row for row in table_of(document, "Movimientos") if row["Abono"] == "$100.00"]
    assert recovered["Concepto"] == "Pago después del castigo"
    assert recovered["Saldo de capital"] == "$0.00"
    assert "Pagado o cancelado" in table_of(document, "Pagos con")[0]


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (MovementKind.RESTRUCTURE, "Reestructurado: continúa en otro crédito"),
        (MovementKind.WRITE_OFF, "Castigado"),
    ],
)
def test_a_closed_loan_says_how_it_was_closed(kind: MovementKind, said: str) -> None:
    loan = closed_part(kind)
    assert facts_of(loan)["Situación"] == said
    assert facts_of(loan)["Pagos por realizar"] == "Ninguno"


def part_of(**terms: object) -> LoanPart:
    return loan_part(7, "Grupal", replace(SIMPLE, **terms), [], FROM, LAST_DAY)  # type: ignore[arg-type]  # any term


def test_a_loan_with_a_late_fee_has_no_moratory_rate() -> None:
    facts = facts_of(part_of(late_fee=Decimal("200.00")))
    assert facts["Tasa de interés moratoria anual"] == "No aplica"
    assert facts["Comisión por pago tardío"].startswith("$200.00 más IVA")


def test_a_financed_opening_fee_is_part_of_the_principal() -> None:
    fee = OpeningFee(flat=Decimal("100.00"), collection=FeeCollection.FINANCED)
    said = facts_of(part_of(opening_fee=fee))["Comisión por apertura"]
    assert said == "$100.00 más IVA de $16.00, financiada: capital de $1,116.00"


@pytest.mark.parametrize(
    ("frequency", "said"),
    [
        (Frequency(1, FrequencyUnit.MONTH), "2 pagos, uno cada mes"),
        (Frequency(14, FrequencyUnit.DAY), "2 pagos, uno cada 14 días"),
        (Frequency(1, FrequencyUnit.WEEK), "2 pagos, uno cada semana"),
        (Frequency(1, FrequencyUnit.SEMIMONTH), "2 pagos, uno cada quincena"),
        (Frequency(2, FrequencyUnit.SEMIMONTH), "2 pagos, uno cada 2 quincenas"),
    ],
)
def test_how_often_a_payment_is_due(frequency: Frequency, said: str) -> None:
    assert facts_of(part_of(frequency=frequency))["Plazo contratado"] == said


def test_how_interest_is_reckoned() -> None:
    assert facts_of(part_of())["Cálculo del interés ordinario"] == "Días transcurridos entre 360"
    equal = facts_of(part_of(interest_period=InterestPeriod.SAME_AS_PERIOD))
    assert equal["Cálculo del interés ordinario"] == "Tasa anual por periodos iguales de pago"
    flat = html(StatementDocument(LENDER, CLIENT, FROM, LAST_DAY, (part_of(interest_method=InterestMethod.FLAT),)))
    assert "sobre el monto original" in flat
    assert facts_of(part_of(vat_rate=Decimal(0)))["IVA"] == "Exento"


def test_the_lender_is_the_one_of_the_settings() -> None:
    settings = Settings(environment=Environment.DEVELOPMENT, lender_name="Caja Ñandú", une_phone="1", condusef_site="x")
    lender = Lender.of(settings)
    assert (lender.name, lender.une_phone, lender.condusef_site) == ("Caja Ñandú", "1", "x")
    assert lender.address == lender.une_address == settings.lender_address


# How it is set


def test_every_page_is_numbered_and_names_the_lender() -> None:
    pages = pages_of(pdf(sample()))
    assert len(pages) > 2
    for number, text in enumerate(pages, 1):
        assert f"Página {number} de {len(pages)}" in words(text)
        assert LENDER.name in words(text)


def test_the_same_statement_is_the_same_file() -> None:
    assert pdf(sample()) == pdf(sample())
    assert html(sample()) == html(sample())
    assert pdf(sample()) != pdf(replace(sample(), client=replace(CLIENT, name="Otra")))


def test_the_pdf_says_what_it_is_and_carries_its_fonts() -> None:
    reader = PdfReader(BytesIO(pdf(sample())))
    assert reader.metadata is not None
    assert reader.metadata.title == f"Estado de cuenta de {CLIENT.name} al 31 de diciembre de 2026"
    assert str(reader.root_object["/Lang"]) == "es-MX"
    assert "Crédito 1001 · Crédito personal" in [
        entry.title for entry in reader.outline if isinstance(entry, Destination)
    ]
    assert b"/FontFile2" in pdf(sample())


def test_the_fonts_have_every_letter_that_a_statement_needs() -> None:
    letters = set("".join(texts(content(sample())))) | set("áéíóúüñÁÉÍÓÚÜÑ¿¡ŁłŐő")
    for name in ("NotoSans-Regular.ttf", "NotoSans-Bold.ttf"):
        known = TTFontFile(str(FONTS / name)).charToGlyph
        assert {letter for letter in letters if ord(letter) not in known and letter != "\n"} == set()


def test_lines_are_broken_between_words_and_in_words_that_are_too_long() -> None:
    lines = wrap(f"Caja de Ahorro {'X' * 200} Final", "Helvetica", 8, 100)
    assert lines[0] == "Caja de Ahorro"
    assert "".join(lines).replace(" ", "") == f"CajadeAhorro{'X' * 200}Final"
    assert wrap("", "Helvetica", 8, 100) == [""]


HOSTILE = [
    pytest.param("<script>alert(1)</script>", id="script"),
    pytest.param('"><img src=x onerror=alert(1)>', id="attribute"),
    pytest.param("{{ 7 * 7 }}{% include 'page.css' %}", id="template"),
    pytest.param("<para><img src='file:///etc/passwd'/></para>", id="markup of ReportLab"),
    pytest.param("</style><link rel=stylesheet href=//example.com>", id="style"),
    pytest.param(f"Ana {BACKWARDS}00.000,1$", id="backwards"),
    pytest.param("Ñ" * 200, id="one word of 200"),
    pytest.param("María José " * 18, id="200 in words"),
    pytest.param("مريم 李 😀 Ünal", id="letters that the font lacks"),
    pytest.param("(\\) Tj ET", id="PDF"),
]


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.no_cover  # see `tests/conftest.py`
def test_no_name_breaks_out_of_its_place(name: str) -> None:
    document = sample(date(2026, 6, 1), date(2026, 7, 31))
    loan = replace(document.loans[0], product=name)
    lines = tuple(replace(one, line=replace(one.line, reference=name)) for one in loan.activity.lines)
    loan = replace(loan, activity=replace(loan.activity, lines=lines))
    hostile = StatementDocument(replace(LENDER, name=name), Client(name, name, name), FROM, TO, (loan,))
    calm = StatementDocument(
        replace(LENDER, name="Ana"), Client("Ana", "Ana", "Ana"), FROM, TO, (replace(loan, product="Ana"),)
    )
    page = Page(html(hostile))
    assert [tag for tag, _ in page.elements] == [tag for tag, _ in Page(html(calm)).elements]
    assert plain(name) in words(page.text)
    assert BACKWARDS not in page.text
    for attributes in (attributes for _, attributes in page.elements):
        assert not [key for key in attributes if key.startswith("on") or key in ("src", "href", "style")]
    pages = pages_of(pdf(hostile))
    assert words(pages[-1]).endswith(f"Página {len(pages)} de {len(pages)}")
    assert 1 <= len(pages) <= 8
    drawn = "".join(pages).replace(" ", "").replace("\n", "")
    if name.isascii():
        assert plain(name).replace(" ", "") in drawn


@pytest.mark.parametrize("most", [Decimal("1.00"), Decimal("98765.43"), MAX_MONEY])
def test_no_amount_is_cut_however_large(most: Decimal) -> None:
    document = sample()
    loan = document.loans[1]
    lines = tuple(
        replace(one, balance=most, line=replace(one.line, split=Split(most, most, most, most, most)))
        for one in loan.activity.lines
    )
    activity = replace(loan.activity, lines=lines, opening=most, closing=most, charges=most, credits=most)
    document = replace(document, loans=(replace(loan, activity=activity),))
    assert "".join(pages_of(pdf(document))).count(amount(most)) >= 6 * len(lines)
    for part in content(document).parts:
        for block in part.blocks:
            if isinstance(block, Table) and block.rows:
                assert_fits(block)


def assert_fits(block: Table) -> None:
    """Every amount and date has its column to itself, and the columns have the paper."""
    size, widths = fitting(block)
    assert sum(widths) <= WIDTH + 0.01
    for index, row in enumerate(block.rows):
        font = BOLD if index in block.strong else PLAIN
        for cell, column, width in zip(row, block.columns, widths, strict=True):
            if column.kind is not Kind.TEXT:
                assert stringWidth(cell, font, size) + 2 * PADDING <= width + 0.01, cell


def test_the_page_is_good_to_listen_to() -> None:
    page = Page(html(sample()))
    assert page.all("html") == [{"lang": "es-MX"}]
    assert len(page.all("h1")) == 1
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h\d", tag)]
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert page.all("th")
    assert {heading["scope"] for heading in page.all("th")} == {"col"}
    names = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
    named = [attributes["aria-labelledby"] for _, attributes in page.elements if "aria-labelledby" in attributes]
    assert len(named) > 15
    assert set(named) <= names
    assert len(names) == sum("id" in attributes for _, attributes in page.elements), "each name once"


def test_colours_are_far_enough_apart_to_read() -> None:
    style = re.findall(r"--([a-z-]+): (#\w{6})", html(sample()))
    colour = dict(style)
    pairs = [("ink", "#ffffff"), ("muted", "#ffffff"), ("muted", colour["tint"]), ("accent", "#ffffff")]
    pairs += [("accent", colour["tint"]), ("ink", colour["tint"]), ("alert", colour["alert-tint"])]
    for name, ground in pairs:
        assert contrast(colour[name], ground) >= 4.5, (name, ground)


def contrast(one: str, other: str) -> float:
    """The contrast of two colours as WCAG 2 reckons it."""

    def light(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    darker, lighter = sorted((light(one), light(other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_the_policy_allows_the_style_of_the_page_and_nothing_else() -> None:
    source = html(sample())
    (style,) = re.findall(r"<style>(.*?)</style>", source, re.DOTALL)
    digest = b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in CONTENT_SECURITY_POLICY
    assert CONTENT_SECURITY_POLICY.startswith("default-src 'none';")
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    page = Page(source)
    assert page.all("script") == page.all("link") == page.all("img") == page.all("iframe") == []
    assert "url(" not in style
    assert "@import" not in style


# Limits


@pytest.mark.no_cover  # see `tests/conftest.py`
def test_two_thousand_movements_are_set_in_a_few_seconds() -> None:
    document = crowded(2000)
    started = time.process_time()  # of the processor: other programs make it no longer
    pages = pages_of(pdf(document))[-1:]
    assert time.process_time() - started < 60
    assert int(words(pages[0]).rpartition(" ")[2]) > 30
    assert len(Page(html(document)).all("tr")) > 2000


def test_more_rows_than_a_document_holds_are_refused() -> None:
    document = crowded(MAX_ROWS - len(sample().loans[0].installments))
    with pytest.raises(StatementTooLong):
        replace(document, loans=(*document.loans, sample().loans[1]))


async def test_a_pdf_is_set_in_a_process_of_its_own() -> None:
    document = sample()
    assert await Printer(seconds=60).pdf(document) == pdf(document)


async def test_the_loop_goes_on_while_pdfs_are_set() -> None:
    """While it is set the loop has turns; a PDF set in the loop would leave none."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0.01)

    counting = asyncio.create_task(count())
    try:
        await Printer(seconds=60).pdf(crowded(1000))
    finally:
        counting.cancel()
    assert turns >= 5


@pytest.mark.parametrize("seconds", [0.001, 0.02, 0.4])
async def test_a_pdf_that_takes_too_long_is_given_up_and_leaves_no_process(seconds: float) -> None:
    before = children()
    with capture_logs() as logs, pytest.raises(PrintingFailed):
        await Printer(seconds=seconds).pdf(crowded(2000))
    assert [(line["event"], line["cause"]) for line in logs] == [("statement_not_printed", "time")]
    await eventually(lambda: children() <= before)


async def test_a_printer_is_good_again_after_a_failure() -> None:
    printer = Printer(seconds=60)
    with capture_logs() as logs, pytest.raises(PrintingFailed):
        await printer.pdf(CLIENT.name)  # type: ignore[arg-type]  # what the process fails at
    assert [line["cause"] for line in logs] == ["AttributeError"]
    assert CLIENT.name not in str(logs)
    assert (await printer.pdf(sample()))[:5] == b"%PDF-"


async def test_the_process_gets_no_more_memory_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(printing, "MAX_MEMORY", 48 * 1024 * 1024)
    with capture_logs() as logs, pytest.raises(PrintingFailed):
        await Printer(seconds=60).pdf(crowded(2000))
    assert [line["event"] for line in logs] == ["statement_not_printed"]


async def test_the_process_knows_no_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("POSTGRES_PASSWORD", "of the database")
    seen = tmp_path / "environment"
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\nexport -p > {seen}\ncat > /dev/null\n")
    program.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(program))
    assert await Printer(seconds=60).pdf(sample()) == b""
    assert "PYTHONPATH" in seen.read_text()
    assert "POSTGRES" not in seen.read_text()


@pytest.mark.no_cover  # see `tests/conftest.py`
async def test_a_process_that_ends_before_it_is_handed_the_document_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(program))
    for _ in range(20):
        with pytest.raises(PrintingFailed):
            await Printer(seconds=60).pdf(crowded(2000))


def children() -> set[int]:
    """The processes that this one started and that have not been seen to end."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):
            if int(stat.read_text().rpartition(")")[2].split()[1]) == os.getpid():
                found.add(int(stat.parent.name))
    return found


async def test_a_waiting_caller_gets_the_turn_of_the_one_before() -> None:
    printer = Printer(at_once=1, seconds=60)
    files = await asyncio.gather(*(printer.pdf(sample()) for _ in range(3)))
    assert set(files) == {pdf(sample())}


def test_an_account_that_disagrees_with_its_movements_gets_no_statement() -> None:
    loan = sample().loans[0]
    account = Account.opened(loan.terms)
    with pytest.raises(ValueError, match="same principal"):
        LoanPart.of(1, "Grupal", account, loan.activity, loan.cat, loan.cat_on)


def test_an_installment_is_paid_as_far_as_it_is_not_open() -> None:
    line = InstallmentLine(1, FROM, Decimal(10), Decimal(5), Decimal(1), Decimal(2), open=Decimal(8))
    assert line.paid == Decimal(10)


def test_a_movement_is_a_charge_or_a_credit() -> None:
    for loan in sample().loans:
        for running in loan.activity.lines:
            assert sorted(charge_and_credit(running.line)) == [ZERO, running.line.split.total]


def test_a_due_date_on_a_holiday_is_put_off_for_whoever_agreed_on_it() -> None:
    """10 July 2027 is a Saturday; the statement is of the month before."""
    changes: dict[str, object] = {"disbursed_on": date(2027, 6, 10)}
    period = (date(2027, 6, 1), date(2027, 6, 30))

    def said(**more: object) -> tuple[dict[str, str], str]:
        loan = loan_part(7, "Grupal", replace(SIMPLE, **changes, **more), [], *period)  # type: ignore[arg-type]  # any term
        document = StatementDocument(LENDER, CLIENT, *period, (loan,))
        return facts_of(loan), words(Page(html(document)).text)

    facts, text = said(business_days=BusinessDays.FOLLOWING)
    assert "siguiente día hábil" in facts["Fecha límite en día inhábil bancario"]
    assert "Próxima fecha límite de pago: 12 de julio de 2027" in text
    assert "Fecha límite: 12 de julio de 2027" in text
    facts, text = said()
    assert "día inhábil" not in text, "nothing is promised that does not hold"
    assert "Próxima fecha límite de pago: 10 de julio de 2027" in text


def test_interest_that_was_paid_in_advance_comes_off_what_is_owed() -> None:
    paid = Event(MovementKind.PAYMENT, date(2026, 6, 25), "541.28")
    loan = loan_part(7, "Grupal", replace(SIMPLE, early_days=20), [paid], FROM, date(2026, 6, 30))
    assert loan.accrued.interest < 0
    assert loan.position.due + loan.accrued + loan.not_due == Split(
        loan.position.principal, loan.position.interest, loan.position.vat
    )
    table = table_of(StatementDocument(LENDER, CLIENT, FROM, date(2026, 6, 30), (loan,)), "Adeudo")
    columns = ("Capital", "Intereses", "IVA")
    assert sum(pesos(table[-1][column]) for column in columns) == pesos(table[-1]["Total"]) == loan.owed
