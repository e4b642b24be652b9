"""What a statement says, in the order of the page, as blocks that the page and the paper set each in its own way.

All text that somebody typed goes through `plain` here. Texts of warnings are those of CONDUSEF's rules of transparency.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from backend_api.clients.statement.document import (
    InstallmentLine,
    Lender,
    LoanPart,
    StatementDocument,
    charge_and_credit,
)
from backend_api.clients.statement.spanish import amount, count, long_date, percent, plain, short_date
from backend_api.domain.account import Closed, MovementKind, Split
from backend_api.domain.daycount import DayCount
from backend_api.domain.money import ZERO
from backend_api.domain.statement import Commission, RunningLine, StatementLine
from backend_api.domain.terms import (
    BusinessDays,
    FeeCollection,
    Frequency,
    FrequencyUnit,
    InterestMethod,
    InterestPeriod,
    Terms,
)

NONE = "–"
"""What stands in a table where an amount is zero."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure that has to catch the eye, with what it is and a remark."""

    label: str
    value: str
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of the whole document or of a loan, side by side."""

    figures: tuple[Figure, ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """Labels with their values."""

    title: str
    facts: tuple[tuple[str, str], ...]


class Kind(StrEnum):
    """What a column holds. Only a text may be broken over lines."""

    TEXT = "text"
    DATE = "date"
    AMOUNT = "amount"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table."""

    heading: str
    kind: Kind = Kind.AMOUNT


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under a caption. `remark` explains. `strong` are the rows, by their index, that open it or sum up."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    strong: frozenset[int] = frozenset()
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Text:
    """Paragraphs; an `alert` is set off from the rest."""

    title: str
    paragraphs: tuple[str, ...]
    alert: bool = False


Block = Figures | Facts | Table | Text


@dataclass(frozen=True, slots=True)
class Part:
    """A heading and what stands under it. `anchor` names it inside the document."""

    anchor: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Content:
    """The whole statement. `sender` and `recipient` are lines of an address, `about` labels with values."""

    title: str
    subject: str
    sender: tuple[str, ...]
    recipient: tuple[str, ...]
    about: tuple[tuple[str, str], ...]
    parts: tuple[Part, ...]
    footer: str


def content(document: StatementDocument) -> Content:
    """Everything that the document says."""
    lender = document.lender
    name = plain(document.client.name)
    recipient = [name, plain(document.client.address or "")]
    about = [
        ("Periodo", f"Del {long_date(document.period_from)} al {long_date(document.period_to)}"),
        ("Fecha de corte", long_date(document.period_to)),
        ("RFC", plain(document.client.masked_rfc or "") or "No registrado"),
        ("Moneda", "Pesos mexicanos (MXN)"),
    ]
    return Content(
        title="Estado de cuenta",
        subject=f"Estado de cuenta de {name} al {long_date(document.period_to)}",
        sender=(plain(lender.name), plain(lender.address)),
        recipient=tuple(line for line in recipient if line),
        about=tuple(about),
        parts=(
            Part("resumen", "Resumen", tuple(_summary(document))),
            *(_loan(document, loan) for loan in document.loans),
            *_commissions(document.commissions),
            Part("avisos", "Avisos", (WARNINGS,)),
            _claims(lender),
        ),
        footer=f"{plain(lender.name)} · UNE {plain(lender.une_phone)}",
    )


def _summary(document: StatementDocument) -> Iterable[Block]:
    """What a client looks for first: what to pay, by when, and what is owed in all."""
    loans = document.loans
    if not loans:
        yield Text("", ("No hay créditos con saldo ni movimientos en el periodo.",))
        return
    overdue = sum((loan.overdue.total for loan in loans), ZERO)
    days = [loan.pay_by for loan in loans if loan.pay_by]
    soonest = min(days, default=None)
    coming = sum((loan.position.next_due_total for loan in loans if loan.pay_by == soonest), ZERO)
    due = sum((loan.position.due.total for loan in loans), ZERO)
    owed = sum((loan.owed for loan in loans), ZERO)
    yield Figures(
        (
            Figure(
                "Próximo pago",
                amount(coming) if soonest else "Sin pagos por vencer",
                f"Fecha límite: {long_date(soonest)}" if soonest else "",
            ),
            Figure("Exigible a la fecha de corte", amount(due), f"De ello, vencido: {amount(overdue)}"),
            Figure(
                "Para liquidar todo",
                amount(owed),
                f"Pagando el {long_date(document.period_to)}",
            ),
        )
    )
    rows = [
        (
            str(loan.folio),
            plain(loan.product),
            short_date(loan.pay_by) if loan.pay_by else NONE,
            *_cells(
                loan.position.next_due_total,
                loan.overdue.total,
                loan.position.due.total,
                loan.activity.closing,
                loan.owed,
            ),
        )
        for loan in loans
    ]
    closing = sum((loan.activity.closing for loan in loans), ZERO)
    total = ("Total", "", "", "", *_cells(overdue, due, closing), amount(owed))
    columns = (
        Column("Folio", Kind.TEXT),
        Column("Producto", Kind.TEXT),
        Column("Fecha límite", Kind.DATE),
        *map(Column, ("Próximo pago", "Vencido", "Exigible al corte", "Saldo de capital", "Para liquidar")),
    )
    yield Table("Sus créditos", columns, (*rows, total), frozenset({len(rows)}))


def _loan(document: StatementDocument, loan: LoanPart) -> Part:
    blocks: list[Block] = [_loan_figures(loan)]
    if loan.position.days_past_due:
        blocks.append(_late(loan))
    blocks += [
        Facts("Condiciones del crédito", tuple(_conditions(loan))),
        _principal(loan),
        _movements(loan),
        _totals(loan),
        _position(loan),
        _installments(loan),
    ]
    return Part(f"credito-{loan.folio}", f"Crédito {loan.folio} · {plain(loan.product)}", tuple(blocks))


def _loan_figures(loan: LoanPart) -> Figures:
    """Rates and CAT have to stand out (LTOSF 9, Circular 21/2009)."""
    terms = loan.terms
    cat = Figure("CAT", "No aplica")
    if loan.cat is not None:
        cat = Figure(
            "CAT",
            f"{loan.cat.percent:,}%",
            "sin IVA, para fines informativos y de comparación exclusivamente. "
            f"Fecha de cálculo: {long_date(loan.cat_on)}",
        )
    moratory = Figure("Tasa de interés moratoria anual", percent(terms.yearly_moratory_rate), "sobre capital vencido")
    if terms.late_fee:
        moratory = Figure("Tasa de interés moratoria anual", "No aplica", "se cobra comisión por pago tardío")
    base = "sobre el monto original" if terms.interest_method is InterestMethod.FLAT else "sobre saldos insolutos"
    return Figures((Figure("Tasa de interés ordinaria anual", percent(terms.interest_rate), base), moratory, cat))


def _late(loan: LoanPart) -> Text:
    days = count(loan.position.days_past_due, "día", "días")
    owed = f"Este crédito tiene {amount(loan.overdue.total)} vencidos y {days} de atraso a la fecha de corte."
    return Text("", (f"{owed} El importe puede aumentar hasta el día en que pague.",), alert=True)


def _conditions(loan: LoanPart) -> Iterable[tuple[str, str]]:
    terms = loan.terms
    yield "Situación", _situation(loan)
    yield "Fecha de disposición", long_date(terms.disbursed_on)
    yield "Monto original del crédito", amount(terms.amount)
    if terms.opening_fee_amount:
        how = "descontada del monto entregado"
        if terms.opening_fee.collection is FeeCollection.FINANCED:
            how = f"financiada: capital de {amount(terms.principal)}"
        yield (
            "Comisión por apertura",
            f"{amount(terms.opening_fee_amount)} más IVA de {amount(terms.opening_fee_vat)}, {how}",
        )
    yield "Plazo contratado", f"{count(terms.installments, 'pago', 'pagos')}, {_frequency(terms.frequency)}"
    yield "Pagos por realizar", str(loan.remaining) if loan.remaining else "Ninguno"
    yield "Cálculo del interés ordinario", _reckoning(terms)
    if terms.business_days is BusinessDays.FOLLOWING:
        yield (
            "Fecha límite en día inhábil bancario",
            "El pago puede hacerse el siguiente día hábil bancario, sin moratorios ni comisión",
        )
    if terms.late_fee:
        yield "Comisión por pago tardío", f"{amount(terms.late_fee)} más IVA, una vez por cada pago que se atrase"
    else:
        yield "Cálculo del interés moratorio", "Capital vencido por días de atraso entre 360"
    yield "IVA", f"{percent(terms.vat_rate)} de intereses y comisiones" if terms.vat_rate else "Exento"


def _situation(loan: LoanPart) -> str:
    if loan.closed is Closed.WRITTEN_OFF:
        return "Castigado" if loan.written_off else "Castigado y recuperado"
    if loan.closed is Closed.RESTRUCTURED:
        return "Reestructurado: continúa en otro crédito"
    if not loan.position.payoff_amount:
        return "Liquidado"
    if loan.position.days_past_due:
        return f"Con {count(loan.position.days_past_due, 'día', 'días')} de atraso"
    return "Al corriente"


def _frequency(frequency: Frequency) -> str:
    if frequency.unit is FrequencyUnit.SEMIMONTH:
        return "uno cada quincena" if frequency.every == 1 else f"uno cada {frequency.every} quincenas"
    names = {
        FrequencyUnit.DAY: ("día", "días"),
        FrequencyUnit.WEEK: ("semana", "semanas"),
        FrequencyUnit.MONTH: ("mes", "meses"),
    }
    one, many = names[frequency.unit]
    return f"uno cada {one}" if frequency.every == 1 else f"uno cada {frequency.every} {many}"


def _reckoning(terms: Terms) -> str:
    if terms.interest_period is InterestPeriod.SAME_AS_PERIOD and terms.frequency.unit is not FrequencyUnit.DAY:
        return "Tasa anual por periodos iguales de pago"
    return {
        DayCount.THIRTY_360: "Meses de 30 días, entre 360",
        DayCount.ACTUAL_360: "Días transcurridos entre 360",
        DayCount.ACTUAL_364: "Días transcurridos entre 364",
        DayCount.ACTUAL_365: "Días transcurridos entre 365",
        DayCount.ACTUAL_ACTUAL: "Días transcurridos entre los días del año",
    }[terms.day_count]


def _principal(loan: LoanPart) -> Table:
    activity = loan.activity
    return Table(
        "Saldo de capital",
        tuple(map(Column, ("Saldo inicial", "+ Cargos a capital", "– Abonos a capital", "= Saldo final"))),
        (tuple(map(amount, (activity.opening, activity.charges, activity.credits, activity.closing))),),
    )


def _movements(loan: LoanPart) -> Table:
    activity = loan.activity
    amounts = ("Cargo", "Abono", "Capital", "Intereses", "Moratorios", "Comisiones", "IVA", "Saldo de capital")
    empty = ("",) * (len(amounts) - 1)
    pairs = [charge_and_credit(running.line) for running in activity.lines]
    charges, credited = (sum(side, ZERO) for side in zip(*pairs, strict=True)) if pairs else (ZERO, ZERO)
    rows = (
        (short_date(activity.period_from), "", "Saldo inicial", *empty, amount(activity.opening)),
        *(_movement(running) for running in activity.lines),
        (
            short_date(activity.period_to),
            "",
            "Saldo final" if activity.lines else "Sin movimientos en el periodo. Saldo final",
            *_cells(charges, credited),
            *empty[2:],
            amount(activity.closing),
        ),
    )
    columns = (
        Column("Fecha", Kind.DATE),
        Column("Fecha valor", Kind.DATE),
        Column("Concepto", Kind.TEXT),
        *map(Column, amounts),
    )
    return Table(
        "Movimientos del periodo",
        columns,
        rows,
        frozenset({0, len(rows) - 1}),
        "Cada cargo o abono es la suma de su capital, intereses, moratorios, comisiones e IVA. "
        "La fecha valor es el día desde el que el movimiento cuenta.",
    )


_CONCEPTS = {
    MovementKind.DISBURSEMENT: "Disposición del crédito",
    MovementKind.PAYMENT: "Pago",
    MovementKind.FEE: "Comisión",
    MovementKind.WAIVER: "Condonación",
    MovementKind.WRITE_OFF: "Castigo contable del saldo",
    MovementKind.RECOVERY: "Pago después del castigo",
    MovementKind.RESTRUCTURE: "Saldo pasado a la reestructura",
    MovementKind.TRANSFER: "Saldo recibido de otro crédito",
}


def _movement(running: RunningLine) -> tuple[str, ...]:
    line = running.line
    return (
        short_date(line.posted_on),
        short_date(line.value_date),
        concept(line),
        *_cells(*charge_and_credit(line), *_by_concept(line.split)),
        amount(running.balance),
    )


def concept(line: StatementLine) -> str:
    """What a line of a statement is for, with the reference of its payment."""
    text = _CONCEPTS[line.kind]
    if line.undoes:
        text = f"Cancelación: {text[0].lower()}{text[1:]}"
    return f"{text} · {plain(line.reference)}" if line.reference else text


def commission_concept(one: Commission) -> str:
    """The same for what a payment cost besides what it pays."""
    text = "Comisión por pago en línea" if one.total > ZERO else "Cancelación: comisión por pago en línea"
    return f"{text} · {plain(one.reference)}" if one.reference else text


_SPLIT_COLUMNS = tuple(map(Column, ("Capital", "Intereses", "Moratorios", "Comisiones", "IVA", "Total")))


def _totals(loan: LoanPart) -> Table:
    totals = loan.totals
    named = [("Pagado", totals.paid), ("Comisiones cargadas", totals.charged), ("Condonado", totals.forgiven)]
    rows = [_split_row(name, split) for name, split in named if split != Split() or name == "Pagado"]
    columns = (Column("Movimientos", Kind.TEXT), *_SPLIT_COLUMNS)
    return Table("Totales del periodo por concepto", columns, tuple(rows))


def _position(loan: LoanPart) -> Table:
    position = loan.position
    rows = [
        _split_row("Exigible al corte", position.due),
        _split_row("Intereses devengados aún no exigibles", loan.accrued),
        _split_row("Capital por vencer", loan.not_due),
    ]
    if loan.written_off:
        rows.append(("Pendiente de un saldo castigado", *((NONE,) * 5), amount(loan.written_off)))
    whole = position.due + loan.accrued + loan.not_due
    rows.append(("Para liquidar el crédito", *_cells(*_by_concept(whole)), amount(loan.owed)))
    columns = (Column("Concepto", Kind.TEXT), *_SPLIT_COLUMNS)
    remark = "Sin pagos por vencer después del corte."
    if loan.pay_by:
        together = position.due.total + position.next_due_total
        remark = f"Próxima fecha límite de pago: {long_date(loan.pay_by)}, {amount(position.next_due_total)}."
        if position.due.total:
            remark += f" Con lo exigible al corte: {amount(together)}."
    if position.due.total:
        remark = f"De lo exigible, {amount(loan.overdue.total)} venció antes de la fecha de corte. {remark}"
    title = f"Adeudo al {long_date(loan.activity.period_to)}"
    return Table(title, columns, tuple(rows), frozenset({len(rows) - 1}), remark)


def _installments(loan: LoanPart) -> Table:
    lines = loan.installments
    settled = "Pagado o cancelado" if loan.closed else "Pagado"
    columns = (
        Column("Número", Kind.TEXT),
        Column("Fecha límite", Kind.DATE),
        *map(Column, ("Capital", "Intereses", "IVA", "Recargos", settled, "Pendiente")),
    )
    rows = [(str(line.number), short_date(line.due_on), *_cells(*_parts(line))) for line in lines]
    if not rows:
        return Table("Pagos con fecha límite en el periodo", columns, (), remark="Ninguno.")
    sums = (sum(side, ZERO) for side in zip(*map(_parts, lines), strict=True))
    return Table(
        "Pagos con fecha límite en el periodo, y anteriores pendientes",
        columns,
        (*rows, ("Total", "", *_cells(*sums))),
        frozenset({len(rows)}),
        "Recargos: intereses moratorios y comisiones por pago tardío, con su IVA.",
    )


def _parts(line: InstallmentLine) -> Sequence[Decimal]:
    return line.capital, line.interest, line.vat, line.late_charges, line.paid, line.open


def _commissions(commissions: Sequence[Commission]) -> Iterable[Part]:
    """What was charged with payments and no loan owes; nothing for a period without any."""
    if not commissions:
        return
    columns = (Column("Fecha", Kind.DATE), Column("Concepto", Kind.TEXT), *map(Column, ("Importe", "IVA", "Total")))
    rows = [
        (short_date(one.posted_on), commission_concept(one), *_cells(one.net, one.vat, one.total))
        for one in commissions
    ]
    sums = (sum(side, ZERO) for side in zip(*((one.net, one.vat, one.total) for one in commissions), strict=True))
    table = Table(
        "Comisiones del periodo",
        columns,
        (*rows, ("Total", "", *_cells(*sums))),
        frozenset({len(rows)}),
        "Se cobran junto con el pago y no son parte de lo que se debe de los créditos.",
    )
    yield Part("comisiones", "Comisiones por pagos en línea", (table,))


WARNINGS = Text(
    "",
    (
        "Incumplir tus obligaciones te puede generar comisiones e intereses moratorios.",
        "Contratar créditos que excedan tu capacidad de pago afecta tu historial crediticio.",
        "El avalista, obligado solidario o coacreditado responderá como obligado principal por el total del pago.",
        "Las tasas de interés son anuales y se expresan en términos simples. Este estado de cuenta es gratuito.",
    ),
)
"""What a statement has to warn of (LTOSF 13)."""

CLAIMS = Text(
    "",
    (
        (
            "Si no está de acuerdo con algún movimiento, puede solicitar una aclaración ante la UNE dentro de los 90 "
            "días naturales siguientes a la fecha de corte o, en su caso, a la realización de la operación, y dejar de "
            "pagar la cantidad en aclaración mientras se resuelve. La entidad entregará un dictamen por escrito en un "
            "plazo máximo de 45 días, o de 180 días si la operación se realizó en el extranjero. También puede "
            "acudir a la CONDUSEF."
        ),
    ),
)
"""How to object, within which time, and what follows (LTOSF 23)."""


def _claims(lender: Lender) -> Part:
    """How to object, and to whom."""
    return Part(
        "aclaraciones",
        "Aclaraciones y reclamaciones",
        (
            CLAIMS,
            Facts(
                "Unidad Especializada de Atención a Usuarios (UNE)",
                (
                    ("Teléfono", plain(lender.une_phone)),
                    ("Correo electrónico", plain(lender.une_email)),
                    ("Domicilio", plain(lender.une_address)),
                ),
            ),
            Facts(
                "Comisión Nacional para la Protección y Defensa de los Usuarios de Servicios Financieros (CONDUSEF)",
                (
                    ("Teléfono", plain(lender.condusef_phone)),
                    ("Correo electrónico", plain(lender.condusef_email)),
                    ("Página de internet", plain(lender.condusef_site)),
                ),
            ),
        ),
    )


def _by_concept(split: Split) -> tuple[Decimal, ...]:
    return split.principal, split.interest, split.moratory, split.fees, split.vat


def _split_row(name: str, split: Split) -> tuple[str, ...]:
    return name, *_cells(*_by_concept(split)), amount(split.total)


def _cells(*amounts: Decimal) -> tuple[str, ...]:
    return tuple(amount(value) if value else NONE for value in amounts)
