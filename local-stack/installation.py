"""Installs what the processes run: virtual environments, the services' packages, the CouchDB stand-in.

Every step leaves a stamp with the hash of what it was made from, and does nothing while that stands.
"""

import contextlib
import fcntl
import hashlib
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import machine
from places import CHECKOUT, state_folder
from refusal import Refusal

_PACKAGES = ("backend-api", "event-consumer")
_SERVICE_LOCKS = tuple(CHECKOUT / folder / "requirements.txt" for folder in (*_PACKAGES, "local-stack"))
_CHECK_LOCKS = (*_SERVICE_LOCKS, CHECKOUT / "tests" / "requirements.txt")
# Files that the service user needs from a checkout it may not be able to read.
_SCRIPTS = (
    "postgres-init/00-config-hba.sh",
    "postgres-replica-config/init-db.sh",
    "couchdb-init/setup-users-db.sh",
    "local-stack/start_alone.py",
    "backend-api/backend_api/server_logging.json",
    "backend-api/alembic.ini",
)
_MIGRATIONS = "backend-api/migrations"
_STAMP = ".made-from"

Say = Callable[[str], None]


def services_environment(say: Say) -> Path:
    """The virtual environment of the services and their supervisor; returns its folder of programs."""
    return _environment("venv", _SERVICE_LOCKS, say)


def checks_environment(say: Say) -> Path:
    """The virtual environment of the checks, apart so that a test run never changes a running stack."""
    return _environment("venv-checks", _CHECK_LOCKS, say)


def everything_for_checks(say: Say) -> Path:
    """The environment of the checks and the Node packages that some of them run; returns the former's programs.

    Side by side: pip keeps one core busy for the longest part of it, and during a test run both are short.
    """
    with ThreadPoolExecutor(max_workers=1) as beside:
        packages = [beside.submit(install, say) for install in (couchdb_stand_in, asyncapi_parser, newman, axe)]
        programs = checks_environment(say)
        for package in packages:
            package.result()
    return programs


def binaries_of(*, with_services: bool) -> Path:
    """Folder of programs of the environment that a stack runs from, whether made already or not."""
    return state_folder() / ("venv" if with_services else "venv-checks") / "bin"


def services(programs: Path, say: Say) -> bool:
    """Installs both packages, not editable, since the service user may not read the checkout. True when changed."""
    sources = [path for folder in _PACKAGES for path in _sources(CHECKOUT / folder)]
    with _unless_stamped(programs.parent / "services", sources) as changed:
        if changed:
            say("installing backend-api and event-consumer")
            folders = [str(CHECKOUT / folder) for folder in _PACKAGES]
            options = ["--no-deps", "--no-build-isolation", "--force-reinstall"]
            _pip(programs, [*options, *folders], "the services' packages")
    return changed


def project_folder() -> Path:
    """Where `project_files` puts its copies."""
    return state_folder() / "project"


def project_files() -> Path:
    """Copies scripts and migrations to where the service user can read them; returns that folder.

    Copies of what did not change are left alone: a program of another stack may be reading them.
    """
    target = project_folder()
    sources = [*(CHECKOUT / name for name in _SCRIPTS), *_sources(CHECKOUT / _MIGRATIONS)]
    with _unless_stamped(target, sources) as changed:
        if changed:
            shutil.rmtree(target, ignore_errors=True)
            for source in sources:
                copy = target / source.relative_to(CHECKOUT)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, copy)
            _let_everybody_read(target)
    return target


def couchdb_stand_in(say: Say) -> Path:
    """The CouchDB stand-in with its Node packages; returns its folder."""
    return _node_packages(CHECKOUT / "local-stack" / "couchdb", "couchdb-stand-in", "the CouchDB stand-in", say)


def asyncapi_parser(say: Say) -> Path:
    """The check of docs/asyncapi.yaml with its Node packages; returns its folder."""
    source = CHECKOUT / "tests" / "contract" / "asyncapi"
    # One of its packages has an install script, which only tells its makers who installs it.
    return _node_packages(source, "asyncapi-parser", "the AsyncAPI parser", say, "--ignore-scripts")


def newman(say: Say) -> Path:
    """Postman's runner for the command line; returns the folder of its program."""
    source = CHECKOUT / "tests" / "e2e" / "postman"
    return _node_packages(source, "newman", "newman", say, "--ignore-scripts") / "node_modules" / ".bin"


def axe(say: Say) -> Path:
    """The accessibility checker that the browser tests put into pages; returns its file."""
    source = CHECKOUT / "tests" / "browser" / "axe"
    return (
        _node_packages(source, "axe", "axe-core", say, "--ignore-scripts") / "node_modules" / "axe-core" / "axe.min.js"
    )


def _node_packages(source: Path, name: str, what: str, say: Say, *options: str) -> Path:
    """A copy of the folder together with the packages that its lock file names."""
    target = state_folder() / name
    files = [*source.glob("*.js*"), *source.glob("*.mjs")]
    with _unless_stamped(target, files) as changed:
        if changed:
            say(f"installing {what}")
            target.mkdir(parents=True, exist_ok=True)
            for file in files:
                shutil.copy(file, target)
            command = ["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error", *options]
            done = subprocess.run(command, cwd=target, text=True, capture_output=True, check=False)
            if done.returncode:
                raise Refusal(f"npm could not install {what}: {_last_line(done.stderr)}")
            _let_everybody_read(target)
    return target


def _environment(name: str, locks: Iterable[Path], say: Say) -> Path:
    folder = state_folder() / name
    with _unless_stamped(folder, locks) as changed:
        if changed:
            python = machine.interpreter()
            if python is None:
                raise Refusal("No usable Python 3.11 or newer with venv was found; install python3-venv.")
            say(f"installing Python packages ({name})")
            subprocess.run([python, "-m", "venv", str(folder)], check=True)
            arguments = ["--require-hashes", *(part for lock in locks for part in ("--requirement", str(lock)))]
            _pip(folder / "bin", arguments, "the Python packages")
    return folder / "bin"


def _pip(programs: Path, arguments: list[str], what: str) -> None:
    command = [str(programs / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, text=True, capture_output=True, check=False)
    if done.returncode:
        raise Refusal(f"pip could not install {what}: {_last_line(done.stderr)}")


@contextlib.contextmanager
def _unless_stamped(target: Path, made_from: Iterable[Path]) -> Iterator[bool]:
    """Yields whether the target must be made (again); writes the stamp only when that succeeded."""
    stamp = target.with_name(target.name + _STAMP)
    wanted = fingerprint(made_from)
    target.parent.mkdir(parents=True, exist_ok=True)
    with stamp.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        if file.read() == wanted:
            yield False
            return
        file.truncate(0)  # what is broken off half-way is neither the old state nor the new
        yield True
        file.write(wanted)


def fingerprint(files: Iterable[Path]) -> str:
    """One hash over names and contents."""
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(f"{path}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _sources(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path


def _let_everybody_read(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            executable = path.is_dir() or path.stat().st_mode & 0o100
            path.chmod(0o755 if executable else 0o644)


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "no reason given"
