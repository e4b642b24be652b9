"""What the commands do to a stack: bring it up, take it down, tell how it is."""

import contextlib
import fcntl
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import installation
import machine
import ports
import postgres
import programs
import settings
from places import Stack, give, log_of, state_folder, write
from programs import Program
from refusal import Refusal
from supervision import FAILED, State, Supervisor, end_processes_of, processes_of

_READY_SECONDS = 180.0
_POLL_SECONDS = 0.1
_LAST_LINES = 15
# The state of every program while the supervisor is down.
NOT_SUPERVISED = State("", "STOPPED", 0, "the stack is down")


@dataclass(frozen=True)
class Plan:
    """A stack with its ports, settings and programs decided; nothing is started by making one."""

    stack: Stack
    offset: int
    port: Mapping[str, int]
    settings: Mapping[str, str]
    environment: dict[str, str]
    configuration: Mapping[str, str]
    servers: Sequence[Program]
    services: Sequence[Program]
    binaries: Path
    files: Path

    @property
    def programs(self) -> list[Program]:
        """All programs in the order of their start."""
        return [*self.servers, *self.services]

    def description(self) -> dict[str, object]:
        """What a running supervisor was started with; a change needs a restart."""
        commands = {program.name: program.command for program in self.programs}
        made_from = json.dumps([self.environment, commands, self.configuration], sort_keys=True)
        return {"port_offset": self.offset, "with_services": bool(self.services), "made_from": made_from}


class Progress:
    """One line for each step, with the seconds since the start."""

    def __init__(self, stream: TextIO = sys.stdout) -> None:
        self._start = time.monotonic()
        self._stream = stream

    def __call__(self, what: str) -> None:
        print(f"[{time.monotonic() - self._start:6.1f} s] {what}", file=self._stream, flush=True)


def up(stack: Stack, wanted_offset: int | None, *, with_services: bool, remedy: str) -> Plan:
    """Brings a stack up, or what is missing of it. Refuses before the first start when a port or a tool is missing."""
    say = Progress()
    # The second lock is the checkout's: what is installed is shared, and two stacks would choose the same free ports.
    with _alone(_lock_of(stack), say), _alone(state_folder() / "up.lock", say):
        machine.prepare(say)
        offset = _decide_offset(stack, wanted_offset)
        binaries = (installation.services_environment if with_services else installation.checks_environment)(say)
        files = installation.project_files()
        installation.couchdb_stand_in(say)
        changed = with_services and installation.services(binaries, say)
        plan = make_plan(stack, offset, binaries, files, with_services=with_services)
        supervisor = Supervisor(stack)
        if not supervisor.is_running():
            _start_from_nothing(plan, supervisor, say, remedy)
            return plan
        if _remembered(stack) != plan.description():
            say("settings or programs changed: starting again")
            _stop_everything(plan, supervisor, say)
            _start_from_nothing(plan, supervisor, say, remedy)
            return plan
        _complete(plan, supervisor, say, renew_services=changed)
        say(f"stack {stack.name} is running")
    return plan


def _start_from_nothing(plan: Plan, supervisor: Supervisor, say: Progress, remedy: str) -> None:
    stack = plan.stack
    if processes_of(stack):
        say("ending processes whose supervisor is gone")
        end_processes_of(stack)
    ports.refuse_if_taken(plan.offset, [name for program in plan.programs for name in program.listeners], remedy)
    stack.make_folders()
    for name, text in plan.configuration.items():
        write(stack.config / name, text)
    for name in ("redis", "rabbitmq", "couchdb", "replica"):
        give(stack.data / name)
    if not (stack.data / "primary").exists():
        say("making the primary's data")
        postgres.create_primary(stack, plan.environment, plan.files)
    supervisor.write_configuration(plan.programs)
    write(_memory(stack), json.dumps(plan.description()))
    supervisor.launch(plan.binaries, plan.environment)
    try:
        _complete(plan, supervisor, say, renew_services=False)
    except BaseException:
        supervisor.shut_down()
        raise


def _complete(plan: Plan, supervisor: Supervisor, say: Progress, *, renew_services: bool) -> None:
    """Starts what does not run, in order: servers, one-shot preparations, services."""
    if _start_missing(plan, plan.servers, supervisor, say):
        _run_once(plan, "couchdb-init", [str(plan.files / "couchdb-init/setup-users-db.sh")])
        say("the event database is prepared")
    if renew_services:
        for program in reversed(plan.services):
            supervisor.stop(program.name)
    if _missing(plan.services, supervisor):
        _run_once(plan, "init", [str(plan.binaries / "python"), "-m", "backend_api.cli", "init"])
        say("the database is at its newest version")
        _start_missing(plan, plan.services, supervisor, say)


def _start_missing(plan: Plan, wanted: Sequence[Program], supervisor: Supervisor, say: Progress) -> bool:
    """Starts those that do not run, all at once, and waits until each is ready. True when one was missing."""
    missing = _missing(wanted, supervisor)
    for program in missing:
        supervisor.start(program.name)
    for program in wanted:
        _wait_until_ready(program, plan.stack, supervisor)
        if program in missing:
            say(f"{program.name} is ready")
    return bool(missing)


def _missing(wanted: Sequence[Program], supervisor: Supervisor) -> list[Program]:
    known = supervisor.states()
    return [program for program in wanted if known[program.name].state not in ("RUNNING", "STARTING")]


def down(stack: Stack) -> None:
    """Stops everything gracefully, last started first. Says so when nothing ran."""
    say = Progress()
    with _alone(_lock_of(stack), say):
        supervisor = Supervisor(stack)
        if not supervisor.is_running() and not processes_of(stack):
            say(f"stack {stack.name} is not running")
            return
        _stop_everything(known_plan(stack), supervisor, say)
        say(f"stack {stack.name} is down; its data stays in {stack.data}")


def _stop_everything(plan: Plan | None, supervisor: Supervisor, say: Progress) -> None:
    if supervisor.is_running():
        known = supervisor.states()
        for program in reversed(plan.programs if plan else []):
            if program.name in known:
                supervisor.stop(program.name)
                say(f"{program.name} stopped")
    supervisor.shut_down()


def reset(stack: Stack, confirm: Callable[[str], bool]) -> None:
    """Takes the stack down and deletes its data, logs and configuration, after naming what goes."""
    if not stack.folder.exists():
        print(f"Stack {stack.name} has no data.")
        return
    if not confirm(f"All data and logs of stack {stack.name} in {stack.folder} will be deleted."):
        raise Refusal("Nothing was deleted.")
    down(stack)
    shutil.rmtree(stack.folder)
    shutil.rmtree(stack.sockets, ignore_errors=True)
    print(f"Deleted {stack.folder}")


def states(stack: Stack) -> list[tuple[Program, State]]:
    """Every program of the stack with its state."""
    plan, supervisor = known_plan(stack), Supervisor(stack)
    if plan is None:
        return []
    known = supervisor.states() if supervisor.is_running() else {}
    return [(each, known.get(each.name, NOT_SUPERVISED)) for each in plan.programs]


def start_program(stack: Stack, name: str) -> None:
    """Starts one program and waits until it is ready."""
    program, supervisor = _one(stack, name)
    supervisor.start(name)
    _wait_until_ready(program, stack, supervisor)


def stop_program(stack: Stack, name: str) -> None:
    """Stops one program gracefully and leaves it stopped."""
    _, supervisor = _one(stack, name)
    supervisor.stop(name)


def make_plan(stack: Stack, offset: int, binaries: Path, files: Path, *, with_services: bool) -> Plan:
    """Decides everything about a stack from its name and offset."""
    port = ports.at(offset)
    values = settings.of(stack.name, offset)
    environment = programs.environment(stack, values, port)
    if with_services:
        environment["ALEMBIC_CONFIG"] = str(files / "backend-api/alembic.ini")

    def ask(server: int, question: str) -> str:
        return postgres.ask(environment, server, question)

    return Plan(
        stack=stack,
        offset=offset,
        port=port,
        settings=values,
        environment=environment,
        configuration=programs.configuration(values, port),
        servers=programs.servers(stack, values, port, ask, files),
        services=programs.services(stack, binaries, values, port, ask, files) if with_services else [],
        binaries=binaries,
        files=files,
    )


def known_plan(stack: Stack) -> Plan | None:
    """The plan of a stack that was brought up before; None when it never was."""
    memory = _remembered(stack)
    if memory is None:
        return None
    with_services = bool(memory["with_services"])
    binaries = installation.binaries_of(with_services=with_services)
    files = installation.project_folder()
    return make_plan(stack, int(str(memory["port_offset"])), binaries, files, with_services=with_services)


def _decide_offset(stack: Stack, wanted: int | None) -> int:
    """The operator's offset; else that of the running stack; else none for dev and a free block for the others."""
    if wanted is not None:
        return wanted
    memory = _remembered(stack)
    if memory is not None and processes_of(stack):
        return int(str(memory["port_offset"]))
    return 0 if stack.name == settings.CONFIGURED_STACK else ports.free_offset(str(stack.folder))


def _wait_until_ready(program: Program, stack: Stack, supervisor: Supervisor) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    log = log_of(stack, program.name)
    while True:
        state = supervisor.states()[program.name]
        if state.state in FAILED:
            raise Refusal(f"{program.name} died while starting ({state.explanation}).\n{_tail(log)}\nIts log: {log}")
        missing = program.ready()
        if missing is None and state.state == "RUNNING":
            return
        if time.monotonic() > deadline:
            raise Refusal(f"{program.name} is not ready after {_READY_SECONDS:.0f} s: {missing}. Its log: {log}")
        time.sleep(_POLL_SECONDS)


def _run_once(plan: Plan, name: str, command: list[str]) -> None:
    log = log_of(plan.stack, name)
    try:
        machine.run_as_service_user(command, env=plan.environment, log=log)
    except subprocess.CalledProcessError as error:
        raise Refusal(f"{name} failed with exit code {error.returncode}.\n{_tail(log)}\nIts log: {log}") from error


def _one(stack: Stack, name: str) -> tuple[Program, Supervisor]:
    plan, supervisor = known_plan(stack), Supervisor(stack)
    if plan is None or not supervisor.is_running():
        raise Refusal(f"Stack {stack.name} is not running.")
    for program in plan.programs:
        if program.name == name:
            return program, supervisor
    raise Refusal(f"There is no program {name!r}; there are {', '.join(each.name for each in plan.programs)}.")


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return "\n".join(f"  | {line}" for line in lines[-_LAST_LINES:])


def _memory(stack: Stack) -> Path:
    return stack.folder / "stack.json"


def _remembered(stack: Stack) -> dict[str, object] | None:
    try:
        memory: dict[str, object] = json.loads(_memory(stack).read_text())
    except FileNotFoundError:
        return None
    return memory


def _lock_of(stack: Stack) -> Path:
    """Outside the stack's folder, which `reset` deletes."""
    return stack.folder.parent / f"{stack.name}.lock"


@contextlib.contextmanager
def _alone(lock: Path, say: Callable[[str], None]) -> Iterator[None]:
    """One command at a time; the others wait for it, and say so."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another command of this checkout to end")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
