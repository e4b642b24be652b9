"""How the figures are printed."""

from collections.abc import Iterator, Sequence

from bench.turns import Goal, Line, Table


def text(table: Table) -> str:
    """A table for people."""
    return "\n".join([table.title, *_lines(table.lines), *(f"  {note}" for note in table.notes), ""])


def goals(tables: Sequence[Table]) -> str:
    """What was to be reached, and what was."""
    return "\n".join(["Goals", *(_goal(goal) for table in tables for goal in table.goals)])


def _lines(lines: Sequence[Line]) -> Iterator[str]:
    if not lines:
        return
    groups = list(dict.fromkeys(group for line in lines for group in line.processor))
    yield (
        f"  {'':36}{'per s':>8}{'ratio':>7}{'p50 ms':>9}{'p99 ms':>9}{'CPU ratio':>11}"
        + "".join(f"{group + ' µs':>13}" for group in groups)
        + "  "
    ).rstrip()
    for line in lines:
        used = "".join(f"{line.processor[group]:13.0f}" if group in line.processor else f"{'':13}" for group in groups)
        hits = f"   {line.hits:.1%} hits" if line.hits is not None else ""
        yield (
            f"  {line.name:36}{line.rate:8.0f}{line.ratio:7.2f}{line.p50:9.1f}{line.p99:9.1f}"
            f"{line.processor_ratio:11.2f}{used}{hits}"
        )


def _goal(goal: Goal) -> str:
    sign = "<=" if goal.below else ">="
    verdict = "met" if goal.met else "MISSED"
    return f"  {goal.what:46}{goal.value:9.2f}   now {sign} {goal.now:g}: {verdict}; in the end {sign} {goal.later:g}"
