"""What the pages of the back office are: lists, details and forms, each declared once and shown by one template.

All of them look alike because none of them says how it looks. Each names the operation of the API that it shows or
carries out; who may make that call may see the page.
"""

import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation
from enum import Enum, auto
from hashlib import sha256
from itertools import takewhile
from typing import Annotated, Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import orjson
from fastapi import Depends, Request
from starlette.responses import Response

from backend_api.auth.principal import Principal
from backend_api.backoffice.api import Answer, Api, Refused, SentTwice
from backend_api.backoffice.names import Names, names_of
from backend_api.backoffice.show import Cell, Column, Kind, Row, Writer
from backend_api.domain.errors import DomainError
from backend_api.http.problems import NotFound
from backend_api.http.resources import resources_of
from backend_api.pages import door
from backend_api.pages.render import page, see_other
from backend_api.pages.space import space_of

Staff = Annotated[Principal, Depends(door.page_for(None))]
"""Somebody of the house who is signed in; what they may is asked for each operation."""
Parts = Mapping[str, str]
"""The ids in the path of a page, by the names that they have in the API."""

ONCE = "una_vez"
"""The hidden field of a form that makes it act once: the Idempotency-Key of what it sends."""
STEP = "paso"
LOOK = "ver"
"""The step that shows what would happen, and does nothing."""
SEEN = "visto"
"""The hidden field that says what was shown: nothing else is carried out."""
SHOWN_AGAIN = frozenset({409, 412, 413, 422})
"""Refusals that the form itself tells, with what was typed still in it."""
ROWS = 25
END_OF_DAY = "T23:59:59-06:00"
"""The last second of a day in Mexico City, which has had no summer time since 2022."""


@dataclass(frozen=True)
class Link:
    """A page that is not declared here, to which a list leads when its user may go there."""

    path: str
    title: str
    operation: str


class Entry(Enum):
    """How a field is filled in."""

    TEXT = auto()
    LONG = auto()
    MONEY = auto()
    NUMBER = auto()
    PERCENT = auto()
    DATE = auto()
    LAST_DAY = auto()
    CHOICE = auto()
    MANY = auto()
    SHARES = auto()
    """An amount for each loan among the options, or none."""


@dataclass(frozen=True)
class Field:
    """A field of a form, by the name it has in the call; a point in it leads into an object (`terms.late_fee`)."""

    name: str
    label: str
    entry: Entry = Entry.TEXT
    options: Mapping[str, str] = field(default_factory=dict)
    hint: str | None = None
    required: bool = False
    value: str = ""
    """What stands in it at first."""

    def read(self, form: Mapping[str, str]) -> Any:
        """What is sent for it; None when it was left empty. What cannot be read is sent as it is, to be refused."""
        if self.entry is Entry.MANY:
            return [option for option in self.options if f"{self.name}.{option}" in form] or None
        if self.entry is Entry.SHARES:
            shares = {loan: _pesos(text) for loan, text in self.typed(form).items() if text}
            return [{"loan_id": loan, "amount": share} for loan, share in shares.items()] or None
        text = form.get(self.name, "").strip()
        if not text:
            return None
        match self.entry:
            case Entry.NUMBER:
                return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else text
            case Entry.PERCENT:
                return _fraction(text)
            case Entry.MONEY:
                return _pesos(text)
            case Entry.LAST_DAY:
                return f"{text}{END_OF_DAY}"
            case _:
                return text

    def typed(self, form: Mapping[str, str]) -> dict[str, str]:
        """What was filled in for each option, where one has an entry of its own."""
        begin = f"{self.name}."
        return {name.removeprefix(begin): text.strip() for name, text in form.items() if name.startswith(begin)}


@dataclass(frozen=True)
class About:
    """What a form is about: facts above it, and what stands in its fields at first."""

    facts: Sequence[tuple[str, str]] = ()
    values: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Choices that are known only now, by field."""
    version: str | None = None
    """Of what is changed, so that nobody overwrites what somebody else did meanwhile."""


Tell = Callable[[Api, Parts], Awaitable[About]]
Start = Callable[[Api, Parts], Awaitable[Mapping[str, Any]]]
Preview = Callable[[Api, Parts, Mapping[str, Any]], Awaitable[Mapping[str, Any]]]


async def _nothing(_: Api, __: Parts) -> About:
    return About()


@dataclass(frozen=True)
class FormPage:
    """A form that carries out one operation, once."""

    path: str
    title: str
    operation: str
    button: str
    leads_to: str
    """Where to go afterwards; the parts of the page's path and what the API answered may stand in it."""
    notice: str
    fields: tuple[Field, ...] = ()
    note: str | None = None
    """What the one who presses the button should know."""
    about: Tell = _nothing
    fixed: Mapping[str, Any] = field(default_factory=dict)
    """What is sent whatever was filled in."""
    start: Start | None = None
    """What is sent of the thing as it is, where it is replaced whole."""
    carried: tuple[str, ...] = ()
    """Parts of the path that are sent in the body."""
    offered: Callable[[Row], bool] = lambda _: True
    """Whether the page of a thing offers it for the thing as it is."""
    empties: bool = False
    """Whether a field that was left empty is emptied, and not left as it was."""
    bodiless: bool = False
    secret: bool = False
    """The answer is shown once and stored nowhere."""
    danger: bool = False
    preview: Preview | None = None

    async def show(self, request: Request, principal: Staff) -> Response:
        """The form."""
        api = Api(request, principal)
        api.check(self.operation)
        return await self._page(api, _parts(request))

    async def send(self, request: Request, principal: Staff) -> Response:
        """Carry it out, or say in the form why not."""
        api, parts = Api(request, principal), _parts(request)
        api.check(self.operation)
        form = await door.fields_of(request)
        try:
            body = None if self.bodiless else await self._body(api, parts, form)
            digest = sha256(orjson.dumps(body)).hexdigest()
            if self.preview and (form.get(STEP) == LOOK or form.get(SEEN) != digest):
                seen = {**await self.preview(api, parts, body or {}), SEEN: digest}
                return await self._page(api, parts, form, preview=seen)
            answer = await self._carry_out(api, parts, form, body)
        except (Refused, SentTwice) as refusal:
            if refusal.status not in SHOWN_AGAIN:
                raise
            return await self._page(api, parts, form, refusal=refusal)
        return self._done(request, parts, answer)

    async def _carry_out(
        self, api: Api, parts: Parts, form: Mapping[str, str], body: Mapping[str, Any] | None
    ) -> Answer:
        once = form.get(ONCE) or secrets.token_urlsafe()
        if self.secret:
            await api.spend(once)
        return await api.call(
            self.operation, parts, body=body, once=None if self.secret else once, version=form.get("version")
        )

    async def _body(self, api: Api, parts: Parts, form: Mapping[str, str]) -> dict[str, Any]:
        body: dict[str, Any] = {**self.fixed, **{name: parts[name] for name in self.carried}}
        body |= await self.start(api, parts) if self.start else {}
        for one in self.fields:
            value = one.read(form)
            if value is not None or self.empties:
                _put(body, one.name.split("."), value)
        return body

    def _done(self, request: Request, parts: Parts, answer: Answer) -> Response:
        base, data = space_of(request).base, answer.data or {}
        if self.secret:
            shown = data.get("key") or data["one_time_secret"]
            about = {**data, **parts}
            back = base + self.leads_to.format_map(about)
            invitation = None if "key" in data else f"{resources_of(request).settings.public_url}{base}/invitacion"
            return page(
                request, "secret.html", form=self, shown=shown, back=back, invitation=invitation,
                problem=None, name=data.get("name") or data.get("username"),
            )  # fmt: skip
        if answer.status == 202 and "/approvals/" in answer.headers.get("location", ""):
            return see_other(f"{base}/autorizaciones/{data['id']}", aviso="solicitado")
        return see_other(base + self.leads_to.format_map({**data, **parts}), aviso=self.notice)

    async def _page(
        self,
        api: Api,
        parts: Parts,
        form: Mapping[str, str] | None = None,
        *,
        refusal: DomainError | None = None,
        preview: Mapping[str, Any] | None = None,
    ) -> Response:
        about, words = await self.about(api, parts), space_of(api.request).words
        wrong = {_field(error.pointer): words.of_code(error.code) for error in getattr(refusal, "errors", [])}
        inputs = []
        for one in self.fields:
            typed = about.values.get(one.name, one.value) if form is None else form.get(one.name, "")
            options = about.options.get(one.name, one.options)
            inputs.append(Input(one, typed, one.typed(form or {}), options, wrong.get(one.name)))
        # The version that was seen stays: whoever was told that something changed looks at it anew, by a link.
        version = about.version if form is None else form.get("version")
        return page(
            api.request,
            "form.html",
            refusal.status if refusal else 200,
            form=self,
            inputs=inputs,
            facts=about.facts,
            version=version,
            once=secrets.token_urlsafe(18),
            preview=preview,
            back=space_of(api.request).base + _above(self.path).format_map(parts),
            problem=words.of_refusal(refusal) if refusal else None,
        )


@dataclass(frozen=True, slots=True)
class Input:
    """A field as the page shows it."""

    field: Field
    value: str
    chosen: Mapping[str, str]
    """What was filled in for which option, where one has an entry of its own."""
    options: Mapping[str, str]
    wrong: str | None


@dataclass(frozen=True)
class Table:
    """Rows as a page shows them; `paths` are where each of them leads."""

    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    paths: Sequence[str | None]
    empty: str
    more: str | None = None
    """Where the rest of them is."""
    compact: bool = False
    """It stays a table on phones: a row of it is of no use by itself."""


@dataclass(frozen=True)
class Section:
    """A table on the page of a thing: rows that an operation lists, or that the thing itself holds."""

    title: str
    columns: tuple[Column, ...]
    operation: str | None = None
    query: Mapping[str, str] = field(default_factory=dict)
    """Of the call; ids may stand in it: `{loan_id}`."""
    rows: Callable[[Any], Sequence[Row]] = lambda data: data["data"]
    leads_to: str | None = None
    more: str | None = None
    empty: str = "Nada todavía."
    compact: bool = False

    async def read(self, api: Api, parts: Parts, row: Row) -> "tuple[Section, Sequence[Row], bool] | None":
        """Its rows, and whether there are more; None if its user may not see it. `parts` are the ids in the path and
        those that the thing itself holds."""
        if self.operation is None:
            return self, self.rows(row), False
        if not api.may(self.operation):
            return None
        query = {name: value.format_map(parts) for name, value in self.query.items()}
        data = (await api.call(self.operation, parts, query=query)).data
        return self, self.rows(data), bool(data.get("has_more"))


@dataclass(frozen=True)
class DetailPage:
    """The page of one thing: what it is, what belongs to it, and what may be done with it."""

    path: str
    title: Callable[[Row], str]
    operation: str
    facts: tuple[Column, ...]
    state: Column | None = None
    sections: tuple[Section, ...] = ()
    actions: tuple[FormPage, ...] = ()
    files: "tuple[FilePage, ...]" = ()
    lists: "tuple[ListPage, ...]" = ()
    live: Callable[[Row], bool] = lambda _: False
    """Whether it is going on, so that the page looks again by itself."""
    remark: Callable[[Api, Row], str | None] = lambda _, __: None
    """What has to be known before anything is done."""

    async def show(self, request: Request, principal: Staff) -> Response:
        """The page."""
        api, parts = Api(request, principal), _parts(request)
        api.check(self.operation)
        row = (await _found(api, self.operation, parts)).data
        known = {**{name: value for name, value in row.items() if isinstance(value, str)}, **parts}
        read = [await section.read(api, known, row) for section in self.sections]
        found = [section for section in read if section is not None]
        cells = [*self.facts, *([self.state] if self.state else [])]
        writer = await _writer(api, [(cells, [row]), *((section.columns, rows) for section, rows, _ in found)])
        base = space_of(request).base
        tables = [_section(writer, base, section, rows, known, more=more) for section, rows, more in found]
        actions = [
            (base + action.path.format_map(parts), action)
            for action in self.actions
            if api.may(action.operation) and action.offered(row)
        ]
        files = [(base + file.path.format_map(parts), file.title) for file in self.files if file.ready(api, row)]
        lists = [(base + one.path.format_map(parts), one.title) for one in self.lists if api.may(one.operation)]
        return page(
            request,
            "detail.html",
            detail=self,
            title=self.title(row),
            state=writer.cell(self.state, row) if self.state else None,
            facts=[(fact, writer.cell(fact, row)) for fact in self.facts],
            tables_shown=tables,
            actions=actions,
            files=files + lists,
            live=self.live(row),
            remark=self.remark(api, row),
            back=base + _above(self.path).format_map(parts),
            problem=None,
        )


@dataclass(frozen=True)
class Remark:
    """What has to be known of a list, and its look: `good`, `warn`, `bad` or none."""

    tone: str
    text: str


Search = Callable[[Api, str], Awaitable[str | Mapping[str, str]]]
"""What was looked for: the path of the one page that shows it, or the filters that list it."""


@dataclass(frozen=True)
class ListPage:
    """A list: read page by page, filtered, searched, and taken away as a file."""

    path: str
    title: str
    operation: str
    columns: tuple[Column, ...]
    leads_to: str | None
    """The page of a row; what the row holds may stand in it."""
    filters: tuple[Field, ...] = ()
    looked_for: str | None = None
    """What the field for searching takes."""
    search: Search | None = None
    sort: str | None = "-created_at"
    query: Mapping[str, str] = field(default_factory=dict)
    files: "tuple[FilePage, ...]" = ()
    new: tuple[Link | FormPage, ...] = ()
    empty: str = "No hay nada que mostrar."
    remark: Callable[[Any], Remark | None] = lambda _: None

    async def show(self, request: Request, principal: Staff) -> Response:
        """One page of it."""
        api, asked, base = Api(request, principal), request.query_params, space_of(request).base
        api.check(self.operation)
        parts = _parts(request)
        chosen = {one.name: asked.get(one.name, one.value) for one in self.filters}
        text = asked.get("buscar", "").strip()[:200]
        found = await self.search(api, text) if self.search and text else {}
        if isinstance(found, str):
            return see_other(base + found)
        filters = {**self.query, **{name: value for name, value in chosen.items() if value}, **found}
        query = {**filters, "sort": self.sort, "limit": ROWS, "cursor": asked.get("cursor")}
        data = (await api.call(self.operation, parts, query=query)).data
        writer = await _writer(api, [(self.columns, data["data"])])
        table = _table(writer, base, self.title, self.columns, data["data"], self.leads_to, self.empty, None)
        here = f"{base}{self.path.format_map(parts)}?{urlencode({'buscar': text, **chosen})}"
        taken = urlencode({name: value for name, value in filters.items() if value})
        return page(
            request,
            "list.html",
            listed=self,
            table=table,
            text=text,
            inputs=[Input(one, chosen[one.name], {}, one.options, None) for one in self.filters],
            following=f"{here}&{urlencode({'cursor': data['next_cursor']})}" if data["has_more"] else None,
            beginning=here if asked.get("cursor") else None,
            files=[(f"{base}{file.path}?{taken}", file.title) for file in self.files if api.may(file.operation)],
            new=[(base + one.path, one.title) for one in self.new if api.may(one.operation)],
            remark=self.remark(data),
            back=base + _above(self.path).format_map(parts) if parts else None,
            problem=None,
        )


@dataclass(frozen=True)
class FilePage:
    """A file that the API makes, as it comes."""

    path: str
    title: str
    operation: str
    query: Mapping[str, str]
    offered: Callable[[Row], bool] = lambda _: True

    def ready(self, api: Api, row: Row) -> bool:
        """Whether there is such a file of this thing, for the one who asks."""
        return api.may(self.operation) and self.offered(row)

    async def show(self, request: Request, principal: Staff) -> Response:
        """The file, with the filters of the list it was asked for on."""
        query = {**request.query_params, **self.query}
        return Api(request, principal).passed(self.operation, _parts(request), query)


Declared = ListPage | DetailPage | FormPage | FilePage
"""A page that is declared."""


async def _found(api: Api, operation: str, parts: Parts) -> Answer:
    """What a page is about. What cannot be the name of anything is not there either. Raises `NotFound`."""
    try:
        return await api.call(operation, parts)
    except Refused as refusal:
        if refusal.status == 422:
            raise NotFound from refusal
        raise


async def _writer(api: Api, shown: Sequence[tuple[Sequence[Column], Sequence[Row]]]) -> Writer:
    """What writes these values, with the names of all that they name by ids."""
    wanted: dict[Kind, set[str]] = {Kind.CLIENT: set(), Kind.LOAN: set(), Kind.USER: set()}
    for columns, rows in shown:
        for column in columns:
            if column.kind in wanted:
                wanted[column.kind] |= {column.value(row) for row in rows} - {None}
    names: Names = await names_of(api.request, api.principal, wanted[Kind.CLIENT], wanted[Kind.LOAN], wanted[Kind.USER])
    return Writer(names, ZoneInfo(resources_of(api.request).settings.business_time_zone))


def _section(writer: Writer, base: str, section: Section, rows: Sequence[Row], parts: Parts, *, more: bool) -> Table:
    """A section as the page of a thing shows it; it leads to the rest of its rows when there are more."""
    rest = base + section.more.format_map(parts) if more and section.more else None
    table = _table(writer, base, section.title, section.columns, rows, section.leads_to, section.empty, rest)
    return replace(table, compact=section.compact)


def _table(
    writer: Writer,
    base: str,
    title: str,
    columns: Sequence[Column],
    rows: Sequence[Row],
    leads_to: str | None,
    empty: str,
    more: str | None,
) -> Table:
    cells = [[writer.cell(column, row) for column in columns] for row in rows]
    paths = [base + leads_to.format_map(row) if leads_to else None for row in rows]
    return Table(title, columns, cells, paths, empty, more)


def _parts(request: Request) -> dict[str, str]:
    """The ids in the path; a client's is also the `key` of the record."""
    parts = {name: str(value) for name, value in request.path_params.items()}
    return {**parts, "key": parts["client_id"]} if "client_id" in parts else parts


def _above(path: str) -> str:
    """The page to which this one belongs."""
    return path.rpartition("/")[0]


def _put(body: dict[str, Any], names: Sequence[str], value: Any) -> None:
    """Set a value inside of objects, which are made where there are none."""
    *outer, last = names
    for name in outer:
        body[name] = dict(body.get(name) or {})
        body = body[name]
    body[last] = value


def _field(pointer: str) -> str:
    """The name of the field that a pointer of the API leads to; what is wrong inside of a list is told at the list."""
    names = pointer.strip("/").split("/")
    return ".".join(takewhile(lambda name: not name.isdecimal(), names))


def _pesos(text: str) -> str:
    """An amount as people write it, with the sign and with thousands apart."""
    return text.replace(",", "").removeprefix("$")


def _fraction(text: str) -> str:
    """A percentage as a fraction; what is none stays as it is."""
    try:
        fraction = Decimal(text.removesuffix("%").strip()) / 100
    except InvalidOperation:
        return text
    return f"{fraction.normalize():f}" if fraction.is_finite() and abs(fraction) < 100 else text


def as_percent(fraction: str | None) -> str:
    """A fraction as it stands in a field for a percentage."""
    return f"{(Decimal(fraction) * 100).normalize():f}" if fraction else ""
