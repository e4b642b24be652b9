"""Where the stack lives: the checkout it serves, the state it keeps outside git, and the user it runs as."""

import functools
import hashlib
import os
import pwd
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

SERVICE_USER = "sofipo"
CHECKOUT = Path(__file__).resolve().parent.parent

# The kernel takes 107 characters for the path of a unix socket; the longest of our file names has 16.
_LONGEST_SOCKET_FOLDER = 90


def is_root() -> bool:
    """Root starts everything as the service user; anybody else runs everything as himself."""
    return os.geteuid() == 0


def state_folder() -> Path:
    """Folder of everything that is not in git: environments, data, logs. One for each checkout."""
    if is_root():
        return Path("/var/lib/sofipo") / _fingerprint(CHECKOUT)
    return CHECKOUT / ".local-stack"


def _fingerprint(path: Path) -> str:
    return hashlib.sha256(str(path).encode()).hexdigest()[:8]


@functools.cache
def service_user() -> pwd.struct_passwd:
    """The user that every process of the stack runs as; never root."""
    return pwd.getpwnam(SERVICE_USER) if is_root() else pwd.getpwuid(os.geteuid())


def give(folder: Path, mode: int = 0o700) -> Path:
    """Makes a folder that the service user owns."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(mode)
    if is_root():
        shutil.chown(folder, service_user().pw_uid, service_user().pw_gid)
    return folder


def write(path: Path, text: str) -> None:
    """Writes a file that the service user can read and nobody else; as root only root can change it."""
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(text)
    if is_root():
        shutil.chown(path, 0, service_user().pw_gid)
        path.chmod(0o640)


@dataclass(frozen=True)
class Stack:
    """One named stack of a checkout, with data, logs and ports of its own."""

    name: str

    @property
    def folder(self) -> Path:
        """Everything of this stack; its removal is what `reset` does."""
        return state_folder() / "stacks" / self.name

    @property
    def data(self) -> Path:
        """Data folders of the servers."""
        return self.folder / "data"

    @property
    def logs(self) -> Path:
        """One log file for each program."""
        return self.folder / "logs"

    @property
    def config(self) -> Path:
        """Generated configuration; holds passwords."""
        return self.folder / "config"

    @property
    def run(self) -> Path:
        """Working folder of the processes, with their pid files."""
        return self.folder / "run"

    @property
    def sockets(self) -> Path:
        """Folder of unix sockets: `run`, or a short private one when that path is too long for the kernel."""
        if len(str(self.run)) <= _LONGEST_SOCKET_FOLDER:
            return self.run
        return Path(tempfile.gettempdir()) / f"sofipo-{os.geteuid()}-{_fingerprint(self.folder)}"

    def make_folders(self) -> None:
        """Makes the folders, each owned by the service user."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for folder in (self.data, self.logs, self.run, self.sockets):
            give(folder)
            if folder.stat().st_uid != service_user().pw_uid:
                raise PermissionError(f"{folder} belongs to somebody else")
        self.config.mkdir(exist_ok=True)
        self.config.chmod(0o755)


def log_of(stack: Stack, program: str) -> Path:
    """The file that holds what a program says."""
    return stack.logs / f"{program}.log"
