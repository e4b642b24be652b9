"""The statement as a page: one file that needs no other, without scripts."""

import base64
import functools
import hashlib
from importlib.resources import files

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from backend_api.clients.statement.content import NONE, Facts, Figures, Table, content
from backend_api.clients.statement.document import StatementDocument

_ASSETS = files("backend_api.clients.statement") / "assets"
_STYLE = (_ASSETS / "page.css").read_text("utf-8")
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The header to send with the page: its own style sheet, and nothing else."""


def html(document: StatementDocument) -> str:
    """The statement as a page. Milliseconds, but 0.2 s for two thousand movements: call it in a thread."""
    return _template().render(content=content(document), style=Markup(_STYLE), none_sign=NONE)  # noqa: S704 - our own file


@functools.cache
def _template() -> Template:
    # Without a loader a template can name no other file.
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    environment.tests |= {
        "figures": lambda block: isinstance(block, Figures),
        "facts": lambda block: isinstance(block, Facts),
        "table": lambda block: isinstance(block, Table),
    }
    return environment.from_string((_ASSETS / "page.html").read_text("utf-8"))
