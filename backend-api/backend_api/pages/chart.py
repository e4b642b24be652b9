"""The picture of a loan's balance over time: what was owed up to today, and what will be if every installment is paid
when it falls due. Reckoned here, drawn by `chart.html` as SVG; the table below it says the same in figures."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_CEILING, Decimal
from math import ceil

from backend_api.clients.statement.spanish import MONTHS, amount, long_date
from backend_api.domain.money import ZERO
from backend_api.loans.views import Course

WIDTH, HEIGHT = 400.0, 210.0
LEFT, RIGHT, TOP, BOTTOM = 52.0, 388.0, 14.0, 186.0
"""The box of the lines; the names of amounts stand to its left, those of days below it."""
ROUND = tuple(Decimal(step) for step in ("1", "2", "2.5", "5", "10"))
MOST_LINES = 4
ROOM = 46.0
"""What the name of a day takes: two that stand closer would run into each other."""


@dataclass(frozen=True, slots=True)
class Text:
    """Something written in the picture; `anchor` is what of it stands at `x`."""

    x: float
    y: float
    anchor: str
    text: str


@dataclass(frozen=True, slots=True)
class Picture:
    """What is drawn: lines of the grid by their height, texts, paths, and the point of today with its amount."""

    description: str
    grid: tuple[float, ...]
    texts: tuple[Text, ...]
    area: str
    past: str
    coming: str
    now: tuple[float, float]
    told: Text


def picture(course: Course) -> Picture:
    """The picture of a loan's balance."""
    scale = _Scale.of(course)
    today, balance = course.past[-1]
    x, y = scale.x(today), scale.y(balance)
    past = _steps(scale, course.past)
    told = f"Hoy debe {amount(balance)} de capital"
    if balance:
        told = f"{told}; si paga cada pago en su fecha, el {long_date(course.coming[-1][0])} no deberá nada"
    values = [scale.step * number for number in range(scale.lines + 1)]
    # A balance falls: to the right of today and above there is room, unless the picture ends there.
    left = x > RIGHT - 1.5 * ROOM
    return Picture(
        description=f"{told}.",
        grid=tuple(scale.y(value) for value in values),
        texts=(
            *(Text(LEFT - 6, scale.y(value) + 3.5, "end", short(value)) for value in values),
            *_days(scale, today),
        ),
        area=f"{past}L{x:.1f} {BOTTOM:.1f}L{scale.x(course.past[0][0]):.1f} {BOTTOM:.1f}Z",
        past=past,
        coming=_steps(scale, course.coming),
        now=(x, y),
        told=Text(x - 8 if left else x + 8, max(y - 8, 10.0), "end" if left else "start", amount(balance)),
    )


@dataclass(frozen=True, slots=True)
class _Scale:
    first: date
    last: date
    step: Decimal
    lines: int

    @classmethod
    def of(cls, course: Course) -> "_Scale":
        points = course.past + course.coming
        highest = max(*(balance for _, balance in points), Decimal(1))
        unit = Decimal(10) ** (highest / MOST_LINES).adjusted()
        step = next(number * unit for number in ROUND if number * unit * MOST_LINES >= highest)
        return cls(points[0][0], points[-1][0], step, ceil(highest / step))

    def x(self, day: date) -> float:
        return LEFT + (RIGHT - LEFT) * (day - self.first).days / max((self.last - self.first).days, 1)

    def y(self, balance: Decimal) -> float:
        return BOTTOM - (BOTTOM - TOP) * float(balance / (self.step * self.lines))


def _days(scale: _Scale, today: date) -> list[Text]:
    y = HEIGHT - 7
    named = [Text(LEFT, y, "start", _month(scale.first)), Text(RIGHT, y, "end", _month(scale.last))]
    x = scale.x(today)
    if LEFT + 1.5 * ROOM < x < RIGHT - 1.5 * ROOM:
        named.insert(1, Text(x, y, "middle", "Hoy"))
    return named


def _steps(scale: _Scale, points: Sequence[tuple[date, Decimal]]) -> str:
    """The balance stays as it is until the day on which it changes."""
    first, *rest = [(scale.x(day), scale.y(balance)) for day, balance in points]
    return f"M{first[0]:.1f} {first[1]:.1f}" + "".join(f"H{x:.1f}V{y:.1f}" for x, y in rest)


def _month(day: date) -> str:
    return f"{MONTHS[day.month - 1][:3]} {day.year}"


def short(value: Decimal) -> str:
    """An amount beside a line of the grid: `$50 mil`, `$2.5 M`."""
    for size, name in ((Decimal(1_000_000), " M"), (Decimal(1_000), " mil")):
        if value >= size:
            return f"${(value / size).quantize(Decimal('0.01'), ROUND_CEILING).normalize():f}{name}"
    return f"${value.normalize():f}" if value > ZERO else "$0"
