"""What the programs are started with is there when they start."""

from pathlib import Path

import installation
import operations
from places import Stack


def test_every_file_of_the_project_that_a_program_is_given_is_copied_for_it() -> None:
    files = installation.project_files()
    plan = operations.make_plan(Stack("never"), 0, Path("/bin"), files, with_services=True)
    words = [word for program in (*plan.servers, *plan.services) for word in program.command]
    given = [Path(word) for word in words if word.startswith(f"{files}/")]
    assert {"start_alone.py", "server_logging.json"} <= {path.name for path in given}
    assert [path for path in given if not path.exists()] == []
