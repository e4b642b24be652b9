#!/usr/bin/env python3
"""The whole stack as local processes, without Docker. Needs nothing but Python's standard library."""

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping

if sys.version_info < (3, 11):  # noqa: UP036 - this file is started by whatever python3 the machine has
    sys.exit("This needs Python 3.11 or newer; run it with /usr/bin/python3 of Debian 12 or install python3.11.")

import installation
import machine
import operations
import ports
import settings
from operations import Plan
from places import Stack, log_of
from refusal import Refusal
from supervision import State

Command = Callable[[argparse.Namespace], int | None]

_ABOUT_PORTS = (
    "PORT_OFFSET=<number> in the environment moves all ports; stacks other than dev choose a free block by themselves."
)


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns the exit code. What the operator must know is one sentence on standard error."""
    os.umask(0o022)
    options = _parser().parse_args(arguments)
    try:
        return int(options.command(options) or 0)
    except Refusal as refusal:
        print(refusal, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130


def _up(options: argparse.Namespace) -> None:
    wanted = ports.offset_from(os.environ)
    plan = operations.up(_stack(options), wanted, with_services=not options.servers_only, remedy=_remedy(options))
    if plan.services:
        _print_welcome(plan)


def _down(options: argparse.Namespace) -> None:
    operations.down(_stack(options))


def _reset(options: argparse.Namespace) -> None:
    def confirm(what: str) -> bool:
        print(what)
        return options.yes or not sys.stdin.isatty() or input("Delete? [y/N] ").strip().lower() in ("y", "yes")

    operations.reset(_stack(options), confirm)


def _status(options: argparse.Namespace) -> int:
    found = operations.states(_stack(options))
    healthy = bool(found) and all(state.state == "RUNNING" for _, state in found)
    if options.json:
        rows = [
            {"program": program.name, "state": state.state, "pid": state.pid, "address": program.address}
            for program, state in found
        ]
        print(json.dumps(rows, indent=2))
        return 0 if healthy else 3
    if not found:
        print(f"Stack {options.name} was never started: make up")
        return 3
    for program, state in found:
        remedy = "" if state.state == "RUNNING" else _advice(options, program.name, state)
        print(f"{program.name:17} {state.state:9} {state.pid or '-':>7}  {program.address:36} {remedy}".rstrip())
    return 0 if healthy else 3


def _logs(options: argparse.Namespace) -> int:
    stack = _stack(options)
    files = [log_of(stack, options.program)] if options.program else sorted(stack.logs.glob("*.log"))
    if not files or not files[0].exists():
        raise Refusal(f"There is no log in {stack.logs}.")
    follow = ["-F"] if options.follow else []
    return subprocess.run(["tail", "-n", "100", *follow, *map(str, files)], check=False).returncode


def _env(options: argparse.Namespace) -> None:
    plan = operations.known_plan(_stack(options))
    if plan is None:
        raise Refusal(f"Stack {options.name} was never started.")
    for key, value in sorted({**plan.settings, "SOFIPO_STACK_NAME": options.name}.items()):
        print(f"{key}={value}")


def _start(options: argparse.Namespace) -> None:
    operations.start_program(_stack(options), options.program)


def _stop(options: argparse.Namespace) -> None:
    operations.stop_program(_stack(options), options.program)


def _sofipo(options: argparse.Namespace) -> int:
    plan = operations.known_plan(_stack(options))
    if plan is None or not plan.services:
        raise Refusal(f"The application was never started in stack {options.name}: make up")
    command = [str(plan.binaries / "python"), "-m", "backend_api.cli", *options.arguments]
    rights = machine.as_service_user()
    return subprocess.run(command, env=plan.environment, cwd=plan.stack.run, check=False, **rights).returncode


def _tools(_: argparse.Namespace) -> None:
    progress = operations.Progress(sys.stderr)
    machine.prepare(progress)
    print(installation.everything_for_checks(progress))


def _stack(options: argparse.Namespace) -> Stack:
    return Stack(options.name)


def _remedy(options: argparse.Namespace) -> str:
    if options.name == settings.CONFIGURED_STACK and not options.servers_only:
        return "make up"
    return " ".join(["python3", "local-stack/stack.py", *sys.argv[1:]])


def _advice(options: argparse.Namespace, program: str, state: State) -> str:
    tool = "python3 local-stack/stack.py"
    name = "" if options.name == settings.CONFIGURED_STACK else f" --name {options.name}"
    if state is operations.NOT_SUPERVISED:
        return f"{state.explanation}; {tool} up{name} (or make up)"
    return f"see `{tool} logs {program}{name}`, then `{tool} start {program}{name}`"


def _print_welcome(plan: Plan) -> None:
    value = plan.settings
    api = f"http://127.0.0.1:{value['API_PORT']}"
    sign_in = " (sign in: admin / string)" if value["ENVIRONMENT"] == "development" else ""
    sandbox = f"\nGateway      http://127.0.0.1:{value['SANDBOX_GATEWAY_PORT']} (sandbox: no money moves)"
    gateway = sandbox if value["ENVIRONMENT"] == "development" else ""
    rabbitmq = _login(value, "RABBITMQ_DEFAULT_USER", "RABBITMQ_DEFAULT_PASS")
    couchdb = _login(value, "COUCHDB_USER", "COUCHDB_PASSWORD")
    print(f"""
API          {api}/docs{sign_in}{gateway}
RabbitMQ     http://127.0.0.1:{value["RABBITMQ_MANAGEMENT_PORT"]} ({rabbitmq})
CouchDB      http://127.0.0.1:{value["COUCHDB_PORT"]}/_utils/ ({couchdb})

First call:
  curl -d 'username=admin&password=string' {api}/api/v1/auth/token

Then: make status, make logs, make down""")


def _login(value: Mapping[str, str], user: str, password: str) -> str:
    shown = value[password] if value[password] == settings.DEFAULTS[password] else "your password"
    return f"{value[user]} / {shown}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="stack.py", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    named = argparse.ArgumentParser(add_help=False)
    named.add_argument(
        "--name",
        default=settings.CONFIGURED_STACK,
        type=_stack_name,
        help="which stack; each has its own data and ports (default: %(default)s)",
    )

    def add(verb: str, command: Command, what: str, more: str = "") -> argparse.ArgumentParser:
        added = commands.add_parser(verb, parents=[named], help=what, description=f"{what}. {more}")
        added.set_defaults(command=command)
        return added

    up = add("up", _up, "install what is missing, start everything, wait until it is ready", _ABOUT_PORTS)
    up.add_argument("--servers-only", action="store_true", help="without API, relay, worker and consumer")
    add("down", _down, "stop everything gracefully; data stays")
    status = add("status", _status, "state, pid and address of each program; exit code 3 unless all run")
    status.add_argument("--json", action="store_true", help="for programs")
    logs = add("logs", _logs, "what the programs said last")
    logs.add_argument("program", nargs="?", help="only this program")
    logs.add_argument("-f", "--follow", action="store_true", help="go on as lines come in")
    reset = add("reset", _reset, "stop everything and delete the stack's data")
    reset.add_argument("--yes", action="store_true", help="do not ask")
    add("env", _env, "KEY=VALUE lines that a process needs to reach this stack")
    add("start", _start, "start one program and wait until it is ready").add_argument("program")
    add("stop", _stop, "stop one program and leave it stopped").add_argument("program")
    sofipo = add("sofipo", _sofipo, "run a command of the application with the stack's settings: sofipo doctor")
    sofipo.add_argument("arguments", nargs=argparse.REMAINDER, help="the command with its options")
    add("tools", _tools, "install the tools of the checks and print the folder of their programs")
    return parser


def _stack_name(text: str) -> str:
    if not re.fullmatch("[a-z0-9][a-z0-9-]{0,20}", text):
        raise argparse.ArgumentTypeError("use up to 21 lower-case letters, digits and hyphens")
    return text


if __name__ == "__main__":
    sys.exit(main())
