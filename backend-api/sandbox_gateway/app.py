"""The pay page: shows a signed order, takes the borrower's choice, tells the API, and sends the borrower back."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from sandbox_gateway.book import Book, Entry, Outcome
from sandbox_gateway.notices import Messenger
from sandbox_gateway.orders import MAX_PAYLOAD, Order, OrderRefused, read_order
from sandbox_gateway.settings import Settings

MAX_FORM_BYTES = 2 * MAX_PAYLOAD
FIRST_TRY_SECONDS = 5.0
"""How long the borrower waits for the API to be told; then they are sent back all the same."""
LATE_SECONDS = 3.0
LISTED = 50
NOTHING_ELSE = "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; style-src 'self'; img-src data:"
ACTIONS = {
    "pay": "Pagar",
    "refuse": "Rechazar el pago",
    "pay_twice": "Pagar y avisar dos veces",
    "pay_late": f"Pagar y avisar {LATE_SECONDS:.0f} segundos después",
    "disorder": "Rechazar, luego pagar, y avisar en desorden",
}


class Gateway:
    """The pages over one book."""

    def __init__(self, settings: Settings, clock: Callable[[], float]) -> None:
        self._secret = settings.gateway_secret.get_secret_value().encode()
        self._clock = clock
        self._book = Book()
        self._messenger = Messenger(settings.notices_url, self._secret, clock)
        self._pages = Environment(
            loader=PackageLoader("sandbox_gateway"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
        )
        self._pages.filters["pesos"] = _pesos
        self._style = self._pages.get_template("style.css").render()

    @asynccontextmanager
    async def lifespan(self, _: Starlette) -> AsyncIterator[None]:
        """Carry notices for as long as the process serves."""
        try:
            yield
        finally:
            await self._messenger.close()

    async def show(self, request: Request) -> Response:
        """The order, with what the borrower can do about it."""
        entry = self._entry(request.query_params)
        given = {name: request.query_params[name] for name in ("order", "signature")}
        return self._page("pay.html", entry.order, entry=entry, given=given, actions=ACTIONS)

    async def decide(self, request: Request) -> Response:
        """Do what the borrower chose, and send them back. An order that is paid stays as it is."""
        form = await _form(request)
        entry = self._entry(form)
        if not entry.payment:
            await self._do(form.get("action", ""), entry)
        return RedirectResponse(entry.order.return_url, 303, {"Cache-Control": "no-store"})

    async def refuse(self, _: Request, refusal: Exception) -> Response:
        """Why nothing can be paid."""
        assert isinstance(refusal, OrderRefused)  # noqa: S101 - registered for this type only
        return self._page("refused.html", refusal.order, status=400, sentence=str(refusal))

    async def overview(self, _: Request) -> Response:
        """The last orders, and what became of them."""
        return self._page("overview.html", None, entries=self._book.newest(LISTED))

    async def style(self, _: Request) -> Response:
        """How the pages look."""
        return Response(self._style, media_type="text/css", headers={"X-Content-Type-Options": "nosniff"})

    async def _do(self, action: str, entry: Entry) -> None:
        """Record the tries and begin to tell of them; waits for the first answer where the borrower would."""
        match action:
            case "refuse":
                await self._told(self._messenger.send(entry, entry.add(Outcome.REFUSED)))
            case "pay_twice":
                payment = entry.add(Outcome.PAID)
                await self._told(self._messenger.send(entry, payment), self._messenger.send(entry, payment))
            case "pay_late":
                self._messenger.send(entry, entry.add(Outcome.PAID), after_seconds=LATE_SECONDS)
            case "disorder":
                refused, paid = entry.add(Outcome.REFUSED), entry.add(Outcome.PAID)
                await self._told(self._messenger.send(entry, paid))
                await self._told(self._messenger.send(entry, refused))
            case "pay":
                await self._told(self._messenger.send(entry, entry.add(Outcome.PAID)))
            case _:
                raise OrderRefused("No se reconoce lo que se eligió.", entry.order)

    async def _told(self, *tried: asyncio.Event) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_TRY_SECONDS):
                for event in tried:
                    await event.wait()

    def _entry(self, fields: Mapping[str, str]) -> Entry:
        """What is known of a signed order. Raises `OrderRefused`, also when its time is over and it was not paid."""
        order = read_order(fields.get("order", ""), fields.get("signature", ""), self._secret)
        entry = self._book.entry(order)
        if not entry.payment and order.expires_at <= self._clock():
            raise OrderRefused("El tiempo para pagar esta orden terminó.", order)
        return entry

    def _page(self, template: str, order: Order | None, *, status: int = 200, **shown: Any) -> Response:
        # Browsers hold the way back to `form-action` too: the answer to the form is a redirect.
        targets = f"'self' {order.origin}" if order else "'none'"
        headers = {
            "Content-Security-Policy": f"{NOTHING_ELSE}; form-action {targets}",
            "Cache-Control": "no-store",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        }
        return HTMLResponse(self._pages.get_template(template).render(order=order, **shown), status, headers)


def create_app(settings: Settings, clock: Callable[[], float]) -> Starlette:
    """The application; `clock` tells the seconds since 1970."""
    gateway = Gateway(settings, clock)
    return Starlette(
        routes=[
            Route("/", gateway.overview),
            Route("/pay", gateway.show),
            Route("/pay", gateway.decide, methods=["POST"]),
            Route("/style.css", gateway.style),
            Route("/livez", _livez),
        ],
        exception_handlers={OrderRefused: gateway.refuse},
        lifespan=gateway.lifespan,
    )


async def _livez(_: Request) -> Response:
    return JSONResponse({"status": "alive"})


async def _form(request: Request) -> dict[str, str]:
    """The fields of a form, each once. Raises `OrderRefused` for one that is larger than an order can be."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_FORM_BYTES:
            raise OrderRefused("La orden no se puede leer.")
    try:
        fields = parse_qs(body.decode("ascii"), max_num_fields=10)
    except ValueError as error:
        raise OrderRefused("La orden no se puede leer.") from error
    return {name: values[0] for name, values in fields.items()}


def _pesos(amount: Decimal) -> str:
    return f"${amount:,.2f}"
