"""docs/loan-engine.md says what the code does: every figure and table on it is worked out again."""

import re

import pytest

from tests.support.documents import ROOT, block, blocks
from tests.support.loan_engine_page import BLOCKS, MARKER, PAGE, written

TEXT = (ROOT / PAGE).read_text("utf-8")
REMEDY = "run `python -m tests.support.loan_engine_page`, and read whether the words around it still hold"


@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_is_what_the_code_works_out(name: str) -> None:
    assert block(PAGE, MARKER + name) == BLOCKS[name](), REMEDY


def test_no_block_stands_there_that_nobody_works_out() -> None:
    assert [marker for marker, _, _ in blocks(PAGE)] == [MARKER + name for name in BLOCKS]


def test_no_figure_stands_between_the_blocks_that_is_in_none() -> None:
    known = "".join(work_out() for work_out in BLOCKS.values())
    prose = re.sub(r"```.*?```", "", TEXT, flags=re.DOTALL)
    amounts = re.findall(r"\b[0-9]+\.[0-9]{2}\b", prose)
    assert [amount for amount in amounts if amount not in known] == []


def test_a_wrong_figure_on_the_page_would_be_seen_and_mended() -> None:
    wrong = TEXT.replace("36174.00", "36174.01")
    assert wrong != TEXT
    assert written(wrong) == TEXT
