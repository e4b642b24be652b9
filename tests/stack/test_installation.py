"""What several commands of one checkout install at once is whole, and nobody's files are taken from under them."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import installation
import pytest
from places import CHECKOUT

COMMANDS = 8


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout for which nothing was installed yet."""
    monkeypatch.setattr(installation, "state_folder", lambda: tmp_path)
    return tmp_path


def found_in(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file with the moment it was last touched, and what it holds."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): (path.stat().st_ctime_ns, path.read_bytes()) for path in files}


def test_commands_that_copy_the_projects_files_at_once_do_not_meet(state: Path) -> None:
    def copied(_: int) -> dict[str, tuple[int, bytes]]:
        return found_in(installation.project_files())

    with ThreadPoolExecutor(COMMANDS) as commands:
        first, *others = commands.map(copied, range(COMMANDS))
    assert "backend-api/alembic.ini" in first
    assert [other for other in others if other != first] == []


def test_files_that_did_not_change_stay_where_a_running_program_reads_them(state: Path) -> None:
    before = found_in(installation.project_files())
    assert found_in(installation.project_files()) == before


def test_files_that_changed_are_copied_again(state: Path) -> None:
    """And what the checkout has no more is gone from the copy: a migration that was taken back would still run."""
    copies = installation.project_files()
    (state / "project.made-from").write_text("another state of the checkout")
    (copies / "backend-api/alembic.ini").write_text("older")
    (copies / "backend-api/migrations/versions/20000101_taken_back.py").write_text("older")
    again = found_in(installation.project_files())
    assert again["backend-api/alembic.ini"][1] == (CHECKOUT / "backend-api/alembic.ini").read_bytes()
    assert "backend-api/migrations/versions/20000101_taken_back.py" not in again


def test_what_was_broken_off_is_made_again(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also after the checkout went back to what was installed before."""
    before = found_in(installation.project_files()).keys()
    with monkeypatch.context() as broken:
        broken.setattr(installation, "fingerprint", lambda _: "another state of the checkout")
        broken.setattr(installation, "_let_everybody_read", _interrupted)
        with pytest.raises(KeyboardInterrupt):
            installation.project_files()
    (state / "project" / "backend-api/alembic.ini").unlink()
    assert found_in(installation.project_files()).keys() == before


def _interrupted(_: Path) -> None:
    raise KeyboardInterrupt
