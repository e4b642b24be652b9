"""Every figure and table of docs/loan-engine.md, worked out by the code that it describes.

After a rule has changed run `python -m tests.support.loan_engine_page`: it writes the blocks anew. What stands between
them is written by hand.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date
from decimal import Decimal
from uuid import UUID, uuid5

from backend_api.domain import corrections
from backend_api.domain.account import Account, Movement, MovementKind, Split, apply, replay
from backend_api.domain.approvals import LIFE, ApprovalKind
from backend_api.domain.corrections import Booked
from backend_api.domain.delinquency import SECOND_STAGE_DAYS, THIRD_STAGE_DAYS, age_bucket, stage
from backend_api.domain.ledger import CHART, Adjustment, Posting, adjustment, disbursement, entry_for
from backend_api.domain.money import ZERO
from backend_api.domain.provisions import CONSUMER, provision
from backend_api.domain.term_sheet import sheet
from backend_api.domain.terms import ExcessPolicy, OpeningFee, Terms
from backend_api.settings import Settings

from tests.support.builders import Json
from tests.support.documents import ROOT

PAGE = "docs/loan-engine.md"
SERVICE = ROOT / "backend-api" / "backend_api"
MARKER = "tests/contract/test_loan_engine_page.py works out: "
TAGS = {"Loans", "Products", "Payments", "Approvals", "Portfolio", "Ledger"}
PARTS = ("principal", "interest", "vat", "fees", "moratory")

GRANTED, EARLY, DUE, LATE = map(date.fromisoformat, ("2026-01-15", "2026-01-30", "2026-02-15", "2026-02-25"))
TERMS = Terms(amount=Decimal("36000.00"), interest_rate=Decimal("0.10"), installments=12, disbursed_on=GRANTED)


def movement(kind: MovementKind, day: date, amount: str, sequence: int) -> Movement:
    """A movement with an identifier that is the same in every run."""
    return Movement(uuid5(UUID(int=0), f"{kind} {day} {amount}"), kind, day, sequence, Decimal(amount))


def columns(rows: Iterable[Sequence[object]], *, texts: int = 1) -> str:
    """Rows one below the other: the first `texts` columns to the left, the others, figures, to the right."""
    written = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in written) for column in range(len(written[0]))]
    lines = [
        "  ".join(
            cell.ljust(width) if column < texts else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in written
    ]
    return "".join(f"{line.rstrip()}\n" for line in lines)


def the_terms() -> str:
    """What STANDARD says, as a loan holds it."""
    of_loan = "amount", "interest_rate", "installments", "first_due_on"
    said = {name: value for name, value in sheet(TERMS).items() if name not in of_loan}
    return columns(((name, json.dumps(value).replace('"', "")) for name, value in said.items()), texts=2)


def positions() -> str:
    """The loan of the page on four days on which nobody pays."""
    account = Account.opened(TERMS)
    rows: list[Sequence[object]] = [
        ("end of", "principal", "interest", "moratory", "VAT", "payoff_amount", "due", "days_past_due")
    ]
    for day in (GRANTED, EARLY, DUE, LATE):
        owed = account.position(day)
        rows.append(
            (day, owed.principal, owed.interest, owed.moratory, owed.vat, owed.payoff_amount, owed.due.total,
             owed.days_past_due)
        )  # fmt: skip
    return columns(rows)


def waterfall() -> str:
    """A fee and a late payment that does not reach everything that is due."""
    fee = movement(MovementKind.FEE, date(2026, 2, 20), "350.00", 2)
    account, _ = replay(TERMS, [fee])
    due = account.position(LATE).due
    _, taken = apply(account, movement(MovementKind.PAYMENT, LATE, "1000.00", 3))
    rows: list[Sequence[object]] = [("", *PARTS, "total")]
    rows.append((f"due on {LATE}", *_parts(due)))
    rows.append(("paid", *_parts(taken)))
    rows.append(("still due", *(before - after for before, after in zip(_parts(due), _parts(taken), strict=True))))
    return columns(rows)


def excess() -> str:
    """What each policy makes of the same early payment."""
    paid = movement(MovementKind.PAYMENT, EARLY, "8000.00", 2)
    head = f"{paid.amount} paid on {EARLY}", "principal owed", "next due", "next installment", "installments", "last on"
    rows: list[Sequence[object]] = [head]
    plain = Account.opened(TERMS)
    rows.append(("nothing paid", *_left(plain, EARLY)))
    for policy in ExcessPolicy:
        terms = Terms(
            amount=TERMS.amount,
            interest_rate=TERMS.interest_rate,
            installments=TERMS.installments,
            disbursed_on=GRANTED,
            excess=policy,
        )
        account, _ = apply(Account.opened(terms), paid)
        rows.append((policy.value, *_left(account, EARLY)))
    return columns(rows)


def _left(account: Account, day: date) -> Sequence[object]:
    open_rows = [row for row in account.rows if row.open]
    position = account.position(day)
    return position.principal, position.next_due_on, position.next_due_total, len(open_rows), open_rows[-1].due_on


def backdated() -> str:
    """The rows of a payment, and what a payment of an earlier day that comes later does to them."""
    first = movement(MovementKind.DISBURSEMENT, GRANTED, "0.00", 1)
    later = movement(MovementKind.PAYMENT, date(2026, 2, 4), "1000.00", 2)
    _, splits = replay(TERMS, [first, later])
    standing = [Booked(one.id, one, splits[one.id]) for one in (first, later)]
    correction = corrections.add(TERMS, standing, movement(MovementKind.PAYMENT, date(2026, 1, 20), "5000.00", 3))
    rows: list[Sequence[object]] = [("posted on", "what", "value date", *PARTS, "amount")]
    rows += [(booked.movement.value_date, booked.movement.kind, booked.movement.value_date, *_parts(booked.split))
             for booked in standing]  # fmt: skip
    today = date(2026, 2, 6)
    rows += [(today, f"{one.movement.kind}, taken back", one.movement.value_date, *_parts(one.split))
             for one in correction.undone]  # fmt: skip
    rows += [(today, one.kind, one.value_date, *_parts(split)) for one, split in correction.booked]
    return columns(rows, texts=3)


def _parts(split: Split) -> tuple[Decimal, ...]:
    return (*(getattr(split, part) for part in PARTS), split.total)


def chart() -> str:
    """The chart of accounts."""
    return columns([(one.code, one.name_en, one.name_es, one.kind) for one in CHART], texts=4)


def entries() -> str:
    """The entry of each kind of movement. Every part is of a size of its own, so that it is seen where it goes."""
    names = {
        Decimal(1): "principal", Decimal(2): "interest", Decimal(4): "VAT", Decimal(8): "fees", Decimal(16): "moratory",
    }  # fmt: skip
    whole = Split(*names)
    rows: list[Sequence[object]] = [("movement", "debit", "credit")]
    handed_over = disbursement(
        Terms(
            amount=Decimal("1000.00"),
            interest_rate=TERMS.interest_rate,
            installments=1,
            disbursed_on=GRANTED,
            opening_fee=OpeningFee(flat=Decimal("100.00")),
        )
    )
    of_fee = {Decimal("1000.00"): "amount", Decimal("884.00"): "handed over", Decimal("100.00"): "opening fee",
              Decimal("16.00"): "its VAT"}  # fmt: skip
    rows += _entry("DISBURSEMENT", handed_over, of_fee)
    for kind in MovementKind:
        if kind is MovementKind.DISBURSEMENT:
            continue
        split = _of_kind(kind, whole)
        plain, suspended = (entry_for(kind, split, suspended=state) for state in (False, True))
        rows += _entry(kind.value, plain, names if kind is not MovementKind.RECOVERY else {Decimal(1): "what came in"})
        if suspended != plain:
            rows += _entry(f"{kind}, stage 3", suspended, names)
    return columns(rows, texts=3)


def _of_kind(kind: MovementKind, whole: Split) -> Split:
    """What a movement of this kind can hold."""
    if kind is MovementKind.FEE:
        return Split(fees=whole.fees, vat=whole.vat)
    if kind is MovementKind.TRANSFER:
        return Split(principal=whole.principal, fees=whole.fees, vat=whole.vat)
    return Split(principal=whole.principal) if kind is MovementKind.RECOVERY else whole


def _entry(name: str, entry: Sequence[Posting], names: dict[Decimal, str]) -> Iterator[Sequence[object]]:
    sides = [
        [f"{line.account} {_sum_of(abs(line.amount), names)}" for line in entry if line.amount * sign > 0]
        for sign in (1, -1)
    ]
    for number in range(max(map(len, sides))):
        debit, credit = (side[number] if number < len(side) else "" for side in sides)
        yield (name if not number else "", debit, credit)


def _sum_of(amount: Decimal, names: dict[Decimal, str]) -> str:
    """The parts that an amount is the sum of: each of them is larger than all the smaller ones together."""
    found = []
    for part in sorted(names, reverse=True):
        if part <= amount:
            amount -= part
            found.append(names[part])
    assert amount == ZERO
    return " + ".join(sorted(found, key=list(names.values()).index))


def end_of_day() -> str:
    """What the end of two days books for a portfolio of the one loan."""
    rows: list[Sequence[object]] = [("day", "entry", "account", "should hold", "holds", "booked")]
    posted: dict[Adjustment, Decimal] = {}
    for day in (date(2026, 1, 29), EARLY):
        owed = Account.opened(TERMS).position(day)
        balance = owed.principal + owed.interest
        reserve = provision(CONSUMER, balance, owed.days_past_due)
        for kind, target in ((Adjustment.INTEREST, owed.interest), (Adjustment.PROVISIONS, -reserve)):
            before = posted.get(kind, ZERO)
            line, against = adjustment(kind, target, before)
            booked = f"{line.amount:+} / {against.amount:+} on {against.account}"
            rows.append((day, kind.value, line.account, target, before, booked))
            posted[kind] = target
    return columns(rows, texts=3)


def lateness() -> str:
    """What so many days past due mean."""
    firsts = sorted({0, SECOND_STAGE_DAYS, THIRD_STAGE_DAYS, *(band.first for band in CONSUMER.bands)})
    rows: list[Sequence[object]] = [("days past due from", "bucket", "stage", "reserved")]
    for first in firsts:
        percent = f"{(CONSUMER.rate(first) * 100).normalize():f} %"
        rows.append((first, age_bucket(first).value, int(stage(first)), percent))
    return columns(rows)


def approvals() -> str:
    """What can need a second person, by which setting, and for how long somebody may decide."""
    calls = "".join(path.read_text("utf-8") for path in sorted(SERVICE.glob("*/endpoints.py")))
    asked = re.findall(r"with_second_person\(\s*ApprovalKind\.(\w+),.*?settings\.(approve_\w+)", calls, re.DOTALL)
    assert {kind for kind, _ in asked} == {kind.name for kind in ApprovalKind}
    assert {setting for _, setting in asked} <= Settings.model_fields.keys()
    rows: list[Sequence[object]] = [("kind", "setting", "days to decide")]
    rows += [(kind, setting.upper(), LIFE.days) for kind, setting in asked]
    return columns(rows, texts=2)


def refusals() -> str:
    """Every refusal that a call of the engine has of its own, from docs/openapi.json."""
    document: Json = json.loads((ROOT / "docs" / "openapi.json").read_text("utf-8"))
    found: dict[tuple[int, str], str] = {}
    for operation in (operation for methods in document["paths"].values() for operation in methods.values()):
        if not TAGS & set(operation["tags"]):
            continue
        for status, answer in operation["responses"].items():
            for example in answer.get("content", {}).get("application/problem+json", {}).get("examples", {}).values():
                if "value" in example:
                    found[int(status), example["value"]["code"]] = example["value"]["detail"]
    return columns(((status, code, detail) for (status, code), detail in sorted(found.items())), texts=3)


BLOCKS: dict[str, Callable[[], str]] = {
    "the terms of STANDARD": the_terms,
    "four days of a loan": positions,
    "a payment by the waterfall": waterfall,
    "three excess policies": excess,
    "a payment that is dated back": backdated,
    "the chart of accounts": chart,
    "the entries": entries,
    "two ends of a day": end_of_day,
    "how late": lateness,
    "second person": approvals,
    "refusals": refusals,
}


def written(page: str) -> str:
    """The page with its blocks as they should be. Raises LookupError for a block that is not there."""
    for name, work_out in BLOCKS.items():
        opening = f"<!-- {MARKER}{name} -->\n```\n"
        before, found, rest = page.partition(opening)
        if not found:
            raise LookupError(f"{PAGE} has no block for {name}")
        page = f"{before}{opening}{work_out()}{rest[rest.index('```') :]}"
    return page


if __name__ == "__main__":
    (ROOT / PAGE).write_text(written((ROOT / PAGE).read_text("utf-8")), "utf-8")
