"""How values of the API are written on a page: what kind they are, and what they look like."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum, auto
from typing import Any
from zoneinfo import ZoneInfo

from backend_api.backoffice.names import Names
from backend_api.backoffice.words import TONES
from backend_api.clients.statement import spanish

NOTHING = "–"
NO_BREAK = "\u00a0"
"""A space at which no line ends."""

Row = Mapping[str, Any]
"""Something the API answered."""


class Kind(Enum):
    """What a value is."""

    TEXT = auto()
    MONEY = auto()
    NUMBER = auto()
    PERCENT = auto()
    DATE = auto()
    MOMENT = auto()
    STATE = auto()
    CLIENT = auto()
    LOAN = auto()
    USER = auto()


FIGURES = frozenset({Kind.MONEY, Kind.NUMBER, Kind.PERCENT})


WRITTEN: Mapping[Kind, Callable[[Any], str]] = {
    Kind.MONEY: lambda value: spanish.amount(Decimal(value)),
    Kind.PERCENT: lambda value: spanish.percent(Decimal(value)),
    Kind.NUMBER: lambda value: f"{value:,}",
    Kind.DATE: lambda value: spanish.short_date(date.fromisoformat(value)).replace(" ", NO_BREAK),
}
"""How values are written that need nothing but themselves."""


@dataclass(frozen=True)
class Column:
    """A value with its heading: read from the row by name or by a function; `words` is what its values are called."""

    title: str
    read: str | Callable[[Row], Any]
    kind: Kind = Kind.TEXT
    words: Mapping[str, str] | None = None
    minor: bool = False
    """Left out on phones, where there is room for what matters."""

    def value(self, row: Row) -> Any:
        """What the row holds of it."""
        return row.get(self.read) if isinstance(self.read, str) else self.read(row)

    @property
    def is_figure(self) -> bool:
        """Whether it stands to the right."""
        return self.kind in FIGURES


@dataclass(frozen=True, slots=True)
class Cell:
    """A value as it is shown: `tone` for a state, `path` for what leads to a page of its own."""

    text: str
    tone: str | None = None
    path: str | None = None


@dataclass(frozen=True)
class Writer:
    """Writes values as people of this office read them."""

    names: Names
    zone: ZoneInfo

    def cell(self, column: Column, row: Row) -> Cell:
        """What stands in the column for this row."""
        value = column.value(row)
        if value is None or value == "":
            return Cell(NOTHING)
        match column.kind:
            case Kind.STATE:
                return Cell(_called(column, value), tone=tone(value))
            case Kind.CLIENT:
                return Cell(self.names.clients.get(value, NOTHING), path=f"/clientes/{value}")
            case Kind.LOAN:
                return Cell(self.names.folios.get(value, NOTHING), path=f"/creditos/{value}")
            case Kind.USER:
                return Cell(self.names.users.get(value, NOTHING))
            case Kind.MOMENT:
                return Cell(self.moment(datetime.fromisoformat(value)))
        return Cell(WRITTEN[column.kind](value) if column.kind in WRITTEN else spanish.plain(_called(column, value)))

    def moment(self, at: datetime) -> str:
        """A point in time, by the clock of the house."""
        local = at.astimezone(self.zone)
        return f"{spanish.short_date(local.date())}, {local:%H:%M}"


def tone(state: str) -> str:
    """The look of a state."""
    return next((name for name, states in TONES.items() if state in states), "")


def duration(seconds: float | None) -> str:
    """How long, as people say it."""
    if seconds is None:
        return NOTHING
    if seconds < 120:
        return spanish.count(round(seconds), "segundo", "segundos")
    return spanish.count(round(seconds / 60), "minuto", "minutos")


def _called(column: Column, value: Any) -> str:
    return (column.words or {}).get(value, str(value))
