"""Passwords: Argon2id in few threads, so that a storm of logins starves neither the loop nor the other requests."""

import asyncio

from passlib.context import CryptContext

CONCURRENT_HASHES = 2
MAX_PASSWORD_LENGTH = 128

# 19 MiB, two passes, one lane: OWASP's minimum for Argon2id, about 25 ms on one core.
_context = CryptContext(schemes=["argon2"], argon2__memory_cost=19456, argon2__time_cost=2, argon2__parallelism=1)
_turns = asyncio.Semaphore(CONCURRENT_HASHES)
_unknown: list[str] = []


async def hash_password(password: str) -> str:
    """The Argon2id string to store."""
    async with _turns:
        return str(await asyncio.to_thread(_context.hash, password))


async def verify_password(password: str, stored: str | None) -> bool:
    """Whether the password fits. An unknown user (None) costs the same time as a known one."""
    if stored is None:
        if not _unknown:
            _unknown.append(await hash_password("nobody has this password"))
        await verify_password(password, _unknown[0])
        return False
    async with _turns:
        return bool(await asyncio.to_thread(_context.verify, password, stored))
