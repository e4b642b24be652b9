"""Access tokens: short-lived JWTs with one algorithm and every claim required (RFC 8725)."""

import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from uuid import UUID, uuid4

import jwt

from backend_api.auth.permissions import Role
from backend_api.settings import Settings

TYPE = "at+jwt"
REMEMBERED_TOKENS = 4096
LEEWAY_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls. `actor` is how events and stored answers name them."""

    user_id: UUID
    username: str
    role: Role
    expires_at: float

    @property
    def actor(self) -> str:
        """`user:<id>`."""
        return f"user:{self.user_id}"


class Tokens:
    """Issues and checks access tokens with a key derived for this purpose alone."""

    def __init__(self, settings: Settings) -> None:
        self._key = hmac.digest(settings.api_secret_key.get_secret_value().encode(), b"access-token", sha256)
        self._kid = sha256(self._key).hexdigest()[:8]
        self._algorithm = settings.api_algorithm
        self._issuer = settings.token_issuer
        self._audience = settings.token_audience
        self._lifetime = timedelta(minutes=settings.api_access_token_expire_minutes)
        self._verified: dict[str, Principal] = {}

    @property
    def lifetime_seconds(self) -> int:
        """How long a token is valid."""
        return int(self._lifetime.total_seconds())

    def issue(self, user_id: UUID, username: str, role: Role, now: datetime) -> str:
        """A signed token for this user."""
        claims = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": str(user_id),
            "jti": str(uuid4()),
            "iat": now,
            "exp": now + self._lifetime,
            "name": username,
            "role": role.value,
        }
        return jwt.encode(claims, self._key, self._algorithm, headers={"kid": self._kid, "typ": TYPE})

    def verify(self, token: str, now: datetime) -> Principal | None:
        """Whom the token names, or None for whatever is not a valid token of ours.

        A verified token is remembered until it expires: checking the signature costs more than all the rest of a read.
        """
        principal = self._verified.get(token)
        if principal is None:
            principal = self._decode(token)
            if principal is None:
                return None
            if len(self._verified) >= REMEMBERED_TOKENS:
                self._verified.clear()
            self._verified[token] = principal
        return principal if now.timestamp() < principal.expires_at + LEEWAY_SECONDS else None

    def _decode(self, token: str) -> Principal | None:
        try:
            header = jwt.get_unverified_header(token)
            if header.get("kid") != self._kid or header.get("typ") != TYPE:
                return None
            claims = jwt.decode(
                token,
                self._key,
                algorithms=[self._algorithm],
                issuer=self._issuer,
                audience=self._audience,
                leeway=LEEWAY_SECONDS,
                options={"require": ["iss", "aud", "sub", "jti", "iat", "exp"]},
            )
            return Principal(UUID(claims["sub"]), str(claims["name"]), Role(claims["role"]), float(claims["exp"]))
        except (jwt.InvalidTokenError, KeyError, ValueError):
            return None
