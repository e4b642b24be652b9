"""Becomes any of the services in milliseconds: everything is imported once, and every start is a fork.

A service that is killed at random would spend most of its life importing; forked, it is at work when the kill strikes.
Orders come as JSON lines on standard input, the process ids go to standard output; its end is the end of all children.
"""

import ctypes
import importlib
import json
import os
import signal
import sys
import traceback
from typing import Any, NoReturn

import uvicorn

PRELOADED = ("backend_api.cli.processes", "event_consumer.__main__", "tests.chaos.broken")
PR_SET_PDEATHSIG = 1


def main() -> None:
    """Obeys until standard input ends."""
    for module in PRELOADED:
        importlib.import_module(module)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel buries the children
    print("ready", flush=True)
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            _become(json.loads(line))
        print(pid, flush=True)


def api() -> None:
    """One worker of the API: the application, as a factory "module:function", and the port are in the environment."""
    uvicorn.run(
        os.environ["APPLICATION"],
        factory=True,
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        loop="uvloop",
        http="httptools",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=10,
    )


def _become(order: dict[str, Any]) -> NoReturn:
    """Runs `entry` ("module:function") in this process, in a group of its own that dies with the zygote."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.environ.update(order["environment"])
    module, _, function = order["entry"].partition(":")
    code = 1
    try:
        getattr(importlib.import_module(module), function)()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001 - whatever it is, it ends this process and is told in its log
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # nothing of the parent's is to be closed or written twice


if __name__ == "__main__":
    main()
