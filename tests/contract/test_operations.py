"""docs/operations.md holds against the code: settings, ports, health sentences, alarms, commands."""

import ast
import re
from collections.abc import Iterator

import ports
import pytest
import typer
from backend_api.cli.commands import app
from backend_api.settings import Settings
from event_consumer.envelope import Reason
from event_consumer.settings import Settings as ConsumerSettings
from pydantic import SecretStr
from pydantic.fields import FieldInfo
from sandbox_gateway.settings import Settings as SandboxSettings

from tests.support.documents import ROOT, table

DOCUMENT = "docs/operations.md"
TEXT = (ROOT / DOCUMENT).read_text("utf-8")
LEVELS = {"warning": "warning", "error": "error", "exception": "error", "critical": "critical"}
TROUBLES = ("broker", "couchdb", "policy")
SERVICES = {"A": Settings.model_fields, "C": ConsumerSettings.model_fields, "G": SandboxSettings.model_fields}
FIELDS = [
    pytest.param(service, name.upper(), field, id=f"{service}-{name.upper()}")
    for service, fields in SERVICES.items()
    for name, field in fields.items()
]


def _modules() -> Iterator[ast.Module]:
    for package in ("backend-api/backend_api", "backend-api/sandbox_gateway", "event-consumer/event_consumer"):
        for path in sorted((ROOT / package).rglob("*.py")):
            yield ast.parse(path.read_text("utf-8"))


def _calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """Every call with the last part of the name that is called."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func).rpartition(".")[2], node


def _alarms() -> Iterator[tuple[str, str]]:
    """Event and level of everything the programs log from `warning` on."""
    for module in _modules():
        for name, call in _calls(module):
            if not call.args or not isinstance(call.args[0], ast.Constant):
                continue
            event = str(call.args[0].value)
            if name == "Complaint":
                yield event, "warning"
            elif name in LEVELS and ast.unparse(call.func) == f"log.{name}":
                yield event, LEVELS[name]


def _sentences() -> Iterator[str]:
    """What the health checks may complain of, with … for what is known only then."""
    for module in _modules():
        for name, call in _calls(module):
            given = {keyword.arg: keyword.value for keyword in call.keywords}
            if name == "Check" and {"status", "detail"} <= given.keys():
                if ast.literal_eval(given["status"]) != "ok":
                    yield _text(given["detail"])
            elif name == "CouchDBAway":
                yield _text(call.args[0])
        for node in ast.walk(module):
            # The consumer's troubles: where they begin, and what becomes of them.
            if isinstance(node, (ast.Assign, ast.AnnAssign)) and isinstance(node.value, (ast.Constant, ast.JoinedStr)):
                target = node.targets[0] if isinstance(node, ast.Assign) else node.target
                if ast.unparse(target).rpartition(".")[2] in TROUBLES and _text(node.value):
                    yield _text(node.value)


def _text(node: ast.expr) -> str:
    """A literal text, with … in the place of what is filled in; nothing for what is no text."""
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) if isinstance(part, ast.Constant) else "…" for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _commands(command: object, prefix: str = "") -> Iterator[str]:
    """Names of all commands of the command line, groups before their own."""
    for name, child in sorted(getattr(command, "commands", {}).items()):
        if hasattr(child, "commands"):
            yield from _commands(child, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}"


def _code(cell: str) -> str:
    """What stands between the first backticks of a cell."""
    return cell.split("`")[1]


def _default(field: FieldInfo) -> str:
    """A default as the table writes it."""
    value = field.default.get_secret_value() if isinstance(field.default, SecretStr) else field.default
    if value is None:
        return "not set"
    if value in ("", ()):
        return "empty"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _for_service(cell: str, service: str) -> str:
    """The part of a cell that speaks of a service: `x` in A, `y` in C and S; all of it where no service is named."""
    parts = [part for part in cell.split(", ") if re.search(rf" in ([A-Z] and )*{service}\b", part)]
    return parts[0] if parts else cell


@pytest.fixture(scope="module")
def settings_table() -> dict[str, list[str]]:
    """Default, range, readers and meaning of every setting that the document names."""
    return {_code(row[0]): row[1:] for row in table(DOCUMENT, "## Settings")}


@pytest.mark.parametrize(("service", "name", "field"), FIELDS)
def test_a_setting_stands_there_with_its_default_and_range(
    service: str, name: str, field: FieldInfo, settings_table: dict[str, list[str]]
) -> None:
    default, span, readers, _ = settings_table[name]
    assert service in readers.split()
    assert _default(field) in _for_service(default, service), default
    for bound in (getattr(rule, side) for rule in field.metadata for side in ("ge", "le") if hasattr(rule, side)):
        assert re.search(rf"\b{bound}\b", span), span


def test_no_setting_stands_there_that_nobody_reads(settings_table: dict[str, list[str]]) -> None:
    read = {name.upper() for fields in SERVICES.values() for name in fields}
    read |= set(re.findall(r"\$\{(\w+)[:}-]", (ROOT / "docker-compose.yml").read_text("utf-8"))) | {"PORT_OFFSET"}
    assert settings_table.keys() <= read


def test_what_can_be_set_for_the_whole_stack_stands_there(settings_table: dict[str, list[str]]) -> None:
    example = (ROOT / ".env.example").read_text("utf-8")
    assert set(re.findall(r"^#?([A-Z_]+)=", example, re.MULTILINE)) <= settings_table.keys()


def test_the_ports_are_those_of_make_up() -> None:
    assert {int(row[0]) for row in table(DOCUMENT, "## Ports")} == {port for port, _ in ports.BASE.values()}


def test_every_alarm_stands_there_with_its_level() -> None:
    said = {_code(row[0]): row[1] for row in table(DOCUMENT, "## Alarms")}
    assert said == dict(_alarms())


def test_every_sentence_of_the_health_checks_stands_there() -> None:
    sentences = set(_sentences())
    assert len(sentences) > 10
    assert [sentence for sentence in sentences if f'"{sentence}"' not in TEXT] == []


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_for_parking_stands_there(reason: Reason) -> None:
    assert f"`{reason.value}`" in TEXT


def test_the_commands_are_those_of_sofipo() -> None:
    said = {_code(row[0]) for row in table(DOCUMENT, "# Operations")}
    assert said == {f"sofipo {name}" for name in _commands(typer.main.get_command(app))}
