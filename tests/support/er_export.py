"""`make er`: docs/er-diagram.svg, all tables with all columns, drawn by Graphviz from the models.

The picture bears the digest of what it was drawn from, so that whoever has no Graphviz can still tell whether it is of
these models.
"""

import hashlib
import re
import subprocess
import sys
from html import escape

from backend_api.models import metadata
from sqlalchemy import Column, MetaData, Table
from sqlalchemy.dialects import postgresql

from tests.support.documents import ROOT

FILE = ROOT / "docs" / "er-diagram.svg"
DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped
TABLES_IN_A_ROW = 5
TITLE = "The tables of SOFIPO"
DESCRIPTION = (
    "Every table with all its columns, primary keys (PK) and foreign keys (FK), and a line for each foreign key."
)
STYLE = """\
<style>
  .page { fill: #ffffff }
  .node polygon { fill: #f6f8fa; stroke: #6e7781 }
  .node text { fill: #1f2328 }
  .edge path { stroke: #0969da }
  .edge polygon, .edge polyline { fill: #0969da; stroke: #0969da }
  @media (prefers-color-scheme: dark) {
    .page { fill: #0d1117 }
    .node polygon { fill: #1c2128; stroke: #8b949e }
    .node text { fill: #f0f6fc }
    .edge path { stroke: #58a6ff }
    .edge polygon, .edge polyline { fill: #58a6ff; stroke: #58a6ff }
  }
</style>
"""


def graph(models: MetaData) -> str:
    """The models in Graphviz's language; the same for the same models."""
    tables = [models.tables[name] for name in sorted(models.tables)]
    lines = [
        "digraph tables {",
        'graph [rankdir=LR, nodesep=0.25, ranksep=0.8, bgcolor="transparent", fontname="Helvetica"]',
        'node [shape=plain, fontname="Helvetica", fontsize=11]',
        "edge [dir=both, arrowhead=crow, arrowtail=none, arrowsize=0.7]",
        *map(_node, tables),
        *(edge for table in tables for edge in _edges(table)),
        *_rows_of_the_unconnected(tables),
        "}",
    ]
    return "\n".join(lines) + "\n"


def digest(models: MetaData) -> str:
    """What the picture of these models bears."""
    return hashlib.sha256((graph(models) + STYLE).encode()).hexdigest()


def drawn(models: MetaData) -> str:
    """The picture. Raises FileNotFoundError without Graphviz."""
    made = subprocess.run(["dot", "-Tsvg"], input=graph(models), capture_output=True, check=True, text=True).stdout
    head, _, body = made[made.index("<svg") :].partition(">")
    size = re.search(r'viewBox="[^"]*"', head)
    assert size is not None
    left, top, width, height = re.findall(r"[-0-9.]+", size.group())
    # Graphviz writes its version and the sizes in points; comments and tooltips say nothing that is not to be seen.
    body = re.sub(r"<!--.*?-->\n?|<title>[^<]*</title>\n?", "", body, flags=re.DOTALL)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size.group()} role="img" aria-labelledby="title description" '
        f'data-models="{digest(models)}">\n<title id="title">{TITLE}</title>\n'
        f'<desc id="description">{DESCRIPTION}</desc>\n{STYLE}'
        f'<rect class="page" x="{left}" y="{top}" width="{width}" height="{height}"/>{body}'
    )


def _node(table: Table) -> str:
    rows = "".join(_row(column) for column in table.columns)
    return (
        f'{table.name} [label=<<table border="0" cellborder="1" cellspacing="0" cellpadding="3">'
        f'<tr><td colspan="3"><b>{table.name}</b></td></tr>{rows}</table>>]'
    )


def _row(column: "Column[object]") -> str:
    marks = [mark for mark, holds in (("PK", column.primary_key), ("FK", bool(column.foreign_keys))) if holds]
    kind = str(column.type.compile(dialect=DIALECT)).lower().replace("timestamp with time zone", "timestamptz")
    null = "?" if column.nullable else ""
    return (
        f'<tr><td port="{column.name}">{" ".join(marks) or " "}</td><td align="left">{column.name}</td>'
        f'<td align="left" port="{column.name}_">{escape(kind)}{null}</td></tr>'
    )


def _edges(table: Table) -> list[str]:
    keys = sorted(table.foreign_keys, key=lambda key: key.parent.name)
    return [f"{key.column.table.name}:{key.column.name}_:e -> {table.name}:{key.parent.name}:w" for key in keys]


def _rows_of_the_unconnected(tables: list[Table]) -> list[str]:
    """Lines that nobody sees, so that tables without foreign keys do not stand in one long column."""
    connected = {key.column.table.name for table in tables for key in table.foreign_keys}
    alone = [table.name for table in tables if table.name not in connected and not table.foreign_keys]
    rows = [alone[start : start + TABLES_IN_A_ROW] for start in range(0, len(alone), TABLES_IN_A_ROW)]
    return [f"{' -> '.join(row)} [style=invis]" for row in rows if len(row) > 1]


if __name__ == "__main__":
    try:
        FILE.write_text(drawn(metadata), "utf-8")
    except FileNotFoundError:
        sys.exit("docs/er-diagram.svg stays as it is: Graphviz draws it (`apt-get install graphviz`)")
