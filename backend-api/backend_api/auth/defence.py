"""Against guessing: whoever fails has to wait, longer each time and never for ever.

Failures are counted by account, by address and by network, in the primary. The first ones cost nothing; then the wait
begins at a second and doubles up to a quarter of an hour. It is forgotten after an hour without a failure. An account
is counted apart for each address from which its user has signed in before: who guesses elsewhere does not lock them
out. What is refused for being early is not counted, nor is the password looked at.
"""

from datetime import datetime
from hashlib import sha256
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from math import ceil

from backend_api.db.pools import Connection
from backend_api.domain.errors import DomainError

FREE_FOR_ACCOUNT = 10
FREE_FOR_ADDRESS = 50
FREE_FOR_NETWORK = 250
LONGEST_WAIT_SECONDS = 900

BLOCKED = "SELECT max(blocked_until) FROM login_failures WHERE subject = ANY ($1) AND blocked_until > $2"
# In the order of the array, which is the same for everybody, so that two never wait for each other in a circle.
COUNT = f"""
INSERT INTO login_failures AS f (subject, failures, last_at, blocked_until)
SELECT subject, 1, $3::timestamptz, $3
  FROM unnest($1::text[], $2::int[]) WITH ORDINALITY AS w (subject, free, place) ORDER BY place
ON CONFLICT (subject) DO UPDATE
   SET failures = CASE WHEN f.last_at < $3 - interval '1 hour' THEN 1 ELSE f.failures + 1 END,
       last_at = $3,
       blocked_until = CASE WHEN f.last_at < $3 - interval '1 hour' THEN $3 ELSE $3 + interval '1 s' * (
           SELECT CASE WHEN f.failures < w.free THEN 0
                       ELSE least({LONGEST_WAIT_SECONDS}, 2 ^ least(f.failures - w.free, 20)) END
             FROM unnest($1::text[], $2::int[]) AS w (subject, free) WHERE w.subject = excluded.subject) END
"""  # noqa: S608 - a constant
FORGET_ACCOUNT = "DELETE FROM login_failures WHERE subject = $1"
FORGET = "DELETE FROM login_failures WHERE last_at < $1"


class SignInDelayed(DomainError):
    """Too many failures: it may be tried again after `retry_after` seconds."""

    code = "sign_in_delayed"
    status = 429
    message = "Too many attempts have failed: wait before the next one."

    def __init__(self, retry_after: int) -> None:
        super().__init__()
        self.retry_after = retry_after


class Attempt:
    """An attempt to sign in as `username` from `address`; `familiar` if this user has done so before."""

    def __init__(self, username: str, address: str, *, familiar: bool) -> None:
        # By its hash: people type passwords into the field for the name.
        account = sha256(username.casefold().encode()).hexdigest()[:32]
        self.account = f"account:{account}@{address}" if familiar else f"account:{account}"
        self._subjects = [self.account, f"address:{address}", f"network:{network(address)}"]

    async def refuse_early(self, connection: Connection, now: datetime) -> None:
        """Raises `SignInDelayed` while somebody has to wait."""
        until: datetime | None = await connection.fetchval(BLOCKED, self._subjects, now)
        if until is not None:
            raise SignInDelayed(max(1, ceil((until - now).total_seconds())))

    async def judge(self, connection: Connection, now: datetime, *, fits: bool) -> None:
        """Count it if the password did not fit. Raises `SignInDelayed`, whether it did or not, when others have failed
        while this one waited to be looked at: many at once tell no more than one after the other."""
        await self.refuse_early(connection, now)
        if not fits:
            await self.failed(connection, now)

    async def failed(self, connection: Connection, now: datetime) -> None:
        """Count it."""
        await connection.execute(COUNT, self._subjects, [FREE_FOR_ACCOUNT, FREE_FOR_ADDRESS, FREE_FOR_NETWORK], now)

    async def succeeded(self, connection: Connection) -> None:
        """Forget the failures of the account; an address with many users goes on waiting."""
        await connection.execute(FORGET_ACCOUNT, self.account)


async def forget(connection: Connection, before: datetime) -> None:
    """Delete what has not failed since."""
    await connection.execute(FORGET, before)


def network(address: str) -> str:
    """The /24 of an IPv4 address, the /48 of an IPv6 one; what is no address stands for itself."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    if isinstance(parsed, IPv6Address):
        return str(IPv6Network((int(parsed), 48), strict=False))
    return str(IPv4Network((int(parsed), 24), strict=False))
