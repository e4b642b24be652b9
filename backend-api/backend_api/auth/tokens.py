"""Access tokens: short-lived JWTs with one algorithm and every claim required (RFC 8725), and the keys that sign them.

A key is derived from a secret of the settings and a salt. The first salt is none, so that a new installation needs no
row; `sofipo keys rotate` adds others, see `auth.feed` for how processes learn of them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from uuid import UUID, uuid4

import jwt

from backend_api.auth.permissions import PERMISSIONS, Role
from backend_api.auth.principal import Principal
from backend_api.http.signing import derive
from backend_api.settings import Settings

TYPE = "at+jwt"
PURPOSE = "access-token"
REMEMBERED_TOKENS = 4096
LEEWAY_SECONDS = 30
LONGEST_LIFE = timedelta(minutes=30)
"""No setting makes a token live longer, see `Settings.api_access_token_expire_minutes`."""
KEPT_AFTER_SUCCESSOR = LONGEST_LIFE + timedelta(minutes=5)
"""How long a key verifies after the next one began to sign: longer than the last token it signed lives."""
REQUIRED = ["iss", "aud", "sub", "jti", "iat", "exp"]


@dataclass(frozen=True, slots=True)
class _Key:
    kid: str
    secret: bytes
    signs_from: float
    verifies_until: float


class KeyRing:
    """The keys in force. Until `learn` was called it holds the first one of each secret."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = tuple(secrets)
        self._signing: list[_Key] = []
        self._verifying: dict[str, _Key] = {}
        self._salts: frozenset[bytes] = frozenset()
        self.learn([])

    def learn(self, salts: Iterable[tuple[bytes, datetime]]) -> None:
        """The salts that there are, with when they begin to sign."""
        salts = list(salts)
        self._salts = frozenset(salt for salt, _ in salts)
        begins = [(b"", 0.0), *sorted(((salt, since.timestamp()) for salt, since in salts), key=lambda each: each[1])]
        ends = [since + KEPT_AFTER_SUCCESSOR.total_seconds() for _, since in begins[1:]] + [float("inf")]
        made: list[list[_Key]] = []
        for secret in self._secrets:
            keys = []
            for (salt, since), until in zip(begins, ends, strict=True):
                key = derive(secret, PURPOSE, salt)
                keys.append(_Key(sha256(key).hexdigest()[:8], key, since, until))
            made.append(keys)
        self._signing = made[0]
        self._verifying = {key.kid: key for keys in made for key in keys}

    def knows(self, salt: bytes) -> bool:
        """Whether a key of this salt is in force."""
        return salt in self._salts

    def signing(self, now: float) -> _Key:
        """The key that signs: the newest one of the first secret whose time has come."""
        return next(key for key in reversed(self._signing) if key.signs_from <= now)

    def verifying(self, kid: object, now: float) -> bytes | None:
        """The key of this name, unless its last token has run out."""
        key = self._verifying.get(kid) if isinstance(kid, str) else None
        return key.secret if key is not None and now < key.verifies_until else None


class Tokens:
    """Issues and checks access tokens."""

    def __init__(self, settings: Settings) -> None:
        self.keys = KeyRing(settings.secrets)
        self._algorithm = settings.api_algorithm
        self._issuer = settings.token_issuer
        self._audience = settings.token_audience
        self._lifetime = timedelta(minutes=settings.api_access_token_expire_minutes)
        self._verified: dict[str, Principal] = {}

    @property
    def lifetime_seconds(self) -> int:
        """How long a token is valid."""
        return int(self._lifetime.total_seconds())

    def issue(
        self,
        user_id: UUID,
        username: str,
        role: Role,
        now: datetime,
        *,
        epoch: int = 1,
        session_id: UUID | None = None,
        client_id: UUID | None = None,
    ) -> str:
        """A signed token for this user in this session; `epoch` is the user's."""
        claims = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": str(user_id),
            "jti": str(uuid4()),
            "iat": now,
            "exp": now + self._lifetime,
            "name": username,
            "role": role.value,
            "epoch": epoch,
        }
        if session_id is not None:
            claims["sid"] = str(session_id)
        if client_id is not None:
            claims["client"] = str(client_id)
        key = self.keys.signing(now.timestamp())
        return jwt.encode(claims, key.secret, self._algorithm, headers={"kid": key.kid, "typ": TYPE})

    def verify(self, token: str, now: datetime) -> Principal | None:
        """Whom the token names, or None for whatever is not a valid token of ours.

        A verified token is remembered until it expires: checking the signature costs more than all the rest of a read.
        """
        principal = self._verified.get(token)
        if principal is None:
            principal = self._decode(token, now)
            if principal is None:
                return None
            if len(self._verified) >= REMEMBERED_TOKENS:
                self._verified.clear()
            self._verified[token] = principal
        return principal if now.timestamp() < principal.expires_at + LEEWAY_SECONDS else None

    def names_unknown_key(self, token: str, now: datetime) -> bool:
        """Whether it could be a token signed with a key that this process has not heard of yet."""
        try:
            header = jwt.get_unverified_header(token)
        except jwt.InvalidTokenError:
            return False
        kid = header.get("kid")
        return isinstance(kid, str) and len(kid) == 8 and self.keys.verifying(kid, now.timestamp()) is None

    def _decode(self, token: str, now: datetime) -> Principal | None:
        try:
            header = jwt.get_unverified_header(token)
            key = self.keys.verifying(header.get("kid"), now.timestamp())
            if key is None or header.get("typ") != TYPE:
                return None
            claims = jwt.decode(
                token,
                key,
                algorithms=[self._algorithm],
                issuer=self._issuer,
                audience=self._audience,
                leeway=LEEWAY_SECONDS,
                options={"require": REQUIRED},
            )
            role = Role(claims["role"])
            return Principal(
                user_id=UUID(claims["sub"]),
                username=str(claims["name"]),
                role=role,
                permissions=PERMISSIONS[role],
                expires_at=float(claims["exp"]),
                epoch=_number(claims["epoch"]),
                client_id=UUID(claims["client"]) if "client" in claims else None,
                session_id=UUID(claims["sid"]) if "sid" in claims else None,
            )
        except (jwt.InvalidTokenError, KeyError, ValueError, TypeError, AttributeError):
            return None


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError("an epoch is a whole number")  # noqa: TRY004 - caught beside the other broken claims
    return value
