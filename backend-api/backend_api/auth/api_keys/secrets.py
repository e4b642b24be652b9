"""The form of an API key: `sofipo_live_<public id>_<secret>`, of which only an HMAC is stored.

The secret has 256 random bits, so a fast hash is enough; the pepper makes a stolen table useless by itself.
"""

import hmac
import re
from dataclasses import dataclass
from secrets import token_hex

from backend_api.http.signing import derive
from backend_api.settings import Settings

PREFIX = "sofipo_live"
_FORM = re.compile(rf"{PREFIX}_([0-9a-f]{{12}})_([0-9a-f]{{64}})")


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made: all of it, and what of it is stored."""

    text: str
    public_id: str
    secret_hash: bytes


class Pepper:
    """Makes and recognises keys."""

    def __init__(self, settings: Settings) -> None:
        self._key = derive(settings.api_key_pepper.get_secret_value(), "api-key")

    def new_key(self, public_id: str | None = None) -> NewKey:
        """A new key, or a new secret for one."""
        public_id, secret = public_id or token_hex(6), token_hex(32)
        return NewKey(f"{PREFIX}_{public_id}_{secret}", public_id, self.hash(secret))

    def hash(self, secret: str) -> bytes:
        """What is stored of a secret."""
        return hmac.digest(self._key, secret.encode(), "sha256")


def parts(key: str) -> tuple[str, str] | None:
    """Public id and secret; None for what has not the form of a key."""
    found = _FORM.fullmatch(key)
    return (found[1], found[2]) if found else None
