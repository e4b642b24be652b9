"""A space: pages for one kind of people, with their own entrance, cookies and words."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fastapi import Request

from backend_api.auth.permissions import Permission
from backend_api.auth.principal import Principal
from backend_api.domain.errors import DomainError
from backend_api.pages.words import Words


@dataclass(frozen=True)
class Place:
    """Where the menu leads: a path below the space's, what it is called, and what one needs to see it, None if only
    to be signed in."""

    path: str
    title: str
    permission: Permission | None


@dataclass(frozen=True)
class Space:
    """What a space has of its own. Its templates extend the shared ones, and `base.html` of them is its frame."""

    base: str
    """The path below which all of it lies."""
    cookies: str
    """What the names of its cookies begin with."""
    templates: Path
    words: Words
    menu: tuple[Place, ...]
    admits: Callable[[Principal], bool]
    """Whether somebody who signed in has anything to do here."""
    stranger: type[DomainError]
    """What they are told otherwise."""

    @property
    def access(self) -> str:
        """The cookie of the access token."""
        return f"{self.cookies}_access"

    @property
    def refresh(self) -> str:
        """The cookie of the refresh token."""
        return f"{self.cookies}_refresh"

    @property
    def visit(self) -> str:
        """The cookie of who has not signed in yet."""
        return f"{self.cookies}_visita"


def space_of(request: Request) -> Space:
    """The space whose page was asked for."""
    space: Space = request.state.space
    return space
