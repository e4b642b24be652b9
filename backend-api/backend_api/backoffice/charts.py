"""The pictures of the first page, reckoned here and drawn by `charts.html` as SVG: lines over time, and bars by day.

All have the size of the picture of a loan's balance, so that they share its style sheet.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from math import ceil

from backend_api.clients.statement.spanish import MONTHS, amount, short_date
from backend_api.domain.money import ZERO
from backend_api.pages.chart import BOTTOM, HEIGHT, LEFT, RIGHT, ROUND, TOP, Text, short
from backend_api.portfolio.schemas import DayOut, FlowOut

MOST_LINES = 4
NAMED_DAYS = 4
BAR = 0.74
"""What of the room of a day its bar takes."""

Points = Sequence[tuple[date, Decimal]]


@dataclass(frozen=True, slots=True)
class Shape:
    """A path of the picture; `look` is its class in the style sheet."""

    look: str
    path: str


@dataclass(frozen=True, slots=True)
class Chart:
    """What is drawn, from the back to the front; `description` says it to who does not see it, and what is behind it
    stands at `path`."""

    name: str
    title: str
    description: str
    path: str
    grid: tuple[float, ...]
    shapes: tuple[Shape, ...]
    texts: tuple[Text, ...]


@dataclass(frozen=True, slots=True)
class Share:
    """One of several parts of a whole: `width` is what of the widest one it is, in percent."""

    title: str
    count: int
    amount: Decimal
    width: float
    look: str
    path: str


def portfolio(trend: Sequence[DayOut]) -> Chart:
    """The balance of the portfolio, and what of it is non-performing."""
    whole: Points = [(day.on, day.balance) for day in trend]
    lost: Points = [(day.on, day.non_performing) for day in trend]
    last = trend[-1]
    told = (
        f"Al {short_date(last.on)} la cartera es de {amount(last.balance)}; en etapa 3, {amount(last.non_performing)}"
    )
    scale = _Scale.of(whole)
    shapes = (
        Shape("area", scale.area(whole)), Shape("bad", scale.area(lost)), Shape("line", scale.line(whole)),
    )  # fmt: skip
    return _over_time("cartera", "Cartera en el tiempo", f"{told}.", "/cartera", scale, shapes, short)


def imor(trend: Sequence[DayOut]) -> Chart:
    """The non-performing part of the portfolio, in percent."""
    points: Points = [(day.on, Decimal(day.imor or 0)) for day in trend]
    scale = _Scale.of(points)
    highest = max(points, key=lambda point: point[1])
    told = f"Al {short_date(points[-1][0])} es de {points[-1][1]}%; lo más alto fue {highest[1]}%"
    return _over_time(
        "imor",
        "IMOR en el tiempo",
        f"{told}, el {short_date(highest[0])}.",
        "/cartera?stage=3",
        scale,
        (Shape("line alarming", scale.line(points)),),
        lambda value: f"{value.normalize():f}%",
    )


def flow(days: Sequence[FlowOut]) -> Chart:
    """What came in (up) and went out (down) on each day."""
    most_in, most_out = max(day.received for day in days), max(day.paid_out for day in days)
    step = _step(most_in + most_out)
    above, below = max(ceil(most_in / step), 1), ceil(most_out / step)
    zero = TOP + (BOTTOM - TOP) * above / (above + below)
    high = (zero - TOP) / float(step * above)
    room = (RIGHT - LEFT) / len(days)
    inside: list[str] = []
    outside: list[str] = []
    for number, day in enumerate(days):
        x = LEFT + room * (number + (1 - BAR) / 2)
        for bars, value, up in ((inside, day.received, -1), (outside, day.paid_out, 1)):
            if value:
                bars.append(f"M{x:.1f} {zero:.1f}v{up * float(value) * high:.1f}h{room * BAR:.1f}V{zero:.1f}Z")
    values = [step * number for number in range(-below, above + 1)]
    named = range(len(days) - 1, -1, -((len(days) - 1) // NAMED_DAYS))
    received, paid_out = (sum((getattr(day, name) for day in days), ZERO) for name in ("received", "paid_out"))
    return Chart(
        name="flujo",
        title="Entradas y salidas por día",
        description=f"En {len(days)} días entraron {amount(received)} y salieron {amount(paid_out)}.",
        path="/pagos",
        grid=tuple(zero - float(value) * high for value in values),
        shapes=(Shape("bar", "".join(inside)), Shape("bar out", "".join(outside))),
        texts=(
            *(Text(LEFT - 6, zero - float(value) * high + 3.5, "end", short(abs(value))) for value in values),
            *(Text(LEFT + room * (number + 0.5), HEIGHT - 7, "middle", _day(days[number].on)) for number in named),
        ),
    )


def widths(values: Sequence[Decimal]) -> list[float]:
    """What of the largest each of them is, in percent."""
    most = max(values) or Decimal(1)
    return [round(float(100 * value / most), 1) for value in values]


@dataclass(frozen=True, slots=True)
class _Scale:
    first: date
    last: date
    step: Decimal
    lines: int

    @classmethod
    def of(cls, points: Points) -> "_Scale":
        highest = max(value for _, value in points)
        step = _step(highest)
        return cls(points[0][0], points[-1][0], step, max(ceil(highest / step), 1))

    def x(self, day: date) -> float:
        return LEFT + (RIGHT - LEFT) * (day - self.first).days / max((self.last - self.first).days, 1)

    def y(self, value: Decimal) -> float:
        return BOTTOM - (BOTTOM - TOP) * float(value / (self.step * self.lines))

    def line(self, points: Points) -> str:
        return "M" + "L".join(f"{self.x(day):.1f} {self.y(value):.1f}" for day, value in points)

    def area(self, points: Points) -> str:
        return f"{self.line(points)}L{self.x(points[-1][0]):.1f} {BOTTOM:.1f}H{self.x(points[0][0]):.1f}Z"


def _over_time(
    name: str,
    title: str,
    description: str,
    path: str,
    scale: _Scale,
    shapes: tuple[Shape, ...],
    written: Callable[[Decimal], str],
) -> Chart:
    values = [scale.step * number for number in range(scale.lines + 1)]
    middle = scale.first + (scale.last - scale.first) / 2
    days = ((scale.first, LEFT, "start"), (middle, (LEFT + RIGHT) / 2, "middle"), (scale.last, RIGHT, "end"))
    return Chart(
        name=name,
        title=title,
        description=description,
        path=path,
        grid=tuple(scale.y(value) for value in values),
        shapes=shapes,
        texts=(
            *(Text(LEFT - 6, scale.y(value) + 3.5, "end", written(value)) for value in values),
            *(Text(x, HEIGHT - 7, anchor, _month(day)) for day, x, anchor in days),
        ),
    )


def _step(highest: Decimal) -> Decimal:
    """A round number of which a few reach the highest value."""
    highest = max(highest, Decimal(1))
    unit = Decimal(10) ** (highest / MOST_LINES).adjusted()
    return next(number * unit for number in ROUND if number * unit * MOST_LINES >= highest)


def _month(day: date) -> str:
    return f"{MONTHS[day.month - 1][:3]} {day.year}"


def _day(day: date) -> str:
    return f"{day.day} {MONTHS[day.month - 1][:3]}"
