"""The pictures in the documents: the tables as they are, twice, and a flow that everybody can read."""

import re
from xml.etree import ElementTree as ET

from backend_api.models import metadata
from sqlalchemy import Column, MetaData, Text

from tests.support import er_export
from tests.support.documents import ROOT, blocks

SVG = "{http://www.w3.org/2000/svg}"
DIAGRAMS = "".join(text for _, language, text in blocks("docs/er-diagram.md") if language == "mermaid")
FLOW = (ROOT / "docs" / "flow.svg").read_text("utf-8")


def test_the_diagram_shows_every_table_with_its_keys() -> None:
    shown = dict(re.findall(r"^    (\w+) {\n(.*?)^    }", DIAGRAMS, re.DOTALL | re.MULTILINE))
    assert shown.keys() == metadata.tables.keys()
    for name, body in shown.items():
        table = metadata.tables[name]
        columns = dict(re.findall(r"^ +\w+ (\w+) ?([PFK, ]*)", body, re.MULTILINE))
        assert set(columns) <= set(table.columns.keys()), name
        assert _marked(columns, "PK") == {column.name for column in table.primary_key}, name
        assert _marked(columns, "FK") == {key.parent.name for key in table.foreign_keys}, name


def test_the_diagram_shows_every_foreign_key() -> None:
    drawn = re.findall(r"^    (\w+) \S+--\S+ (\w+) : (\w+)$", DIAGRAMS, re.MULTILINE)
    keys = [key for table in metadata.tables.values() for key in table.foreign_keys]
    assert set(drawn) == {(key.column.table.name, key.parent.table.name, key.parent.name) for key in keys}


def test_the_drawing_of_all_tables_is_of_these_models() -> None:
    """`make er` draws it anew; no Graphviz is needed to see whether that was forgotten."""
    picture = ET.fromstring(er_export.FILE.read_text("utf-8"))  # noqa: S314 - our own file
    assert picture.get("data-models") == er_export.digest(metadata)
    told = {"".join(text.itertext()) for text in picture.iter(f"{SVG}text")}
    assert {name for table in metadata.tables.values() for name in (table.name, *table.columns.keys())} <= told

    other = MetaData()
    for table in metadata.tables.values():
        table.to_metadata(other)
    assert er_export.digest(other) == er_export.digest(metadata)
    other.tables["loans"].append_column(Column("colour", Text))
    assert er_export.digest(other) != er_export.digest(metadata)


def test_the_flow_names_every_station_can_be_read_aloud_and_fits_dark_pages() -> None:
    picture = ET.fromstring(FLOW)  # noqa: S314 - our own file
    assert [len(picture.findtext(f"{SVG}{name}") or "") > 20 for name in ("title", "desc")] == [True, True]
    told = " ".join("".join(text.itertext()) for text in picture.iter(f"{SVG}text"))
    stations = "backend-api", "primary", "replica", "Redis", "outbox", "relay", "RabbitMQ", "event-consumer", "CouchDB"
    assert [station for station in stations if station not in told] == []
    assert "prefers-color-scheme: dark" in FLOW


def test_the_flow_needs_nothing_from_elsewhere() -> None:
    assert set(re.findall(r"https?://[^\"']+", FLOW)) == {"http://www.w3.org/2000/svg"}


def _marked(columns: dict[str, str], mark: str) -> set[str]:
    return {name for name, marks in columns.items() if mark in marks}
