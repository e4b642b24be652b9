"""Account statements of a made-up client, computed by the engine from loans and their movements."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from uuid import UUID

from backend_api.clients.statement.document import Client, Lender, LoanPart, StatementDocument
from backend_api.domain.account import Movement, MovementKind, replay
from backend_api.domain.cat import cat
from backend_api.domain.money import ZERO
from backend_api.domain.schedule import schedule
from backend_api.domain.statement import Commission, StatementLine, statement
from backend_api.domain.terms import Amortization, Bucket, BusinessDays, Frequency, FrequencyUnit, OpeningFee, Terms

FROM, TO = date(2026, 1, 1), date(2026, 12, 31)
LENDER = Lender(
    name="Caja de Préstamos del Bajío, S.A. de C.V., S.F.P.",
    address="Av. Constituyentes 120, Col. Centro, 76000 Santiago de Querétaro, Qro.",
    une_phone="442 555 0100",
    une_email="une@example.com",
    une_address="Av. Constituyentes 120, piso 2, Col. Centro, 76000 Santiago de Querétaro, Qro.",
    condusef_phone="800 999 8080 y 55 5340 0999",
    condusef_email="asesoria@condusef.gob.mx",
    condusef_site="www.condusef.gob.mx",
)
CLIENT = Client(
    name="María de los Ángeles Núñez Peña",
    masked_rfc="NU**********5",
    address="Calle Fray Servando Teresa de Mier 45, int. 3, Col. Peñuelas, 76148 Querétaro, Qro.",
)


@dataclass(frozen=True)
class Event:
    """A movement as a test writes it down; posted on its value date unless said otherwise."""

    kind: MovementKind
    value_date: date
    amount: str = "0.00"
    concept: Bucket | None = None
    posted_on: date | None = None
    reference: str | None = None
    reversed_on: date | None = None


def loan_part(folio: int, product: str, terms: Terms, events: Sequence[Event], since: date, until: date) -> LoanPart:
    """The part of a loan with its disbursement and these events, as a statement of the period shows it."""
    events = [Event(MovementKind.DISBURSEMENT, terms.disbursed_on, str(terms.principal)), *events]
    known = [
        (event, Movement(UUID(int=at), event.kind, event.value_date, at, Decimal(event.amount), event.concept))
        for at, event in enumerate(events, 1)
        if (event.posted_on or event.value_date) <= until
    ]
    standing = [movement for event, movement in known if event.reversed_on is None or event.reversed_on > until]
    account, _ = replay(terms, standing)
    lines = []
    for at, (event, movement) in enumerate(known):
        earlier = [one for past, one in known[: at + 1] if past.reversed_on is None or one is movement]
        _, splits = replay(terms, earlier)
        line = StatementLine(
            posted_on=event.posted_on or event.value_date,
            value_date=event.value_date,
            sequence=2 * movement.sequence,
            loan_id=UUID(int=folio),
            kind=event.kind,
            split=splits[movement.id],
            reference=event.reference,
        )
        lines.append(line)
        if event.reversed_on and event.reversed_on <= until:
            lines.append(replace(line, posted_on=event.reversed_on, sequence=line.sequence + 1, undoes=True))
    activity = statement(ZERO, lines, since, until)
    return LoanPart.of(folio, product, account, activity, cat(terms), terms.disbursed_on)


def _month(number: int, day: int = 15) -> date:
    return date(2026, number, day)


COMMISSIONS = (
    Commission(_month(3), "SPEI 260315-0481", Decimal("10.00"), Decimal("1.60")),
    Commission(_month(9), "SPEI 260915-0481", Decimal("10.00"), Decimal("1.60")),
    Commission(_month(9, 16), "SPEI 260915-0481", Decimal("-10.00"), Decimal("-1.60")),
)


def sample(since: date = FROM, until: date = TO) -> StatementDocument:
    """Three loans over a year: one paid on time, one late with everything that can happen, one paid off."""
    punctual = Terms(
        amount=Decimal("120000.00"),
        interest_rate=Decimal("0.36"),
        installments=24,
        disbursed_on=date(2025, 12, 15),
        opening_fee=OpeningFee(rate=Decimal("0.02")),
        business_days=BusinessDays.FOLLOWING,
    )
    agreed = [row.total for row in schedule(punctual)[:12]]
    monthly = [
        Event(MovementKind.PAYMENT, _month(month), str(total), reference=f"SPEI 26{month:02}15-0481")
        for month, total in enumerate(agreed, 1)
    ]
    late = Terms(
        amount=Decimal("18500.00"),
        interest_rate=Decimal("0.58"),
        installments=12,
        disbursed_on=_month(6, 10),
    )
    troubled = [
        Event(MovementKind.PAYMENT, _month(7, 10), "2300.00", reference="Ventanilla 0077"),
        Event(MovementKind.FEE, _month(7, 20), "150.00", reference="Reposición de contrato"),
        Event(MovementKind.PAYMENT, _month(8, 10), "2400.00", reference="SPEI 8841", reversed_on=_month(8, 14)),
        Event(MovementKind.PAYMENT, _month(8, 28), "2600.00", reference="Ventanilla 0102"),
        Event(MovementKind.PAYMENT, _month(9, 10), "2200.00", posted_on=_month(9, 12), reference="SPEI 9120"),
        Event(MovementKind.PAYMENT, _month(11, 20), "2300.00", reference="Ventanilla 0180"),
        Event(MovementKind.WAIVER, _month(12, 1), "20.00", concept=Bucket.MORATORY),
    ]
    short = Terms(
        amount=Decimal("6000.00"),
        interest_rate=Decimal("0.45"),
        installments=8,
        disbursed_on=_month(2, 3),
        frequency=Frequency(1, FrequencyUnit.SEMIMONTH),
        amortization=Amortization.EQUAL_PRINCIPAL,
    )
    account, _ = replay(short, [Movement(UUID(int=1), MovementKind.DISBURSEMENT, short.disbursed_on, 1)])
    paid_off = [Event(MovementKind.PAYMENT, _month(3, 2), str(account.position(_month(3, 2)).payoff_amount))]
    loans = [
        loan_part(1001, "Crédito personal", punctual, monthly, since, until),
        loan_part(1002, "Microcrédito productivo", late, troubled, since, until),
        loan_part(1003, "Adelanto de nómina", short, paid_off, since, until),
    ]
    commissions = tuple(one for one in COMMISSIONS if since <= one.posted_on <= until)
    return StatementDocument(LENDER, CLIENT, since, until, tuple(loans), commissions)


def crowded(movements: int) -> StatementDocument:
    """A statement with so many movements: one loan, paid and reversed again and again."""
    document = sample()
    loan = document.loans[0]
    first = loan.activity.lines[0].line
    day = timedelta(days=1)
    lines = [
        replace(first, posted_on=FROM + day * (at * 360 // movements), sequence=at, undoes=at % 2 == 1)
        for at in range(movements)
    ]
    activity = statement(loan.activity.opening, lines, FROM, TO)
    return replace(document, loans=(replace(loan, activity=activity),), commissions=())
