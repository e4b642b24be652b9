"""Who calls, when a proxy stands between: only those proxies are believed that a setting names."""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address

from starlette.types import Scope

Network = IPv4Network | IPv6Network
REMEMBERED_ADDRESSES = 4096


class TrustedProxies:
    """The networks of the proxies in front of us; none by default, and then no header about others is read."""

    def __init__(self, networks: Sequence[Network]) -> None:
        self._networks = networks
        self._known: dict[str, bool] = {}

    def apply(self, scope: Scope) -> bool:
        """Put the caller's address and scheme into the scope; whether a trusted proxy told them.

        `X-Forwarded-For` is read from its end, where our own proxies have written: the first address that is none of
        them is the caller. What stands before it, anybody may have written.
        """
        peer = scope.get("client")
        if not self._networks or peer is None or not self.trusts(peer[0]):
            return False
        chain: list[str] = []
        for name, value in scope["headers"]:
            if name == b"x-forwarded-for":
                chain += value.decode("latin-1").split(",")
            elif name == b"x-forwarded-proto":
                proto = value.decode("latin-1").strip().lower()
                if proto in ("http", "https"):
                    scope["scheme"] = proto
        scope["client"] = (self._caller(chain, peer[0]), 0)
        return True

    def trusts(self, address: str) -> bool:
        """Whether this is the address of a trusted proxy."""
        known = self._known.get(address)
        if known is None:
            if len(self._known) >= REMEMBERED_ADDRESSES:
                self._known.clear()
            known = self._known[address] = _is_in(address, self._networks)
        return known

    def _caller(self, chain: Iterable[str], peer: str) -> str:
        caller = peer
        for part in reversed([part.strip() for part in chain]):
            try:
                caller = str(ip_address(part))
            except ValueError:
                # Not an address: whoever wrote it is the one before it.
                return caller
            if not self.trusts(caller):
                return caller
        return caller


def _is_in(address: str, networks: Sequence[Network]) -> bool:
    try:
        found = ip_address(address)
    except ValueError:
        return False
    return any(found in network for network in networks)
