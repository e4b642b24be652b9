"""One table of who may do what; whatever is not in it is denied."""

from enum import StrEnum


class Role(StrEnum):
    """Roles of people who sign in. A `client` sees their own objects only."""

    ADMIN = "admin"
    OFFICER = "officer"
    AUDITOR = "auditor"
    CLIENT = "client"


class Permission(StrEnum):
    """What a call needs. The scopes of an API key are these."""

    CLIENTS_READ = "clients:read"
    CLIENTS_WRITE = "clients:write"
    LOANS_READ = "loans:read"
    LOANS_WRITE = "loans:write"
    PAYMENTS_READ = "payments:read"
    PAYMENTS_WRITE = "payments:write"
    APPROVALS_READ = "approvals:read"
    APPROVALS_DECIDE = "approvals:decide"
    PRODUCTS_READ = "products:read"
    PRODUCTS_WRITE = "products:write"
    IMPORTS_READ = "imports:read"
    IMPORTS_WRITE = "imports:write"
    PORTFOLIO_READ = "portfolio:read"
    LEDGER_READ = "ledger:read"
    LEDGER_CLOSE = "ledger:close"
    USERS_READ = "users:read"
    USERS_WRITE = "users:write"
    API_KEYS_READ = "api_keys:read"
    API_KEYS_WRITE = "api_keys:write"
    AUDIT_READ = "audit:read"
    EVENTS_REPLAY = "events:replay"
    OWN_ACCOUNT = "own:account"


_OWN = frozenset({Permission.CLIENTS_READ, Permission.LOANS_READ, Permission.PAYMENTS_READ})
_OFFICE_READ = _OWN | {
    Permission.APPROVALS_READ,
    Permission.PRODUCTS_READ,
    Permission.IMPORTS_READ,
    Permission.PORTFOLIO_READ,
    Permission.LEDGER_READ,
}
_OFFICE_WRITE = frozenset(
    {
        Permission.CLIENTS_WRITE,
        Permission.LOANS_WRITE,
        Permission.PAYMENTS_WRITE,
        Permission.APPROVALS_DECIDE,
        Permission.IMPORTS_WRITE,
    }
)
_SUPERVISION = frozenset({Permission.USERS_READ, Permission.API_KEYS_READ, Permission.AUDIT_READ})

PERMISSIONS: dict[Role, frozenset[Permission]] = {
    Role.ADMIN: frozenset(Permission) - {Permission.OWN_ACCOUNT},
    Role.OFFICER: _OFFICE_READ | _OFFICE_WRITE,
    Role.AUDITOR: _OFFICE_READ | _SUPERVISION,
    Role.CLIENT: _OWN | {Permission.OWN_ACCOUNT},
}

OF_PEOPLE = frozenset(
    {Permission.USERS_WRITE, Permission.API_KEYS_WRITE, Permission.EVENTS_REPLAY, Permission.OWN_ACCOUNT}
)
"""What no API key may, whatever its scopes: one that leaked could else make itself a successor, or pay for somebody."""

EVERYTHING = "*"
"""The scope of an API key that may do whatever its owner may."""


def allowed(role: Role, scopes: list[str]) -> frozenset[Permission]:
    """What an API key with these scopes may do for an owner of this role: never more than the owner."""
    held = PERMISSIONS[role] - OF_PEOPLE
    return held if EVERYTHING in scopes else frozenset(permission for permission in held if permission.value in scopes)
