"""What the documents name exists: files, tests, and the packages of the card."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
ROOTS = [ROOT, ROOT / "backend-api" / "backend_api", ROOT / "event-consumer" / "event_consumer", ROOT / "backend-api"]


def _links() -> Iterator[tuple[str, Path]]:
    for document in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#\s]+)\)", document.read_text("utf-8")):
            if "://" not in target:
                yield f"{document.relative_to(ROOT)} -> {target}", document.parent / target


def _files() -> Iterator[tuple[str, str]]:
    for document in DOCUMENTS:
        for name in re.findall(r"`([\w./-]+\.(?:py|sh|sql|toml|yml))`", document.read_text("utf-8")):
            yield f"{document.relative_to(ROOT)}: {name}", name


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
