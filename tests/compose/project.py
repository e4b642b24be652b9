"""The container engine, called as an operator calls it.

`COMPOSE` and `DOCKER` in the environment say how the two commands are called here.
"""

import asyncio
import json
import os
import shlex
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

COMPOSE = shlex.split(os.environ.get("COMPOSE", "docker compose"))
DOCKER = shlex.split(os.environ.get("DOCKER", "docker"))
FILES = ("docker-compose.yml", "tests/compose/published.yml")
SERVICES = (
    "postgres-primary", "postgres-replica", "redis", "rabbitmq", "couchdb", "backend-api", "relay", "worker",
    "event-consumer", "sandbox-gateway",
)  # fmt: skip
DEVELOPMENT_ONLY = ("sandbox-gateway",)
"""In production these end by themselves."""
ONCE = ("check-settings", "migrate", "couchdb-init")
"""These do their work and end."""


class CommandError(AssertionError):
    """A command ended with an exit code other than 0; the message is all it said."""


@dataclass(frozen=True)
class Project:
    """A compose project: its name, its copy of the repository, and its settings."""

    name: str
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    async def compose(self, *arguments: str, **environment: str) -> str:
        """`docker compose ARGUMENTS` with the project's settings and these."""
        files = [part for file in FILES for part in ("-f", file)]
        return await self.run(*COMPOSE, "-p", self.name, *files, *arguments, **environment)

    async def run(self, *command: str, **environment: str) -> str:
        """Any command in the project's folder; what it printed, standard error too."""
        return await run(*command, folder=self.folder, environment={**self.environment, **environment})

    async def down(self, *arguments: str) -> None:
        """Stop and remove the containers."""
        await self.compose("down", "--remove-orphans", *arguments)

    async def containers(self, service: str | None = None) -> list["Container"]:
        """The containers of a service or of all, running or ended, by their number."""
        labels = [f"com.docker.compose.project={self.name}", "com.docker.compose.oneoff=False"]
        labels += [f"com.docker.compose.service={service}"] if service else []
        filters = [part for label in labels for part in ("--filter", f"label={label}")]
        ids = (await docker("ps", "--all", "--quiet", "--no-trunc", *filters)).split()
        found = json.loads(await docker("inspect", *ids)) if ids else []
        return sorted((Container(one) for one in found), key=lambda one: one.number)

    async def container(self, service: str) -> "Container":
        """The one container of a service."""
        [found] = await self.containers(service)
        return found

    async def remove_volume(self, name: str) -> None:
        """Destroy a volume and what is in it."""
        await docker("volume", "rm", f"{self.name}_{name}")

    async def ailing(self) -> list[str]:
        """Every service that has no container, or one that is not running and healthy."""
        found = await self.containers()
        ended = DEVELOPMENT_ONLY if self.environment.get("ENVIRONMENT") == "production" else ()
        return [
            service
            for service in SERVICES
            if service not in ended
            if not (its := [one for one in found if one.service == service])
            or any(one.health != "healthy" for one in its)
        ]


@dataclass(frozen=True)
class Container:
    """A container as the engine described it when it was asked."""

    inspected: dict[str, Any]

    @property
    def id(self) -> str:
        """Its id."""
        return str(self.inspected["Id"])

    @property
    def service(self) -> str:
        """Its service."""
        return str(self._label("service"))

    @property
    def number(self) -> int:
        """Which of the service's containers it is, from 1."""
        return int(self._label("container-number"))

    @property
    def is_running(self) -> bool:
        """Whether it runs."""
        return bool(self.inspected["State"]["Running"])

    @property
    def exit_code(self) -> int:
        """How it ended."""
        return int(self.inspected["State"]["ExitCode"])

    @property
    def restarts(self) -> int:
        """How often the engine has started it again by itself."""
        return int(self.inspected["RestartCount"])

    @property
    def health(self) -> str:
        """`healthy`, `unhealthy` or `starting`; of one that does not run, how it ended."""
        state = self.inspected["State"]
        return str(state["Health"]["Status"]) if state["Running"] else str(state["Status"])

    @property
    def addresses(self) -> list[str]:
        """Its addresses in the project's network."""
        return [network["IPAddress"] for network in self.inspected["NetworkSettings"]["Networks"].values()]

    def published(self, port: int) -> int:
        """The port of this machine behind which its own one stands."""
        [binding] = self.inspected["NetworkSettings"]["Ports"][f"{port}/tcp"]
        return int(binding["HostPort"])

    async def kill(self, signal: str = "KILL") -> None:
        """Signal its first process; killed by hand, it stays down whatever its restart policy is."""
        await docker("kill", "--signal", signal, self.id)

    async def start(self) -> None:
        """Start it again."""
        await docker("start", self.id)

    async def execute(self, *command: str) -> str:
        """A command inside it."""
        return await docker("exec", self.id, *command)

    async def logs(self) -> str:
        """What its process has said."""
        return await docker("logs", self.id)

    async def check_health(self) -> str:
        """Run its health check now, as the engine would; raises `CommandError` when it fails or takes too long."""
        kind, *command = self.inspected["Config"]["Healthcheck"]["Test"]
        given = ["sh", "-c", *command] if kind == "CMD-SHELL" else command
        seconds = self.inspected["Config"]["Healthcheck"]["Timeout"] // 1_000_000_000
        return await self.execute("timeout", "-s", "KILL", str(seconds), *given)

    def _label(self, name: str) -> str:
        return str(self.inspected["Config"]["Labels"][f"com.docker.compose.{name}"])


async def docker(*arguments: str) -> str:
    """`docker ARGUMENTS`; what it printed, standard error too."""
    return await run(*DOCKER, *arguments)


async def run(*command: str, folder: Path | None = None, environment: dict[str, str] | None = None) -> str:
    """A command to its end; what it printed, standard error too. Raises `CommandError`."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env={**os.environ, **(environment or {})},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    if process.returncode:
        raise CommandError(f"{shlex.join(command)}: {output.decode()}")
    return output.decode()


async def clone(root: Path, target: Path) -> None:
    """Copy what git knows or would take of a working tree: a clone, with what is not committed yet."""
    listed = await run("git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", folder=root)
    for name in filter(None, listed.split("\0")):
        if (root / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, target / name)
