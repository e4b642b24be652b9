"""The programs of a stack: how each is started, stopped and asked whether it is ready.

All processes get one environment. The order of the list is the order of the start; they stop in reverse.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import machine
import probes
from places import Stack
from settings import LOOPBACK

PROTOCOL = "backend_api.http.protocol:PatientProtocol"
# None when ready, else what is missing.
Readiness = Callable[[], str | None]
# Takes a port and a question in SQL; returns the answer or raises OSError with the server's reason.
AskPostgres = Callable[[int, str], str]


@dataclass(frozen=True)
class Program:
    """One supervised process."""

    name: str
    command: tuple[str, ...]
    listeners: tuple[str, ...]
    address: str
    ready: Readiness
    stop_signal: str = "TERM"
    stop_seconds: int = 20


def environment(stack: Stack, settings: Mapping[str, str], ports: Mapping[str, int]) -> dict[str, str]:
    """The environment of every process: the settings, where programs are, and what Erlang reads from nowhere else."""
    path = [str(machine.postgres_folder()), "/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/bin"]
    return {
        "PATH": os.pathsep.join(path),
        "HOME": str(stack.run),
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "COUCHDB_DATA": str(stack.data / "couchdb"),
        "RABBITMQ_NODENAME": f"sofipo-{stack.name}@localhost",
        "RABBITMQ_CONFIG_FILE": str(stack.config / "rabbitmq.conf"),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(stack.config / "rabbitmq-advanced.config"),
        "RABBITMQ_CONF_ENV_FILE": str(stack.config / "rabbitmq-env.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(stack.config / "rabbitmq-plugins"),
        "RABBITMQ_MNESIA_BASE": str(stack.data / "rabbitmq"),
        "RABBITMQ_LOG_BASE": str(stack.logs),
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_DIST_PORT": str(ports["erlang-distribution"]),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        # The start script then becomes the server, instead of a parent whose death would orphan it.
        "RUNNING_UNDER_SYSTEMD": "true",
        "ERL_EPMD_PORT": str(ports["epmd"]),
        "ERL_EPMD_ADDRESS": LOOPBACK,
        **settings,
    }


def configuration(settings: Mapping[str, str], ports: Mapping[str, int]) -> dict[str, str]:
    """Contents of the generated configuration files, by file name."""
    return {
        "redis.conf": f"""\
bind {LOOPBACK}
port {ports["redis"]}
protected-mode yes
requirepass {_quoted(settings["REDIS_PASSWORD"])}
save ""
appendonly no
maxmemory 256mb
maxmemory-policy noeviction
daemonize no
""",
        "rabbitmq.conf": f"""\
listeners.tcp.1 = {LOOPBACK}:{ports["amqp"]}
management.tcp.ip = {LOOPBACK}
management.tcp.port = {ports["rabbitmq-management"]}
default_user = {settings["RABBITMQ_DEFAULT_USER"]}
default_pass = {settings["RABBITMQ_DEFAULT_PASS"]}
# The usual half gigabyte of write-ahead log for quorum queues is too much for a laptop.
raft.wal_max_size_bytes = 64000000
log.console = true
log.console.level = info
log.file = false
""",
        "rabbitmq-advanced.config": "[].\n",
        "rabbitmq-env.conf": "",
        "rabbitmq-plugins": "[rabbitmq_management].\n",
    }


def servers(
    stack: Stack, settings: Mapping[str, str], ports: Mapping[str, int], ask_postgres: AskPostgres, files: Path
) -> list[Program]:
    """The five servers, and Erlang's port mapper."""

    def rabbitmq() -> str | None:
        management = ports["rabbitmq-management"]
        login = settings["RABBITMQ_DEFAULT_USER"], settings["RABBITMQ_DEFAULT_PASS"]
        return probes.tcp(ports["amqp"]) or probes.http_ok(management, "/api/health/checks/virtual-hosts", *login)

    postgres_options = ("-c", f"listen_addresses={LOOPBACK}", "-c", "unix_socket_directories=")
    return [
        Program(
            "postgres-primary",
            (
                "postgres",
                "-D",
                str(stack.data / "primary"),
                "-p",
                str(ports["primary"]),
                *postgres_options,
            ),
            ("primary",),
            f"{LOOPBACK}:{ports['primary']}",
            lambda: _expect(ask_postgres, ports["primary"], "SELECT pg_is_in_recovery()", "f"),
            stop_signal="INT",
        ),
        Program(
            "postgres-replica",
            (
                "/usr/bin/env",
                f"PGDATA={stack.data / 'replica'}",
                str(files / "postgres-replica-config/init-db.sh"),
                *("-p", str(ports["replica"])),
                *postgres_options,
            ),
            ("replica",),
            f"{LOOPBACK}:{ports['replica']}",
            lambda: _expect(ask_postgres, ports["replica"], "SELECT status FROM pg_stat_wal_receiver", "streaming"),
            stop_signal="INT",
        ),
        Program(
            "redis",
            ("redis-server", str(stack.config / "redis.conf"), "--dir", str(stack.data / "redis")),
            ("redis",),
            f"{LOOPBACK}:{ports['redis']}",
            lambda: probes.redis(ports["redis"], settings["REDIS_PASSWORD"]),
        ),
        Program(
            "epmd",
            ("epmd", "-port", str(ports["epmd"]), "-address", LOOPBACK),
            ("epmd",),
            f"{LOOPBACK}:{ports['epmd']}",
            lambda: probes.tcp(ports["epmd"]),
        ),
        Program(
            "rabbitmq",
            (str(machine.rabbitmq_server()),),
            ("amqp", "rabbitmq-management", "erlang-distribution"),
            f"http://{LOOPBACK}:{ports['rabbitmq-management']}",
            rabbitmq,
            stop_seconds=40,
        ),
        Program(
            "couchdb",
            (str(machine.node()), str(files.parent / "couchdb-stand-in" / "server.js")),
            ("couchdb",),
            f"http://{LOOPBACK}:{ports['couchdb']}/_utils/",
            lambda: probes.http_ok(ports["couchdb"], "/_up"),
        ),
    ]


def services(
    stack: Stack,
    programs: Path,
    settings: Mapping[str, str],
    ports: Mapping[str, int],
    ask_postgres: AskPostgres,
    files: Path,
) -> list[Program]:
    """The API, the relay, the worker, the consumer and, in development, the sandbox of a payment gateway."""

    def relay() -> str | None:
        question = "SELECT EXISTS (SELECT FROM relay_lease WHERE heartbeat_at > clock_timestamp() - interval '5 s')"
        return _expect(ask_postgres, ports["primary"], question, "t")

    def worker() -> str | None:
        question = (
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'sofipo-worker'"
            " AND query_start > clock_timestamp() - interval '5 s')"
        )
        return _expect(ask_postgres, ports["primary"], question, "t")

    python = str(programs / "python")
    alone = (python, str(files / "local-stack/start_alone.py"), str(stack.run / "api.group"))
    uvicorn = ("uvicorn", "backend_api.app:create_app", "--factory", "--host", LOOPBACK, "--port", str(ports["api"]))
    limits = ("--workers", "2", "--loop", "uvloop", "--http", PROTOCOL, "--timeout-graceful-shutdown", "10")
    logging = ("--log-config", str(files / "backend-api/backend_api/server_logging.json"))
    sandbox = Program(
        "sandbox-gateway",
        (python, "-m", "sandbox_gateway"),
        ("sandbox-gateway",),
        f"http://{LOOPBACK}:{ports['sandbox-gateway']}",
        lambda: probes.http_ok(ports["sandbox-gateway"], "/livez"),
    )
    return [
        Program(
            "api",
            (
                *alone,
                python,
                "-m",
                *uvicorn,
                *limits,
                *logging,
                "--no-access-log",
                "--no-server-header",
                "--no-proxy-headers",
            ),
            ("api",),
            f"http://{LOOPBACK}:{ports['api']}/docs",
            lambda: probes.http_ok(ports["api"], "/readyz"),
        ),
        Program("relay", (python, "-m", "backend_api.cli", "relay"), (), "", relay),
        Program("worker", (python, "-m", "backend_api.cli", "worker"), (), "", worker),
        Program(
            "consumer",
            (python, "-m", "event_consumer"),
            ("consumer-health",),
            f"http://{LOOPBACK}:{ports['consumer-health']}",
            lambda: probes.http_ok(ports["consumer-health"], "/readyz"),
        ),
        *([sandbox] if settings["ENVIRONMENT"] == "development" else []),
    ]


def _expect(ask_postgres: AskPostgres, port: int, question: str, expected: str) -> str | None:
    try:
        answer = ask_postgres(port, question)
    except OSError as error:
        return str(error)
    return None if answer == expected else f"the answer to {question!r} is {answer!r}"


def _quoted(text: str) -> str:
    """A string in the syntax of redis.conf."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
