"""Becomes a program, after ending what an earlier run of it left behind: start_alone.py GROUP_FILE COMMAND...

A server with workers whose parent was killed leaves workers that still hold the port, so its next start would fail.
The supervisor makes every program the leader of a process group; the group of the last run stands in GROUP_FILE.
"""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

_POLL_SECONDS = 0.02


def main(group_file: Path, command: list[str]) -> None:
    """Never returns: the process becomes the command."""
    while leftovers := list(_leftovers(group_file)):
        for pid in leftovers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_POLL_SECONDS)
    group_file.write_text(str(os.getpgrp()))
    os.execvp(command[0], command)  # noqa: S606 - the very purpose


def _leftovers(group_file: Path) -> Iterator[int]:
    """Living processes of the earlier group, within this supervisor's session: a number used anew elsewhere is safe."""
    try:
        group = int(group_file.read_text())
    except (OSError, ValueError):
        return
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            # After the command's name, which may hold anything: state, parent, group, session.
            state, _, its_group, session = (process / "stat").read_text().rpartition(")")[2].split()[:4]
            if (int(its_group), int(session)) == (group, os.getsid(0)) and state != "Z" and group != os.getpgrp():
                yield int(process.name)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
