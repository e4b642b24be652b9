"""Processor time as the kernel counts it: steadier than requests per second, so regressions are judged by it."""

import os
from collections import defaultdict
from pathlib import Path

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def seconds_used(root: int) -> float:
    """Processor seconds of a process and everything below it so far, the ended children included."""
    processes = {int(path.name): _stat(path) for path in Path("/proc").glob("[0-9]*")}
    children: defaultdict[int, list[int]] = defaultdict(list)
    for pid, stat in processes.items():
        if stat is not None:
            children[stat[0]].append(pid)
    waiting, ticks = [root], 0
    while waiting:
        pid = waiting.pop()
        waiting.extend(children[pid])
        ticks += (processes.get(pid) or (0, 0))[1]
    return ticks / _TICKS_PER_SECOND


def parent_of(pid: int) -> int:
    """Who started a process. Raises ProcessLookupError when it is gone."""
    stat = _stat(Path(f"/proc/{pid}"))
    if stat is None:
        raise ProcessLookupError(f"process {pid} is gone")
    return stat[0]


def _stat(path: Path) -> tuple[int, int] | None:
    """Parent and ticks (user and system, own and of ended children); see proc(5)."""
    try:
        fields = (path / "stat").read_bytes().rpartition(b") ")[2].split()
    except OSError:
        return None
    return int(fields[1]), sum(map(int, fields[11:15]))
