"""The statement on paper: letter size, set with ReportLab.

Text is only ever measured and drawn, never parsed: ReportLab's paragraph markup, which can name files and addresses, is
not used. The same content gives the same bytes.
"""

import functools
from collections.abc import Callable, Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

from reportlab.lib.colors import HexColor, white
from reportlab.lib.pagesizes import letter
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import BaseDocTemplate, CondPageBreak, Flowable, Frame, LongTable, PageTemplate, Spacer
from reportlab.platypus import Table as Grid

from backend_api.clients.statement.content import Column, Content, Facts, Figures, Kind, Part, Table, Text, content
from backend_api.clients.statement.document import StatementDocument

FONTS = Path(__file__).parent / "assets" / "fonts"
PLAIN, BOLD = "NotoSans", "NotoSans-Bold"
INK, MUTED, ACCENT, TINT, RULE = map(HexColor, ("#1b2430", "#55606e", "#0b4f55", "#eaf2f2", "#c9d3d6"))
ALERT, ALERT_TINT = HexColor("#8a1c1c"), HexColor("#fbeceb")
SIDE, TOP, BOTTOM = 14 * mm, 14 * mm, 16 * mm
WIDTH = letter[0] - 2 * SIDE
BODY, LEADING = 8.2, 11.2
SMALLEST, READABLE, LARGEST = 4.0, 7.0, 7.6
PADDING = 2.6
LONGEST_WORD, LONGEST_LINE = 14, 36


def pdf(document: StatementDocument | Content) -> bytes:
    """The statement as a PDF file; or another document that is made of the same blocks."""
    _register_fonts()
    whole = document if isinstance(document, Content) else content(document)
    file = BytesIO()
    paper = BaseDocTemplate(
        file,
        pagesize=letter,
        leftMargin=SIDE,
        rightMargin=SIDE,
        topMargin=TOP,
        bottomMargin=BOTTOM,
        title=whole.subject,
        author=whole.sender[0],
        lang="es-MX",
        invariant=1,
    )
    frame = Frame(SIDE, BOTTOM, WIDTH, letter[1] - TOP - BOTTOM, 0, 0, 0, 0)
    paper.addPageTemplates(PageTemplate(frames=[frame]))
    paper.build(list(_story(whole)), canvasmaker=functools.partial(_Numbered, footer=whole.footer))
    return file.getvalue()


@functools.cache
def _register_fonts() -> None:
    for name, file in ((PLAIN, "NotoSans-Regular.ttf"), (BOLD, "NotoSans-Bold.ttf")):
        pdfmetrics.registerFont(TTFont(name, FONTS / file))


class _Numbered(Canvas):
    """Writes `Página 1 de 3` on every page once it is known how many there are."""

    def __init__(self, *arguments: Any, footer: str, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._footer = footer
        self._pages: list[dict[str, Any]] = []

    def showPage(self) -> None:  # noqa: N802 - ReportLab's name
        """Keep the page for later."""
        self._pages.append(dict(self.__dict__))
        self._startPage()  # type: ignore[attr-defined]  # left out of the type stubs

    def save(self) -> None:
        """Finish the kept pages."""
        for number, page in enumerate(self._pages, 1):
            self.__dict__.update(page)
            self._foot(f"Página {number} de {len(self._pages)}")
            super().showPage()
        super().save()

    def _foot(self, page: str) -> None:
        self.setStrokeColor(RULE)
        self.setLineWidth(0.5)
        self.line(SIDE, BOTTOM - 5 * mm, SIDE + WIDTH, BOTTOM - 5 * mm)
        self.setFillColor(MUTED)
        self.setFont(PLAIN, 7)
        left = wrap(self._footer, PLAIN, 7, WIDTH - 80)[0]
        self.drawString(SIDE, BOTTOM - 9 * mm, left)
        self.drawRightString(SIDE + WIDTH, BOTTOM - 9 * mm, page)


def wrap(text: str, font: str, size: float, width: float) -> list[str]:
    """The lines of a text; words longer than a line are broken. At least one line."""
    measure = functools.partial(pdfmetrics.stringWidth, fontName=font, fontSize=size)
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if measure(longer) <= width:
            lines[-1] = longer
            continue
        if lines[-1]:
            lines.append("")
        for character in word:
            if lines[-1] and measure(lines[-1] + character) > width:
                lines.append("")
            lines[-1] += character
    return lines


def _story(whole: Content) -> Iterable[Flowable]:
    yield _head(whole)
    for part in whole.parts:
        yield Spacer(0, 5 * mm)
        yield from _part(part)


def _head(whole: Content) -> Flowable:
    """Who writes to whom, and about what."""
    left = WIDTH * 0.52
    right = WIDTH - left
    name = "\n".join(wrap(whole.sender[0], BOLD, 13, left - 12))
    address = "\n".join(wrap(whole.sender[1], PLAIN, 7.4, left - 12))
    recipient = "\n".join(line for text in whole.recipient[:1] for line in wrap(text, BOLD, 9.4, left - 12))
    lives = "\n".join(line for text in whole.recipient[1:] for line in wrap(text, PLAIN, BODY, left - 12))
    about = [(label, "\n".join(wrap(value, PLAIN, BODY, right - 84))) for label, value in whole.about]
    facts = Grid(about, colWidths=[78, right - 78], style=[*_BARE, *_facts_style()])
    sender = Grid([[name], [address]], colWidths=[left], style=[*_BARE, *_sender_style()])
    person = Grid([[recipient], [lives]], colWidths=[left], style=[*_BARE, *_person_style()])
    title: list[tuple[Any, ...]] = [("FONT", (0, 0), (-1, -1), BOLD, 17, 20), ("TEXTCOLOR", (0, 0), (-1, -1), ACCENT)]
    heading = Grid([[whole.title]], colWidths=[right], style=[*_BARE, *title])
    return Grid(
        [[sender, heading], [person, facts]],
        colWidths=[left, right],
        style=[
            *_BARE,
            ("LINEBELOW", (0, 0), (-1, 0), 1.6, ACCENT),
            ("BOTTOMPADDING", (0, 0), (-1, 0), 7),
            ("TOPPADDING", (0, 1), (-1, 1), 9),
        ],
    )


_BARE: list[tuple[Any, ...]] = [
    ("LEFTPADDING", (0, 0), (-1, -1), 0),
    ("RIGHTPADDING", (0, 0), (-1, -1), 0),
    ("TOPPADDING", (0, 0), (-1, -1), 0),
    ("BOTTOMPADDING", (0, 0), (-1, -1), 0),
    ("VALIGN", (0, 0), (-1, -1), "TOP"),
    ("TEXTCOLOR", (0, 0), (-1, -1), INK),
]


def _sender_style() -> list[tuple[Any, ...]]:
    return [
        ("FONT", (0, 0), (-1, 0), BOLD, 13, 16),
        ("FONT", (0, 1), (-1, 1), PLAIN, 7.4, 10),
        ("TEXTCOLOR", (0, 1), (-1, 1), MUTED),
        ("TOPPADDING", (0, 1), (-1, 1), 2),
    ]


def _person_style() -> list[tuple[Any, ...]]:
    return [
        ("FONT", (0, 0), (-1, 0), BOLD, 9.4, 13),
        ("FONT", (0, 1), (-1, 1), PLAIN, BODY, LEADING),
    ]


def _facts_style() -> list[tuple[Any, ...]]:
    return [
        ("FONT", (0, 0), (0, -1), PLAIN, BODY, LEADING),
        ("FONT", (1, 0), (1, -1), PLAIN, BODY, LEADING),
        ("TEXTCOLOR", (0, 0), (0, -1), MUTED),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 2),
        ("TOPPADDING", (0, 0), (-1, -1), 0.5),
    ]


def _part(part: Part) -> Iterable[Flowable]:
    yield CondPageBreak(45 * mm)
    yield _Heading(part.title, part.anchor)
    for index, block in enumerate(part.blocks):
        yield Spacer(0, (3.5 if index else 2.5) * mm)
        if isinstance(block, Figures):
            yield _figures(block)
        elif isinstance(block, Facts):
            yield from _titled(block.title, _facts(block), room=22 * mm)
        elif isinstance(block, Table):
            yield from _table(block)
        elif block.alert:
            yield _alert(block)
        else:
            yield from (_Paragraph(text, BODY, LEADING) for text in block.paragraphs)


class _Heading(Flowable):
    """The title of a part, on a band of colour; a bookmark leads to it."""

    def __init__(self, title: str, anchor: str) -> None:
        super().__init__()
        self._title, self._anchor = title, anchor
        self._lines = wrap(title, BOLD, 10.5, WIDTH - 14)

    def wrap(self, _width: float, _height: float) -> tuple[float, float]:
        """Width and height it takes."""
        return WIDTH, 14 * len(self._lines) + 6

    def draw(self) -> None:
        """Draw it at the origin."""
        _, height = self.wrap(0, 0)
        canvas = self.canv
        canvas.bookmarkPage(self._anchor)
        canvas.addOutlineEntry(self._title, self._anchor, 0)
        canvas.setFillColor(ACCENT)
        canvas.rect(0, 0, WIDTH, height, stroke=0, fill=1)
        canvas.setFillColor(white)
        canvas.setFont(BOLD, 10.5)
        for index, line in enumerate(self._lines):
            canvas.drawString(7, height - 13.5 - 14 * index, line)


class _Paragraph(Flowable):
    """A few lines of text."""

    def __init__(self, text: str, size: float, leading: float) -> None:
        super().__init__()
        self._size, self._leading = size, leading
        self._lines = wrap(text, PLAIN, size, WIDTH)

    def wrap(self, _width: float, _height: float) -> tuple[float, float]:
        """Width and height it takes."""
        return WIDTH, self._leading * len(self._lines) + 2.5

    def draw(self) -> None:
        """Draw it at the origin."""
        self.canv.setFillColor(INK)
        self.canv.setFont(PLAIN, self._size)
        _, height = self.wrap(0, 0)
        for index, line in enumerate(self._lines):
            self.canv.drawString(0, height - self._size - self._leading * index, line)


def _titled(title: str, *body: Flowable, room: float) -> Iterable[Flowable]:
    """A block under its title, which does not stay behind on the page before."""
    yield CondPageBreak(room)
    yield Grid([["\n".join(wrap(title, BOLD, 8.8, WIDTH))]], colWidths=[WIDTH], style=[*_BARE, *_TITLE])
    yield Spacer(0, 1.2 * mm)
    yield from body


_TITLE: list[tuple[Any, ...]] = [
    ("FONT", (0, 0), (-1, -1), BOLD, 8.8, 11),
    ("TEXTCOLOR", (0, 0), (-1, -1), ACCENT),
]


def _figures(block: Figures) -> Flowable:
    gap = 6.0
    each = (WIDTH - gap * (len(block.figures) - 1)) / len(block.figures)
    widths = [each if not index % 2 else gap for index in range(2 * len(block.figures) - 1)]
    kinds: tuple[Callable[[int], str], ...] = (
        lambda index: "\n".join(wrap(block.figures[index].label, PLAIN, 7.2, each - 14)),
        lambda index: "\n".join(wrap(block.figures[index].value, BOLD, 13.5, each - 14)),
        lambda index: "\n".join(wrap(block.figures[index].remark, PLAIN, 6.6, each - 14)),
    )
    rows = [["" if index % 2 else kind(index // 2) for index in range(len(widths))] for kind in kinds]
    style = [
        *_BARE,
        ("FONT", (0, 0), (-1, 0), PLAIN, 7.2, 9.4),
        ("FONT", (0, 1), (-1, 1), BOLD, 13.5, 17),
        ("FONT", (0, 2), (-1, 2), PLAIN, 6.6, 8.6),
        ("TEXTCOLOR", (0, 0), (-1, 0), MUTED),
        ("TEXTCOLOR", (0, 1), (-1, 1), ACCENT),
        ("TOPPADDING", (0, 0), (-1, 0), 5),
        ("BOTTOMPADDING", (0, 2), (-1, 2), 6),
        ("LEFTPADDING", (0, 0), (-1, -1), 7),
    ]
    style += [("BACKGROUND", (index, 0), (index, 2), TINT) for index in range(0, len(widths), 2)]
    return Grid(rows, colWidths=widths, style=style)


def _facts(block: Facts) -> Flowable:
    """Two pairs of label and value in a row."""
    half = WIDTH / 2
    label, value = 104.0, half - 112
    if len(block.facts) <= 3:
        label, value = 104.0, WIDTH - 112
        rows = [[name, "\n".join(wrap(text, PLAIN, BODY, value))] for name, text in block.facts]
        widths = [label + 8, WIDTH - label - 8]
    else:
        pairs = [
            ("\n".join(wrap(name, PLAIN, 7.4, label)), "\n".join(wrap(text, PLAIN, BODY, value)))
            for name, text in block.facts
        ]
        pairs += [("", "")] * (len(pairs) % 2)
        middle = len(pairs) // 2
        rows = [[*pairs[index], *pairs[index + middle]] for index in range(middle)]
        widths = [label + 4, half - label - 4] * 2
    style = [
        *_BARE,
        ("FONT", (0, 0), (-1, -1), PLAIN, BODY, LEADING),
        ("TOPPADDING", (0, 0), (-1, -1), 1.2),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 2),
        ("LINEBELOW", (0, 0), (-1, -1), 0.3, RULE),
    ]
    for column in range(0, len(widths), 2):
        style += [
            ("FONT", (column, 0), (column, -1), PLAIN, 7.4, 9.6),
            ("TEXTCOLOR", (column, 0), (column, -1), MUTED),
        ]
    return Grid(rows, colWidths=widths, style=style)


def _alert(block: Text) -> Flowable:
    lines = [line for text in block.paragraphs for line in wrap(text, BOLD, BODY, WIDTH - 20)]
    style = [
        *_BARE,
        ("FONT", (0, 0), (-1, -1), BOLD, BODY, LEADING),
        ("TEXTCOLOR", (0, 0), (-1, -1), ALERT),
        ("BACKGROUND", (0, 0), (-1, -1), ALERT_TINT),
        ("LINEBEFORE", (0, 0), (0, -1), 2.5, ALERT),
        ("LEFTPADDING", (0, 0), (-1, -1), 10),
        ("TOPPADDING", (0, 0), (-1, -1), 4),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 5),
    ]
    return Grid([["\n".join(lines)]], colWidths=[WIDTH], style=style)


def _table(block: Table) -> Iterable[Flowable]:
    remark = [_Paragraph(block.remark, 7, 9.4)] if block.remark else []
    grid = [_grid(block)] if block.rows else []
    yield from _titled(block.title, *remark, *grid, room=28 * mm)


def _grid(block: Table) -> Flowable:
    size, widths = fitting(block)
    leading = size * 1.28
    inner = [width - 2 * PADDING for width in widths]
    head = ["\n".join(wrap(column.heading, BOLD, size, inner[at])) for at, column in enumerate(block.columns)]
    rows = []
    for index, row in enumerate(block.rows):
        font = BOLD if index in block.strong else PLAIN
        rows.append(
            [
                "\n".join(wrap(row[at], font, size, inner[at])) if column.kind is Kind.TEXT else row[at]
                for at, column in enumerate(block.columns)
            ]
        )
    style = [
        *_BARE,
        ("FONT", (0, 0), (-1, -1), PLAIN, size, leading),
        ("FONT", (0, 0), (-1, 0), BOLD, size, leading),
        ("BACKGROUND", (0, 0), (-1, 0), TINT),
        ("TEXTCOLOR", (0, 0), (-1, 0), ACCENT),
        ("VALIGN", (0, 0), (-1, 0), "BOTTOM"),
        ("LEFTPADDING", (0, 0), (-1, -1), PADDING),
        ("RIGHTPADDING", (0, 0), (-1, -1), PADDING),
        ("TOPPADDING", (0, 0), (-1, -1), 2),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 3),
        ("LINEBELOW", (0, 0), (-1, 0), 0.8, ACCENT),
        ("LINEBELOW", (0, 1), (-1, -1), 0.3, RULE),
    ]
    style += [
        ("ALIGN", (at, 0), (at, -1), "RIGHT") for at, column in enumerate(block.columns) if column.kind is Kind.AMOUNT
    ]
    for index in sorted(block.strong):
        style += [
            ("FONT", (0, index + 1), (-1, index + 1), BOLD, size, leading),
            ("BACKGROUND", (0, index + 1), (-1, index + 1), TINT),
        ]
    return LongTable([head, *rows], colWidths=widths, repeatRows=1, style=style)


def fitting(block: Table) -> tuple[float, list[float]]:
    """A size of type at which no amount is cut, and the widths of the columns.

    Smaller type is taken to keep the longest text on one line, but not below what reads well; below that only for
    amounts, and `SMALLEST` holds the largest there are. What is left over goes to all columns alike.
    """
    size = LARGEST
    while True:
        least = [_least(block, at, column, size) for at, column in enumerate(block.columns)]
        wanted = [_wanted(block, at, column, size) for at, column in enumerate(block.columns)]
        if sum(wanted) <= WIDTH:
            widths = wanted
            break
        if size <= READABLE and sum(least) <= WIDTH:
            missing = (WIDTH - sum(least)) / (sum(wanted) - sum(least))
            widths = [low + (high - low) * missing for low, high in zip(least, wanted, strict=True)]
            break
        if size <= SMALLEST:
            raise ValueError("a row of these amounts is wider than the paper")
        size = round(size - 0.2, 1)
    spare = (WIDTH - sum(widths)) / len(widths)
    return size, [width + spare for width in widths]


def _least(block: Table, at: int, column: Column, size: float) -> float:
    """The narrowest a column may be: amounts and dates whole, texts by their longest word, LONGEST_WORD at most."""
    if column.kind is not Kind.TEXT:
        return _wanted(block, at, column, size)
    words = {word[:LONGEST_WORD] for row in block.rows for word in row[at].split()} | set(column.heading.split())
    return _width(words, size)


def _wanted(block: Table, at: int, column: Column, size: float) -> float:
    """The width that breaks nothing but headings; a text of more than LONGEST_LINE may be broken."""
    return _width({row[at][:LONGEST_LINE] for row in block.rows} | set(column.heading.split()), size)


def _width(texts: Iterable[str], size: float) -> float:
    widest = max((pdfmetrics.stringWidth(text, BOLD, size) for text in texts), default=0.0)
    return float(widest) + 2 * PADDING + 0.1
