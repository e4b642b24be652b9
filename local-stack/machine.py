"""What the machine must have: servers and tools of the distribution, a Python the service user may run, that user."""

import contextlib
import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypedDict

from places import SERVICE_USER, is_root, service_user
from refusal import Refusal

MINIMUM_PYTHON = (3, 11)
MINIMUM_NODE = 18
_POSTGRES_FOLDERS = tuple(Path(f"/usr/lib/postgresql/{major}/bin") for major in (15, 16, 17, 18))
_RABBITMQ_SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
# Debian starts the servers it installs unless this file says no; it never replaces one that is there.
_POLICY = Path("/usr/sbin/policy-rc.d")


def prepare(say: Callable[[str], None], *, with_node: bool = True) -> None:
    """Sees to the service user and every needed tool; installs with apt-get as root, else names what is missing."""
    if is_root():
        _ensure_service_user()
    missing = missing_packages()
    if missing:
        _install(missing, say)
        interpreter.cache_clear()
        if still := missing_packages():
            raise Refusal(f"These tools are still not usable after their installation: {', '.join(still)}.")


def missing_packages() -> list[str]:
    """Debian packages whose tools are not there or not usable by the service user."""
    needs = {
        "python3-venv": interpreter() is not None,
        "postgresql-15": postgres_folder() is not None,
        "redis-server": shutil.which("redis-server") is not None,
        "rabbitmq-server": _RABBITMQ_SERVER.exists() and shutil.which("epmd") is not None,
        "nodejs": node() is not None,
        "npm": shutil.which("npm") is not None,
        "curl": shutil.which("curl") is not None,
        # Not for the stack itself: the README's calls read their answers with it.
        "jq": shutil.which("jq") is not None,
    }
    return [package for package, present in needs.items() if not present]


def browser(say: Callable[[str], None]) -> str:
    """Program of the browser that the tests drive; the stack itself needs none. Installs it with apt-get as root."""
    if shutil.which("chromium") is None:
        _install(["chromium"], say)
    found = shutil.which("chromium")
    if found is None:
        raise Refusal("chromium is still not usable after its installation.")
    return found


@functools.cache
def interpreter() -> str | None:
    """A Python that is new enough, can make virtual environments and may be run by the service user."""
    names = [sys.executable, "python3", "/usr/bin/python3", *(f"python3.{minor}" for minor in range(14, 10, -1))]
    question = f"import sys, ensurepip, venv; sys.exit(sys.version_info[:2] < {MINIMUM_PYTHON})"
    found = (shutil.which(name) for name in names)
    return next((path for path in found if path and _user_can(path, "-Ic", question)), None)


def node() -> str | None:
    """A Node.js that is new enough and may be run by the service user."""
    question = f"process.exit(parseInt(process.versions.node) < {MINIMUM_NODE} ? 1 : 0)"
    found = (shutil.which("node"), "/usr/bin/node", "/usr/bin/nodejs")
    return next((path for path in found if path and Path(path).exists() and _user_can(path, "-e", question)), None)


def postgres_folder() -> Path | None:
    """Folder of initdb, postgres, pg_basebackup and their kin."""
    on_path = shutil.which("initdb")
    candidates = (*_POSTGRES_FOLDERS, *((Path(on_path).parent,) if on_path else ()))
    return next((folder for folder in candidates if (folder / "initdb").exists()), None)


def rabbitmq_server() -> Path:
    """The start script of the server itself, which unlike the wrapper in sbin does not switch users."""
    return _RABBITMQ_SERVER


def _user_can(*command: str) -> bool:
    try:
        return run_as_service_user(list(command), check=False, env={"PATH": os.defpath}).returncode == 0
    except OSError:
        return False


def run_as_service_user(
    command: list[str], *, env: dict[str, str], check: bool = True, log: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end as the service user, with exactly this environment, output kept or written to `log`."""
    with log.open("a") if log else contextlib.nullcontext(subprocess.PIPE) as output:
        return subprocess.run(
            command,
            env=env,
            check=check,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=env.get("HOME", "/"),
            **as_service_user(),
        )


class _Rights(TypedDict, total=False):
    user: int
    group: int
    extra_groups: list[int]


def as_service_user() -> _Rights:
    """Arguments that make `subprocess` drop root's rights; none when there are none to drop."""
    if not is_root():
        return {}
    return {"user": service_user().pw_uid, "group": service_user().pw_gid, "extra_groups": []}


def _ensure_service_user() -> None:
    try:
        service_user()
    except KeyError:
        options = ["--system", "--user-group", "--no-create-home", "--home-dir", "/var/lib/sofipo"]
        subprocess.run(["useradd", *options, "--shell", "/usr/sbin/nologin", SERVICE_USER], check=True)


def _install(packages: list[str], say: Callable[[str], None]) -> None:
    names = " ".join(packages)
    if not shutil.which("apt-get"):
        raise Refusal(f"Missing tools: {names} (Debian's names); install them and run the command again.")
    if not is_root():
        raise Refusal(f"Missing tools: {names}; run `sudo apt-get install --no-install-recommends {names}` first.")
    say(f"installing {names}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with _services_stay_down():
        for arguments in (["update"], ["install", "--yes", "--no-install-recommends", *packages]):
            command = ["apt-get", "-qq", *arguments]
            done = subprocess.run(command, env=environment, check=False, text=True, capture_output=True)
            if done.returncode:
                raise Refusal(f"apt-get {arguments[0]} failed: {done.stderr.strip() or done.stdout.strip()}")


@contextlib.contextmanager
def _services_stay_down() -> Iterator[None]:
    """Keeps the distribution from starting servers of its own while packages are installed."""
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink()
