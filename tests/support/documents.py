"""The project's documents as material for tests: their code blocks, the commands in them, their tables."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_BLOCK = re.compile(
    r"(?:<!-- (?P<marker>.*?) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE
)


def blocks(document: str) -> Iterator[tuple[str, str, str]]:
    """Marker (the comment in the line above, or nothing), language and text of every code block."""
    for found in _BLOCK.finditer((ROOT / document).read_text("utf-8")):
        yield found["marker"] or "", found["language"], found["text"]


def block(document: str, marker: str) -> str:
    """The one block under this comment. Fails when there is none, or more than one."""
    [text] = [text for its_marker, _, text in blocks(document) if its_marker == marker]
    return text


def table(document: str, heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, row by row, without its head."""
    _, _, below = f"\n{(ROOT / document).read_text('utf-8')}".partition(f"\n{heading}\n")
    assert below, f"{document} has no heading {heading!r}"
    lines = below[below.index("\n|") + 1 :].splitlines()
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append([cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
    return rows[2:]
