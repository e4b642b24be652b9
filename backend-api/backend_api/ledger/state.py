"""An account as it is kept in its loan's row, so that a payment need not replay the whole history.

Only what can still change is kept: an installment that fell due and was settled says nothing more about the future.
What is kept is a snapshot; a replay of the movements gives the same, and a test holds the two together.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import orjson

from backend_api.domain.account import NO_CHARGE, Account, Charge, Closed, Fee, Row, Split
from backend_api.domain.due_dates import Period
from backend_api.domain.money import ZERO
from backend_api.domain.term_sheet import terms_of
from backend_api.domain.terms import Bucket, Terms

UNTOUCHED_FIELDS = 4
Kept = str | Mapping[str, Any]
"""A JSON column, however it was read: asyncpg leaves it as text, SQLAlchemy reads it."""


def account_of(terms: Kept, disbursed_on: date, account: Kept) -> Account:
    """The account of a disbursed loan from the columns of its row."""
    return decode(account, terms_of(_read(terms), disbursed_on))


def compact(account: Account, day: date) -> Account:
    """The account without the installments that fell due by `day` and are settled; what is owed does not change.

    For an account that is not looked at, and does not move, on an earlier day.
    """
    rows = tuple(row for row in account.rows if row.due_on > day or row.open > ZERO)
    done = (row for row in account.rows if row.due_on <= day and row.open <= ZERO)
    before = sum((row.earned - row.interest.net for row in done), account.interest_before)
    fees = tuple(fee for fee in account.fees if fee.charge.open > ZERO)
    return replace(account, rows=rows, fees=fees, interest_before=before)


def encode(account: Account) -> str:
    """The account as JSON: money as text, dates as ISO text, an installment as a list in the order of its fields.

    Of an installment that nothing has touched, and that follows the one before it as the schedule made it, only what
    cannot be told from that one is kept: a payment writes the whole snapshot, and most of it is such installments.
    """
    return orjson.dumps(
        {
            "rows": [
                _untouched(row) if before and _follows(before, row) else _row(row)
                for before, row in zip((None, *account.rows), account.rows, strict=False)
            ],
            "fees": [[fee.charged_on, _charge(fee.charge), fee.concept] for fee in account.fees],
            "interest_before": str(account.interest_before),
            "closed": account.closed,
            "remainder": [str(part) for part in _parts(account.remainder)],
            "recovered": str(account.recovered),
            "sustained": account.sustained,
        }
    ).decode()


def decode(kept: Kept, terms: Terms) -> Account:
    """The account that `encode` wrote."""
    kept = _read(kept)
    return Account(
        terms=terms,
        rows=tuple(_read_rows(kept["rows"])),
        fees=tuple(
            Fee(date.fromisoformat(day), _read_charge(charge), Bucket(concept)) for day, charge, concept in kept["fees"]
        ),
        interest_before=Decimal(kept["interest_before"]),
        closed=Closed(kept["closed"]) if kept["closed"] else None,
        remainder=Split(*map(Decimal, kept["remainder"])),
        recovered=Decimal(kept["recovered"]),
        sustained=kept["sustained"],
    )


def _read(kept: Kept) -> Mapping[str, Any]:
    found: Mapping[str, Any] = orjson.loads(kept) if isinstance(kept, str) else kept
    return found


def _follows(before: Row, row: Row) -> bool:
    """Whether `_read_untouched` gives this row again."""
    period = row.period
    return (
        period.number == before.period.number + 1
        and period.regular
        and period.accrues_from == period.starts_on == before.period.due_on
        and row.opening == before.opening - before.principal
        and row.interest.net == row.earned
        and not (row.interest.net_settled or row.interest.vat_settled or row.principal_settled)
        and row.moratory_until is None
        and row.fees == NO_CHARGE == row.moratory
    )


def _untouched(row: Row) -> list[Any]:
    return [row.period.due_on, str(row.principal), str(row.earned), str(row.interest.vat)]


def _read_rows(kept: Sequence[Sequence[Any]]) -> Iterator[Row]:
    before: Row | None = None
    for row in kept:
        before = _read_untouched(before, *row) if before and len(row) == UNTOUCHED_FIELDS else _read_row(row)
        yield before


def _read_untouched(before: Row, due_on: str, principal: str, earned: str, vat: str) -> Row:
    starts_on, interest = before.period.due_on, Decimal(earned)
    return Row(
        period=Period(before.period.number + 1, starts_on, date.fromisoformat(due_on), True, starts_on),
        opening=before.opening - before.principal,
        principal=Decimal(principal),
        earned=interest,
        interest=Charge(interest, Decimal(vat)),
    )


def _row(row: Row) -> list[Any]:
    period = row.period
    return [
        period.number, period.starts_on, period.due_on, period.regular, period.accrues_from,
        str(row.opening), str(row.principal), str(row.earned), str(row.principal_settled),
        str(row.peso_days), row.moratory_until,
        _charge(row.interest), _charge(row.fees), _charge(row.moratory),
    ]  # fmt: skip


def _read_row(kept: Sequence[Any]) -> Row:
    number, starts_on, due_on, regular, accrues_from, *amounts, peso_days, until, interest, fees, moratory = kept
    opening, principal, earned, settled = map(Decimal, amounts)
    return Row(
        period=Period(
            number, date.fromisoformat(starts_on), date.fromisoformat(due_on), regular, date.fromisoformat(accrues_from)
        ),
        opening=opening,
        principal=principal,
        earned=earned,
        principal_settled=settled,
        peso_days=Decimal(peso_days),
        moratory_until=date.fromisoformat(until) if until else None,
        interest=_read_charge(interest),
        fees=_read_charge(fees),
        moratory=_read_charge(moratory),
    )


def _charge(charge: Charge) -> list[str] | None:
    """Nothing for no charge: most installments are never late."""
    if charge == NO_CHARGE:
        return None
    return [str(charge.net), str(charge.vat), str(charge.net_settled), str(charge.vat_settled)]


def _read_charge(kept: Sequence[str] | None) -> Charge:
    return NO_CHARGE if kept is None else Charge(*map(Decimal, kept))


def _parts(split: Split) -> tuple[Decimal, ...]:
    return split.principal, split.interest, split.vat, split.fees, split.moratory
