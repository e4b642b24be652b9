"""All tables, no queries, no rules. Constraints, triggers and grants stand in the migrations."""

from backend_api.models.access import users
from backend_api.models.base import metadata
from backend_api.models.clients import clients
from backend_api.models.events import events, outbox, relay_lease
from backend_api.models.ledger import accounts, ledger_entries, postings
from backend_api.models.loans import loan_movements, loans
from backend_api.models.payments import payments
from backend_api.models.system import business_day, cache_guard, idempotency_keys

__all__ = [
    "accounts",
    "business_day",
    "cache_guard",
    "clients",
    "events",
    "idempotency_keys",
    "ledger_entries",
    "loan_movements",
    "loans",
    "metadata",
    "outbox",
    "payments",
    "postings",
    "relay_lease",
    "users",
]
