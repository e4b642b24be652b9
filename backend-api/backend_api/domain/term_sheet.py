"""The terms of a loan as plain values, as they are stored: complete, so that no later default changes an old loan.

Keys are the fields of `Terms` without `disbursed_on`, which a loan gets when its money is handed over; a product's
sheet is without `amount` and `first_due_on` too, and may leave `interest_rate` and `installments` null. Decimals and
dates are text in plain digits, enumerations stand by their value. A sheet is read with every payment, so this is a
table and no schema.
"""

from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from backend_api.domain.dates import MIN_DATE
from backend_api.domain.daycount import DayCount
from backend_api.domain.money import CENT, ZERO
from backend_api.domain.rounding import Rounding
from backend_api.domain.terms import (
    Amortization,
    Bucket,
    BusinessDays,
    ExcessPolicy,
    FeeCollection,
    Frequency,
    FrequencyUnit,
    InterestMethod,
    InterestPeriod,
    MonthEnd,
    OpeningFee,
    Portfolio,
    Terms,
    VatBase,
    VatMode,
)


def sheet(terms: Terms) -> dict[str, Any]:
    """The terms as str, int, None, list and dict only; `terms_of` gives equal terms back."""
    return {name: write(getattr(terms, name)) for name, (write, _) in _FIELDS.items()}


def terms_of(sheet: Mapping[str, Any], disbursed_on: date) -> Terms:
    """The terms that `sheet` wrote, not checked again. Raises ValueError for a missing or an unknown key."""
    _require(sheet, _FIELDS)
    return Terms(disbursed_on=disbursed_on, **{name: read(sheet[name]) for name, (_, read) in _FIELDS.items()})


def product_sheet(values: Mapping[str, Any]) -> dict[str, Any]:
    """The sheet of a product: `values` by field of `Terms`, and what they do not name as it is by default."""
    fields = {"interest_rate": ZERO, "installments": 1, **values}
    whole = sheet(Terms(amount=CENT, disbursed_on=MIN_DATE, **fields)) | dict.fromkeys(OPTIONAL - values.keys())
    return {name: whole[name] for name in PRODUCT_FIELDS}


def product_values(sheet: Mapping[str, Any]) -> dict[str, Any]:
    """What a product's sheet says, by field of `Terms`, without what it leaves null of `interest_rate` and
    `installments`. Raises ValueError like `terms_of`."""
    _require(sheet, PRODUCT_FIELDS)
    said = {name: value for name, value in sheet.items() if value is not None or name not in OPTIONAL}
    return {name: _FIELDS[name][1](value) for name, value in said.items()}


def _require(values: Mapping[str, Any], keys: Mapping[str, Any]) -> None:
    if values.keys() != keys.keys():
        wrong = ", ".join(sorted(values.keys() ^ keys.keys()))
        raise ValueError(f"a sheet of terms has a missing or an unknown key: {wrong}")


def _same(value: Any) -> Any:
    return value


def _digits(number: Decimal) -> str:
    """Without an exponent: it is read by people and by other programs."""
    return f"{number:f}"


def _optional(convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else convert(value)


def _members(values: Any) -> list[str]:
    return [member.value for member in values]


def _value(member: Any) -> Any:
    return member.value


def _write_frequency(frequency: Frequency) -> dict[str, Any]:
    return {"every": frequency.every, "unit": frequency.unit.value}


def _read_frequency(values: Mapping[str, Any]) -> Frequency:
    _require(values, _FREQUENCY)
    return Frequency(values["every"], FrequencyUnit(values["unit"]))


def _write_fee(fee: OpeningFee) -> dict[str, Any]:
    return {"flat": _digits(fee.flat), "rate": _digits(fee.rate), "collection": fee.collection.value}


def _read_fee(values: Mapping[str, Any]) -> OpeningFee:
    _require(values, _FEE)
    return OpeningFee(Decimal(values["flat"]), Decimal(values["rate"]), FeeCollection(values["collection"]))


_FREQUENCY = _write_frequency(Frequency())
_FEE = _write_fee(OpeningFee())

_NUMBER = (_same, _same)
_DECIMAL = (_digits, Decimal)
_FIELDS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "amount": _DECIMAL,
    "interest_rate": _DECIMAL,
    "installments": _NUMBER,
    "first_due_on": (_optional(date.isoformat), _optional(date.fromisoformat)),
    "frequency": (_write_frequency, _read_frequency),
    "amortization": (_value, Amortization),
    "interest_method": (_value, InterestMethod),
    "interest_period": (_value, InterestPeriod),
    "day_count": (_value, DayCount),
    "grace_principal": _NUMBER,
    "grace_interest_payment": _NUMBER,
    "interest_free_periods": _NUMBER,
    "month_end": (_value, MonthEnd),
    "business_days": (_value, BusinessDays),
    "vat_rate": _DECIMAL,
    "vat_mode": (_value, VatMode),
    "vat_base": (_value, VatBase),
    "opening_fee": (_write_fee, _read_fee),
    "late_fee": _DECIMAL,
    "moratory_rate": (_optional(_digits), _optional(Decimal)),
    "waterfall": (_members, lambda values: tuple(map(Bucket, values))),
    "excess": (_value, ExcessPolicy),
    "early_days": _NUMBER,
    "rounding": (_value, Rounding),
    "installment_multiple": (_optional(_digits), _optional(Decimal)),
    "portfolio": (_value, Portfolio),
}
"""How each field is written and read."""

OPTIONAL = frozenset({"interest_rate", "installments"})
"""What a product may leave to each loan."""
PRODUCT_FIELDS = dict.fromkeys(name for name in _FIELDS if name not in {"amount", "first_due_on"})
"""The keys of a product's sheet, in order."""
