"""Who tried the doors that lead nowhere."""

from backend_api.backoffice.pages import (
    Declared,
    DetailPage,
    ListPage,
    Section,
)
from backend_api.backoffice.show import Column, Kind

COUNTS = (
    Column("Visitas", "touches", Kind.NUMBER),
    Column("Intentos de entrar", "attempts", Kind.NUMBER),
    Column("Última", "last_at", Kind.MOMENT),
)
LIST = ListPage(
    path="/senuelos",
    title="Señuelos",
    operation="listDecoys",
    columns=(Column("Dirección", "address"), *COUNTS),
    leads_to="/senuelos/{id}",
    sort="-last_at",
    empty="Nadie ha tocado un señuelo.",
)
DETAIL = DetailPage(
    path="/senuelos/{decoy_id}",
    title=lambda decoy: str(decoy["address"]),
    operation="getDecoy",
    facts=(*COUNTS, Column("Primera", "first_at", Kind.MOMENT)),
    sections=(
        Section(
            "Intentos de entrar",
            (
                Column("Cuándo", "at", Kind.MOMENT),
                Column("Página", "path"),
                Column("Usuario", "username"),
                Column("Navegador", "user_agent", minor=True),
            ),
            rows=lambda decoy: decoy["attempts_kept"],
            empty="No intentó entrar.",
        ),
    ),
)
PAGES: tuple[Declared, ...] = (LIST, DETAIL)
