"""Passwords: what they have to be, and Argon2id in a thread of its own, so that a storm of logins starves nobody."""

import asyncio
import os
import threading
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

from passlib.context import CryptContext

from backend_api.domain.errors import DomainError
from backend_api.http.problems import Busy, FieldError

CONCURRENT_HASHES = 1
WAITING_HASHES = 20
"""Longer than this in the queue would be most of a second: whoever comes then is told to try again."""
MIN_PASSWORD_LENGTH = 12
MAX_PASSWORD_LENGTH = 128
GIVEN_WAY = 10
"""How much the thread that hashes gives way to the event loop (nice), which answers everybody else."""

# 19 MiB, two passes, one lane: OWASP's minimum for Argon2id, about 25 ms on one core.
_context = CryptContext(schemes=["argon2"], argon2__memory_cost=19456, argon2__time_cost=2, argon2__parallelism=1)
# The 3000 most frequent passwords, and those of 12 characters and more among the 20 000 most frequent, by the list that
# Django carries.
_COMMON = Path(__file__).parent / "common_passwords.txt"

Result = TypeVar("Result")


class PasswordRefused(DomainError):
    """A new password breaks a rule; `code` of the field says which."""

    code = "password_refused"
    status = 422
    message = "The new password is not strong enough."

    def __init__(self, code: str, detail: str) -> None:
        super().__init__()
        self.errors = [FieldError(pointer="/new_password", code=code, detail=detail)]


def check_password(password: str, username: str) -> None:
    """Raises `PasswordRefused` for a new password that is short, or known to those who guess."""
    if not MIN_PASSWORD_LENGTH <= len(password) <= MAX_PASSWORD_LENGTH:
        span = f"{MIN_PASSWORD_LENGTH} to {MAX_PASSWORD_LENGTH}"
        raise PasswordRefused("password_length", f"A password has {span} characters.")
    folded = password.casefold()
    # "Password2026!" is "password" to those who guess, and "abcabcabcabc" is "abc".
    core = folded.strip("".join(sign for sign in set(folded) if not sign.isalpha()))
    if {folded, core} & _common() or _is_repeated(folded) or _is_run(folded):
        raise PasswordRefused("password_common", "This password is among the first that are tried.")
    if len(username) > 3 and username.casefold() in folded and len(folded) - len(username) < MIN_PASSWORD_LENGTH:
        raise PasswordRefused("password_is_username", "The password is little more than the user name.")


async def hash_password(password: str) -> str:
    """The Argon2id string to store. Raises `Busy` when too many wait."""
    return str(await _in_turn(lambda: _context.hash(_plain(password))))


async def verify_password(password: str, stored: str | None) -> bool:
    """Whether the password fits. An unknown user (None) costs the same time as a known one. Raises `Busy`."""
    fits = await _in_turn(lambda: _context.verify(_plain(password), stored or _nobody()))
    return bool(fits) and stored is not None


async def _in_turn(work: Callable[[], Result]) -> Result:
    global _waiting
    if _waiting >= CONCURRENT_HASHES + WAITING_HASHES:
        raise Busy
    _waiting += 1
    try:
        return await asyncio.get_running_loop().run_in_executor(_threads(), work)
    finally:
        _waiting -= 1


_waiting = 0


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(CONCURRENT_HASHES, "argon2", initializer=_give_way)


def _give_way() -> None:
    with suppress(OSError):  # only Linux knows threads by their number
        of_process = os.getpriority(os.PRIO_PROCESS, 0)
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), of_process + GIVEN_WAY)


@cache
def _nobody() -> str:
    return str(_context.hash("nobody has this password"))


@cache
def _common() -> frozenset[str]:
    return frozenset(_COMMON.read_text("utf-8").splitlines())


def _plain(password: str) -> str:
    """One spelling of what a keyboard may send in two."""
    return unicodedata.normalize("NFC", password)


def _is_repeated(text: str) -> bool:
    return any(text == (text[:size] * len(text))[: len(text)] for size in range(1, 5))


def _is_run(text: str) -> bool:
    """Whether every character follows the one before, as in 123456789012 or abcdefghijkl."""
    steps = {(ord(after) - ord(before)) % 10 for before, after in pairwise(text)}
    return steps <= {1} or steps <= {9}
