"""What becomes of the clients of an invented lender: who they are, what they borrow, and how they pay.

A life is a generator of deeds, each of a day; it is told what came of one before it says the next. So it can react, and
depends on nothing but its seed and those answers. The first lives are of every kind there is, so that the smallest
lender shows all of them; the others are drawn by `ODDS`.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from random import Random
from typing import Any, TypeAlias
from uuid import UUID

from backend_api.demo.people import company, person
from backend_api.domain.business_days import business_day_from

DAY = timedelta(days=1)
WHOLE = Decimal(1)
DAYS_A_MONTH = 30.4
SMALLEST_MONTHS = 5
"""A lender of so many months or more has loans in every state: one is in default after 90 days, and lost later."""


@dataclass(frozen=True, slots=True)
class Trade:
    """What the lender offers: the product as `POST /loan-products` takes it, and what its loans are like."""

    product: dict[str, Any]
    least: int
    most: int
    rates: tuple[str, ...]
    terms: tuple[int, ...]
    step: int = 500


PAYROLL = Trade(
    {
        "code": "NOMINA",
        "name": "Crédito de nómina",
        "terms": {"frequency": {"unit": "semimonth"}, "opening_fee": {"rate": "0.02"}, "excess": "reduce_term"},
        "limits": {"min_amount": "3000.00", "max_amount": "60000.00", "max_installments": 48},
    },
    5_000, 40_000, ("0.32", "0.34", "0.36"), (12, 18, 24, 36),
)  # fmt: skip
PERSONAL = Trade(
    {
        "code": "PERSONAL",
        "name": "Crédito personal",
        "terms": {"opening_fee": {"rate": "0.03"}, "business_days": "following"},
        "limits": {"min_amount": "5000.00", "max_amount": "120000.00", "max_installments": 36},
    },
    8_000, 70_000, ("0.38", "0.42", "0.45"), (6, 12, 18, 24),
)  # fmt: skip
MICRO = Trade(
    {
        "code": "MICRO",
        "name": "Microcrédito semanal",
        "terms": {
            "frequency": {"unit": "week"},
            "portfolio": "microcredit",
            "late_fee": "45.00",
            "moratory_rate": "0",
            "early_days": 3,
        },
        "limits": {"min_amount": "2000.00", "max_amount": "30000.00", "max_installments": 52},
    },
    3_000, 18_000, ("0.68", "0.72"), (16, 24), 100,
)  # fmt: skip
BUSINESS = Trade(
    {
        "code": "PYME",
        "name": "Crédito para negocio",
        "terms": {"opening_fee": {"rate": "0.015", "collection": "financed"}, "amortization": "equal_principal"},
        "limits": {"min_amount": "50000.00", "max_amount": "800000.00", "max_installments": 60},
    },
    80_000, 320_000, ("0.24", "0.26", "0.28"), (12, 18, 24, 36), 5_000,
)  # fmt: skip
TRADES = (PAYROLL, PERSONAL, MICRO, BUSINESS)
SHARES = (34, 34, 24, 8)
"""How many of a hundred clients are of each trade."""
SECOND_PERSON_ABOVE = 200_000
"""From here on activating a loan needs the manager."""


# Deeds.


@dataclass(frozen=True, slots=True)
class Loan:
    """A loan that was granted: the days on which its installments fall due, none before it is disbursed."""

    id: UUID
    due_on: tuple[date, ...]


@dataclass(frozen=True, slots=True)
class Deed:
    """Something that is done on a day."""

    on: date


@dataclass(frozen=True, slots=True)
class Register(Deed):
    """The client comes. `username` is for those who may sign in to the customer space."""

    body: dict[str, Any]
    username: str | None


@dataclass(frozen=True, slots=True)
class Update(Deed):
    """Something of the client's record changes."""

    changes: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Lend(Deed):
    """A loan is granted, and disbursed unless it is `pending`. Answered by the `Loan`."""

    product: str
    amount: Decimal
    rate: str
    installments: int
    pending: bool = False


@dataclass(frozen=True, slots=True)
class OnLoan(Deed):
    """Something is done to a loan."""

    loan: Loan


class Activate(OnLoan):
    """A pending loan is disbursed. Answered by the `Loan`."""


class Reject(OnLoan):
    """A pending loan is refused."""


class Cancel(OnLoan):
    """A pending loan is given up, or one of today taken back."""


@dataclass(frozen=True, slots=True)
class Pay(OnLoan):
    """A payment of a `share` of what is due by then, or of the installment of `due_on` if that is still to come.

    Answered by its id; None if nothing was to be paid. It came `days_before`, and is booked now.
    """

    due_on: date
    method: str
    reference: str
    share: Decimal = WHOLE
    days_before: int = 0


@dataclass(frozen=True, slots=True)
class PayOff(OnLoan):
    """A payment of all that is owed, and of `surplus` besides, with which it is refused. Answered like `Pay`."""

    method: str
    reference: str
    surplus: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Recover(OnLoan):
    """A payment of a share of what was lost. Answered like `Pay`."""

    method: str
    reference: str
    share: Decimal


@dataclass(frozen=True, slots=True)
class Reverse(Deed):
    """A payment is taken back."""

    payment: UUID
    reason: str


@dataclass(frozen=True, slots=True)
class Charge(OnLoan):
    """A fee."""

    amount: Decimal
    reason: str


@dataclass(frozen=True, slots=True)
class Forgive(OnLoan):
    """The moratory interest that is due is waived, if there is any."""

    reason: str


@dataclass(frozen=True, slots=True)
class WriteOff(OnLoan):
    """The loan is a loss."""

    reason: str


@dataclass(frozen=True, slots=True)
class Restructure(OnLoan):
    """Another loan takes its place. Answered by that `Loan`."""

    rate: str
    installments: int
    reason: str


@dataclass(frozen=True, slots=True)
class Ask(Deed):
    """The manager is asked for something. Answered by the approval's id."""

    what: Activate | Reverse | WriteOff


@dataclass(frozen=True, slots=True)
class Decide(Deed):
    """The manager agrees. Answered by the `Loan` that it was about, as it is then."""

    approval: UUID
    about: Loan
    reason: str


Life: TypeAlias = Generator[Deed, Any, None]


# Habits: when an installment is paid, and what share of what is due. The days count from its due date.


Times: TypeAlias = list[tuple[int, Decimal]]
Habit: TypeAlias = Callable[[Random], Times]


def on_time(random: Random) -> Times:
    """On the day, or up to three before."""
    return [(random.choice((-3, -2, -1, -1, 0, 0, 0, 0)), WHOLE)]


def now_and_then_late(random: Random) -> Times:
    """One in three is some days late."""
    return [(random.randint(1, 24), WHOLE)] if random.random() < 0.33 else on_time(random)


def in_trouble(random: Random) -> Times:
    """In parts, or weeks late."""
    way = random.random()
    if way < 0.30:
        return [(random.randint(25, 62), WHOLE)]
    if way < 0.60:
        first = random.randint(0, 9)
        return [(first, Decimal(random.choice(("0.40", "0.50", "0.60")))), (first + random.randint(9, 28), WHOLE)]
    return now_and_then_late(random)


# Lives.


@dataclass(slots=True)
class Client:
    """Somebody from the day they join; `day` is that of their last deed. Methods are parts of lives."""

    number: int
    random: Random
    day: date
    until: date
    trade: Trade
    username: str | None = None

    def registers(self) -> Life:
        """The client comes to the lender."""
        make = company if self.trade is BUSINESS and self.random.random() < 0.7 else person
        yield Register(self.day, make(self.random, self.number), self.username)

    def borrows(self) -> Generator[Deed, Any, Loan]:
        """A loan; a large one is pending until the manager agrees."""
        wanted = self.wants()
        large = wanted[1] >= SECOND_PERSON_ABOVE
        loan: Loan = yield Lend(self.office_day(), *wanted, pending=large)
        if large:
            approval = yield Ask(self.later(0), Activate(self.day, loan))
            loan = yield Decide(self.later(1, 3), approval, loan, "Expediente completo.")
        return loan

    def repays(self, loan: Loan, habit: Habit, first: int = 0, last: int | None = None) -> Life:
        """The installments from `first` on, up to `last`."""
        for due_on in loan.due_on[first:last]:
            for days, share in habit(self.random):
                yield from self.pays(loan, due_on, max(due_on + days * DAY, self.day), share)
        if last is None:
            yield PayOff(self.later(0), loan, *self.money())  # what is left, if the last part was not all of it

    def later(self, fewest: int, most: int | None = None) -> date:
        """So many days later, which is now the client's day."""
        self.day += DAY * self.random.randint(fewest, most or fewest)
        return self.day

    def office_day(self) -> date:
        """The next day, from the client's on, on which the lender is open."""
        self.day = business_day_from(self.day)
        return self.day

    def pays(self, loan: Loan, due_on: date, day: date, share: Decimal) -> Life:
        """A payment, which now and then is taken back and made again."""
        chance = self.random.random()
        # Found on Monday what came on Saturday: booked now, counted from then.
        before = self.random.randint(1, 2) if chance < 0.04 and (day - self.day).days > 4 else 0
        self.day = day
        payment = yield Pay(day, loan, due_on, *self.money(), share=share, days_before=before)
        if payment is not None and chance > 0.988:
            yield Reverse(self.later(1, 2), payment, self.random.choice(RETURNED))
            yield Pay(self.later(2, 6), loan, due_on, *self.money())

    def money(self) -> tuple[str, str]:
        """How a payment comes, and its number."""
        method = self.random.choices(("transfer", "cash", "direct_debit", "card"), (52, 26, 16, 6))[0]
        number = self.random.randrange(10**9)
        return method, {"transfer": "SPEI", "cash": "OXXO", "direct_debit": "DOM", "card": "TPV"}[
            method
        ] + f"{number:09d}"

    def wants(self) -> tuple[str, Decimal, str, int]:
        """A loan of the client's trade: product, amount, rate, installments."""
        trade = self.trade
        steps = (trade.most - trade.least) // trade.step
        amount = trade.least + trade.step * int(steps * self.random.betavariate(1.6, 2.6))
        return trade.product["code"], Decimal(amount), self.random.choice(trade.rates), self.random.choice(trade.terms)


RETURNED = (
    "Domiciliación devuelta por el banco.", "Depósito registrado dos veces.", "Pago de otro cliente.",
)  # fmt: skip


def punctual(client: Client) -> Life:
    """Pays on time and comes back."""
    while True:
        loan = yield from client.borrows()
        if client.random.random() < 0.05:
            yield Charge(client.later(2, 20), loan, Decimal("120.00"), "Segunda copia del contrato.")
        yield from client.repays(loan, on_time)
        client.later(4, 60)


def tardy(client: Client) -> Life:
    """Now and then some days late; is forgiven once in a while."""
    while True:
        loan = yield from client.borrows()
        half = len(loan.due_on) // 2
        yield from client.repays(loan, now_and_then_late, 0, half)
        yield Forgive(client.later(0), loan, "Primera vez en el año.")
        yield from client.repays(loan, now_and_then_late, half)
        client.later(10, 90)


def troubled(client: Client) -> Life:
    """Weeks late, in parts, but pays."""
    loan = yield from client.borrows()
    yield from client.repays(loan, in_trouble)


def hasty(client: Client) -> Life:
    """Pays all of it long before the end, first too much; takes a larger one."""
    while True:
        loan = yield from client.borrows()
        many = client.random.randint(1, max(2, len(loan.due_on) // 3))
        yield from client.repays(loan, on_time, 0, many)
        yield PayOff(client.later(1, 9), loan, *client.money(), surplus=Decimal("500.00"))
        yield PayOff(client.later(0, 1), loan, *client.money())
        client.later(1, 30)


def defaulted(client: Client) -> Life:
    """Stops paying, and is not heard of again; a few turn up after months and go on."""
    loan, paid = yield from _stops(client)
    if client.random.random() < 0.3:
        due_on = loan.due_on[min(paid, len(loan.due_on) - 1)]
        client.later(100, 150)
        yield from client.pays(loan, due_on, client.day, WHOLE)
        yield from client.repays(loan, on_time, paid + 1)


def lost(client: Client) -> Life:
    """Stops paying; the manager agrees that it is a loss."""
    loan, _ = yield from _stops(client)
    yield from _written_off(client, loan)


def recovered(client: Client) -> Life:
    """Lost, and then some of it comes after all."""
    loan, _ = yield from _stops(client)
    yield from _written_off(client, loan)
    for _ in range(3):
        yield Recover(client.later(5, 25), loan, *client.money(), share=Decimal("0.15"))


def restructured(client: Client) -> Life:
    """Stops paying, and agrees on another loan in its place, which is paid."""
    loan, _ = yield from _stops(client)
    client.later(60, 85)
    client.office_day()
    agreed = yield Restructure(client.day, loan, "0.24", 24, "Perdió el empleo; nuevo plan de pagos.")
    yield from client.repays(agreed, on_time)


def refused(client: Client) -> Life:
    """Asks for a loan and gets none."""
    loan = yield Lend(client.office_day(), *client.wants(), pending=True)
    yield Reject(client.later(1, 4), loan)


def undecided(client: Client) -> Life:
    """Gives up a loan that was not disbursed, and takes another one back on its first day; leaves."""
    loan = yield Lend(client.office_day(), *client.wants(), pending=True)
    yield Cancel(client.later(1, 6), loan)
    client.later(5, 20)
    loan = yield Lend(client.office_day(), *client.wants())
    yield Cancel(client.day, loan)
    yield Update(client.later(1, 9), {"status": "INACTIVE"})


def moving(client: Client) -> Life:
    """Pays on time, and has another telephone number."""
    loan = yield from client.borrows()
    yield Update(client.later(3, 30), {"phone": f"55 {client.random.randrange(10**8):08d}"})
    yield from client.repays(loan, on_time)


def waiting(client: Client) -> Life:
    """The last days: a large loan that the manager has not decided about."""
    client.day = client.until - client.random.randint(1, 4) * DAY
    product, amount, rate, installments = client.wants()
    loan = yield Lend(client.day, product, max(amount, Decimal(SECOND_PERSON_ABOVE)), rate, installments, pending=True)
    yield Ask(client.later(0), Activate(client.day, loan))


def complaining(client: Client) -> Life:
    """The last days: says that a payment was not theirs, which the manager has not looked at."""
    client.day = max(client.day, client.until - 70 * DAY)
    loan = yield from client.borrows()
    payment = None
    for due_on in loan.due_on:
        if due_on > client.until - 2 * DAY:
            break
        client.day = due_on
        payment = (yield Pay(due_on, loan, due_on, *client.money())) or payment
    client.day = max(client.day, client.until - DAY)
    if payment is not None:
        yield Ask(client.day, Reverse(client.day, payment, "El cliente dice que no es suyo."))


Fate: TypeAlias = Callable[[Client], Life]

ODDS: dict[Fate, float] = {
    punctual: 45, tardy: 24, troubled: 10, hasty: 5, moving: 2, defaulted: 7, lost: 2.4, recovered: 1,
    restructured: 2.4, refused: 0.8, undecided: 0.4,
}  # fmt: skip
"""Of how many clients in a hundred this is the fate."""

CAST: Sequence[tuple[Fate, Trade, str | None]] = (
    (punctual, PAYROLL, "cliente"),
    (tardy, PERSONAL, "cliente.atrasado"),
    (defaulted, MICRO, "cliente.vencido"),
    (restructured, MICRO, None),
    (lost, MICRO, None),
    (recovered, MICRO, None),
    (hasty, PERSONAL, None),
    (troubled, PERSONAL, None),
    (refused, PERSONAL, None),
    (undecided, PAYROLL, None),
    (waiting, BUSINESS, None),
    (complaining, MICRO, None),
)
"""The first clients, with the name under which they sign in."""


@dataclass(frozen=True, slots=True)
class Story:
    """A lender of so many clients, over the months before `until`, its last day and the only one that is not over."""

    clients: int
    months: int
    seed: int
    until: date

    @property
    def first(self) -> date:
        """The lender's first day."""
        return self.until - int(self.months * DAYS_A_MONTH) * DAY

    def lives(self) -> Iterator[Life]:
        """The clients' lives, in the order in which they are numbered."""
        span = (self.until - self.first).days
        for number in range(self.clients):
            random = Random(f"{self.seed}/{number}")  # noqa: S311 - a story, not a secret
            if number < len(CAST):
                fate, trade, username = CAST[number]
                joined = self.first + number // 3 * DAY
            else:
                fate = random.choices(list(ODDS), list(ODDS.values()))[0]
                trade = random.choices(TRADES, SHARES)[0]
                username = None
                joined = self.first + int(span * (number / self.clients) ** 0.75) * DAY  # slowly at first
            yield _life(Client(number, random, joined, self.until, trade, username), fate)


def _life(client: Client, fate: Fate) -> Life:
    yield from client.registers()
    yield from fate(client)


def _stops(client: Client) -> Generator[Deed, Any, tuple[Loan, int]]:
    """A loan of which only the first installments are paid: how many."""
    loan = yield from client.borrows()
    # The first ones of a story have little time to be late in.
    most = 1 if client.number < len(CAST) else max(1, len(loan.due_on) // 2)
    paid = client.random.randint(0, most)
    yield from client.repays(loan, on_time, 0, paid)
    client.day = max(client.day, loan.due_on[paid])
    return loan, paid


def _written_off(client: Client, loan: Loan) -> Life:
    approval = yield Ask(client.later(112, 118), WriteOff(client.day, loan, "No se localiza al cliente."))
    yield Decide(client.later(1, 2), approval, loan, "Gestión de cobranza agotada.")
