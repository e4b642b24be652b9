"""Signed opaque strings (cursors, consistency tokens): readable by nobody's client, changeable by nobody but us."""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256

SIGNATURE_BYTES = 16


class SignatureInvalidError(Exception):
    """The string was not made by us, for this purpose and audience."""


class Signer:
    """Signs with a key derived for one purpose, so that a cursor can never pass for a token."""

    def __init__(self, secret: str, purpose: str) -> None:
        self._key = hmac.digest(secret.encode(), purpose.encode(), "sha256")

    def sign(self, payload: bytes, audience: str = "") -> str:
        """The payload, signed for an audience: whoever presents it must verify with the same one."""
        return urlsafe_b64encode(self._mac(payload, audience) + payload).rstrip(b"=").decode()

    def verify(self, signed: str, audience: str = "") -> bytes:
        """The payload. Raises `SignatureInvalidError`."""
        try:
            raw = urlsafe_b64decode(signed.encode("ascii") + b"=" * (-len(signed) % 4))
        except ValueError as error:
            raise SignatureInvalidError from error
        mac, payload = raw[:SIGNATURE_BYTES], raw[SIGNATURE_BYTES:]
        # Comparing the spelling too: base64 has several spellings of one value, we issue one.
        if not hmac.compare_digest(mac, self._mac(payload, audience)) or self.sign(payload, audience) != signed:
            raise SignatureInvalidError
        return payload

    def _mac(self, payload: bytes, audience: str) -> bytes:
        message = len(audience.encode()).to_bytes(4, "big") + audience.encode() + payload
        return hmac.digest(self._key, message, sha256)[:SIGNATURE_BYTES]
