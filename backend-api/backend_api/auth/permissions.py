"""One table of who may do what; whatever is not in it is denied."""

from enum import StrEnum


class Role(StrEnum):
    """Roles of people who sign in. A `client` sees their own objects only, through the customer space."""

    ADMIN = "admin"
    OFFICER = "officer"
    AUDITOR = "auditor"
    CLIENT = "client"


class Permission(StrEnum):
    """What a call needs."""

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
    PORTFOLIO_READ = "portfolio:read"
    LEDGER_READ = "ledger:read"
    LEDGER_CLOSE = "ledger:close"


_READ = frozenset(
    {
        Permission.CLIENTS_READ,
        Permission.LOANS_READ,
        Permission.PAYMENTS_READ,
        Permission.APPROVALS_READ,
        Permission.PRODUCTS_READ,
        Permission.PORTFOLIO_READ,
        Permission.LEDGER_READ,
    }
)
_WRITE = frozenset(
    {Permission.CLIENTS_WRITE, Permission.LOANS_WRITE, Permission.PAYMENTS_WRITE, Permission.APPROVALS_DECIDE}
)

PERMISSIONS: dict[Role, frozenset[Permission]] = {
    Role.ADMIN: _READ | _WRITE | {Permission.PRODUCTS_WRITE, Permission.LEDGER_CLOSE},
    Role.OFFICER: _READ | _WRITE,
    Role.AUDITOR: _READ,
    Role.CLIENT: frozenset(),
}
