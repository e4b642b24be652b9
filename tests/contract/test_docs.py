"""What the documents name exists: files, headings, tests, commands, tables, and the packages of the card."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import stack
import typer
from backend_api.cli.commands import app

from tests.support.documents import table

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
CARD = [
    "python-jose", "passlib", "httpx", "couchdb", "fastapi", "uvicorn", "sqlalchemy[asyncio]", "asyncpg", "alembic",
    "redis", "aio-pika", "pydantic-settings", "pytest-asyncio",
]  # fmt: skip
DEVIATIONS = CARD[:4]
ROOTS = [ROOT, ROOT / "backend-api" / "backend_api", ROOT / "event-consumer" / "event_consumer", ROOT / "backend-api"]


def _links() -> Iterator[tuple[str, Path]]:
    for document in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#\s]+)\)", document.read_text("utf-8")):
            if "://" not in target:
                yield f"{document.relative_to(ROOT)} -> {target}", document.parent / target


def _files() -> Iterator[tuple[str, str]]:
    for document in DOCUMENTS:
        for name in re.findall(r"`([\w./-]+\.(?:py|sh|sql|toml|yml|yaml|json|md|svg))`", document.read_text("utf-8")):
            yield f"{document.relative_to(ROOT)}: {name}", name


def _headings() -> Iterator[tuple[str, Path, str]]:
    """Links to a heading: name, document, anchor."""
    for document in DOCUMENTS:
        for target, anchor in re.findall(r"\]\(([^)#\s]*)#([^)\s]+)\)", document.read_text("utf-8")):
            if "://" not in target:
                path = document.parent / target if target else document
                yield f"{document.relative_to(ROOT)} -> {target}#{anchor}", path, anchor


def _commands() -> Iterator[str]:
    """Commands of ours that a document names in backticks or in a block."""
    for document in DOCUMENTS:
        yield from re.findall(r"(?:`|stack\.py )(sofipo(?: [a-z][a-z_-]+)+)", document.read_text("utf-8"))


def _verbs() -> set[str]:
    return {verb for document in DOCUMENTS for verb in re.findall(r"stack\.py ([a-z]+)", document.read_text("utf-8"))}


def _targets() -> set[str]:
    texts = [document.read_text("utf-8") for document in DOCUMENTS]
    return {target for text in texts for target in re.findall(r"`make ([a-z-]+)|^make ([a-z-]+)", text, re.MULTILINE)}


def _tests() -> Iterator[tuple[str, str]]:
    for document in DOCUMENTS:
        yield from re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", document.read_text("utf-8"))


@pytest.mark.parametrize(("name", "target"), [pytest.param(*link, id=link[0]) for link in _links()])
def test_a_link_leads_somewhere(name: str, target: Path) -> None:
    assert target.exists(), name


@pytest.mark.parametrize(("name", "file"), [pytest.param(*file, id=file[0]) for file in _files()])
def test_a_file_that_is_named_exists(name: str, file: str) -> None:
    assert any((root / file).exists() for root in ROOTS) or list(ROOT.glob(f"*/*/*/{file}")), name


@pytest.mark.parametrize(("file", "test"), [pytest.param(*named, id="::".join(named)) for named in _tests()])
def test_a_test_that_is_named_exists(file: str, test: str) -> None:
    assert re.search(rf"^(async )?def {test}\(", (ROOT / file).read_text("utf-8"), re.MULTILINE)


@pytest.mark.parametrize(("name", "path", "anchor"), [pytest.param(*link, id=link[0]) for link in _headings()])
def test_a_heading_that_is_linked_exists(name: str, path: Path, anchor: str) -> None:
    headings = re.findall(r"^#+ (.*)$", path.read_text("utf-8"), re.MULTILINE)
    assert anchor in {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}, name


@pytest.mark.parametrize("command", sorted(set(_commands())))
def test_a_command_of_sofipo_exists(command: str) -> None:
    found = typer.main.get_command(app)
    for name in command.split()[1:]:
        found = getattr(found, "commands", {})[name]


@pytest.mark.parametrize("verb", sorted(_verbs()))
def test_a_command_of_the_local_stack_exists(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        stack.main([verb, "--help"])
    assert ended.value.code == 0
    assert f"stack.py {verb}" in capsys.readouterr().out


@pytest.mark.parametrize("target", sorted("".join(found) for found in _targets()))
def test_a_target_of_make_exists(target: str) -> None:
    assert re.search(rf"^{target}:.* ## ", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)


def test_the_stack_table_begins_with_the_deviations_and_names_the_whole_card() -> None:
    rows = table("README.md", "## What it is built from")
    assert [card for card, _, _ in rows] == CARD
    for card, used, why in rows:
        assert why
        # A deviation is a link to its decision; anything else begins with the card's own name.
        assert used.startswith("[" if card in DEVIATIONS else card)
        assert card not in DEVIATIONS or "docs/decisions/" in used


def test_the_top_folders_are_those_of_the_map() -> None:
    named = set(re.findall(r"`([\w-]+)/`", " ".join(row[0] for row in table("README.md", "## Where things are"))))
    there = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")}
    assert named == there - {"build", "dist", "htmlcov", "node_modules"}
