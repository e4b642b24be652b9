"""`make openapi`: docs/openapi.json as the code has it, unless that breaks a caller and no decision record says so.

The promise to callers is the file, sealed by `docs/openapi.json.sha256`: a document that somebody wrote by other means
than this is noticed, so that no break slips in with it. To break the promise on purpose, write a record in
`docs/decisions/` that holds the sentence of each break, then run this again.
"""

import hashlib
import json
import sys
from pathlib import Path

from backend_api.app import create_app
from backend_api.settings import Environment, Settings

from tests.support.openapi_changes import Json, breaking_changes

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = Path("docs/openapi.json")


class Refused(Exception):
    """The document cannot be exported; the message says why and what to do."""


def of_code() -> Json:
    """The document as the code makes it."""
    document: Json = json.loads(json.dumps(create_app(Settings(environment=Environment.DEVELOPMENT)).openapi()))
    return document


def text(document: Json) -> str:
    """The content of the file: sorted, so that it changes only where the contract does."""
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def seal(content: str) -> str:
    """The content of the seal, in the form of `sha256sum`."""
    return f"{hashlib.sha256(content.encode()).hexdigest()}  {DOCUMENT.name}\n"


def promised(root: Path = ROOT) -> Json:
    """The document that callers were given. Raises `Refused` when it is not the one that was exported last."""
    content = (root / DOCUMENT).read_text("utf-8")
    if (root / f"{DOCUMENT}.sha256").read_text("utf-8") != seal(content):
        raise Refused(f"{DOCUMENT} was not written by `make openapi`: get it and its .sha256 back as they were")
    document: Json = json.loads(content)
    return document


def undecided(breaks: list[str], root: Path = ROOT) -> list[str]:
    """The breaks that no decision record holds, each as a line of its own."""
    decided: set[str] = set()
    for record in (root / "docs" / "decisions").glob("[0-9]*.md"):
        decided |= {line.strip(" -`") for line in record.read_text("utf-8").splitlines()}
    return [change for change in breaks if change not in decided]


def export(document: Json, root: Path = ROOT) -> None:
    """Write the document and its seal. Raises `Refused` for breaks that were not decided."""
    open_breaks = undecided(breaking_changes(promised(root), document), root)
    if open_breaks:
        listed = "\n".join(f"    {change}" for change in open_breaks)
        raise Refused(f"this breaks callers; undo it, or hold these lines in a record in docs/decisions/:\n{listed}")
    content = text(document)
    (root / DOCUMENT).write_text(content, "utf-8")
    (root / f"{DOCUMENT}.sha256").write_text(seal(content), "utf-8")


if __name__ == "__main__":
    try:
        export(of_code())
    except Refused as refusal:
        sys.exit(f"docs/openapi.json stays as it is: {refusal}")
