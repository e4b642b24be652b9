"""Signed opaque strings (cursors, consistency tokens): readable by nobody's client, changeable by nobody but us."""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from hashlib import sha256

SIGNATURE_BYTES = 16


class SignatureInvalidError(Exception):
    """The string was not made by us, for this purpose and audience."""


class Signer:
    """Signs with a key derived for one purpose, so that a cursor can never pass for a token.

    The first secret signs; what the others signed is still taken, so that a secret can be changed.
    """

    def __init__(self, secrets: Sequence[str], purpose: str) -> None:
        self._keys = [derive(secret, purpose) for secret in secrets]

    def sign(self, payload: bytes, audience: str = "") -> str:
        """The payload, signed for an audience: whoever presents it must verify with the same one."""
        return _spelled(_mac(self._keys[0], payload, audience) + payload)

    def verify(self, signed: str, audience: str = "") -> bytes:
        """The payload. Raises `SignatureInvalidError`."""
        try:
            raw = urlsafe_b64decode(signed.encode("ascii") + b"=" * (-len(signed) % 4))
        except ValueError as error:
            raise SignatureInvalidError from error
        mac, payload = raw[:SIGNATURE_BYTES], raw[SIGNATURE_BYTES:]
        # Comparing the spelling too: base64 has several spellings of one value, we issue one.
        if _spelled(raw) != signed or not any(
            hmac.compare_digest(mac, _mac(key, payload, audience)) for key in self._keys
        ):
            raise SignatureInvalidError
        return payload


def derive(secret: str, purpose: str, salt: bytes = b"") -> bytes:
    """A key of 64 bytes for one purpose from a secret: HKDF with SHA-512 (RFC 5869), whose first block it is."""
    return hmac.digest(hmac.digest(salt or bytes(64), secret.encode(), "sha512"), purpose.encode() + b"\x01", "sha512")


def _spelled(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def _mac(key: bytes, payload: bytes, audience: str) -> bytes:
    message = len(audience.encode()).to_bytes(4, "big") + audience.encode() + payload
    return hmac.digest(key, message, sha256)[:SIGNATURE_BYTES]
