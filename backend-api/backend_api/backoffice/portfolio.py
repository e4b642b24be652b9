"""The loans that are owed, by how late they are: what is behind the figures of the first page."""

from backend_api.backoffice.pages import Entry, Field, ListPage
from backend_api.backoffice.show import Column, Kind
from backend_api.pages.words import LOANS

BUCKETS = {"0-30": "0 a 30 días", "31-89": "31 a 89 días", "90+": "90 días o más"}
STAGES = {"1": "Etapa 1", "2": "Etapa 2", "3": "Etapa 3"}

LIST = ListPage(
    path="/cartera",
    title="Cartera",
    operation="listAgedLoans",
    columns=(
        Column("Folio", "folio"),
        Column("Cliente", "client_id", Kind.CLIENT),
        Column("Producto", "product", minor=True),
        Column("Saldo de capital", "current_balance", Kind.MONEY),
        Column("Pago más antiguo", "next_due_on", Kind.DATE, minor=True),
        Column("Días de atraso", "days_past_due", Kind.NUMBER),
        Column("Etapa", "stage", Kind.NUMBER, minor=True),
        Column("Situación", "status", Kind.STATE, LOANS),
    ),
    leads_to="/creditos/{id}",
    filters=(
        Field("bucket", "Atraso", Entry.CHOICE, BUCKETS),
        Field("stage", "Etapa", Entry.CHOICE, STAGES),
        Field("days_from", "Días de atraso, desde"),
        Field("days_to", "Días de atraso, hasta"),
        Field("next_due_on", "Vence el"),
    ),
    sort="folio",
    empty="No hay créditos así.",
)

PAGES = (LIST,)
