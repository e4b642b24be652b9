"""All tables, no queries, no rules. Constraints, triggers and grants stand in the migrations."""

from backend_api.models.access import (
    api_keys,
    login_failures,
    refresh_tokens,
    revocations,
    sessions,
    signing_keys,
    users,
)
from backend_api.models.approvals import approvals
from backend_api.models.base import metadata
from backend_api.models.clients import clients, record_reads
from backend_api.models.customer_space import cart_items, carts, checkouts
from backend_api.models.decoys import decoy_attempts, decoys
from backend_api.models.events import events, outbox, relay_lease
from backend_api.models.imports import import_batches, import_chunks, import_lines, imports
from backend_api.models.ledger import accounts, daily_totals, ledger_entries, ledger_periods, postings
from backend_api.models.loans import loan_movements, loans
from backend_api.models.payments import payment_reversals, payments
from backend_api.models.portfolio import day_close_failures, day_closes
from backend_api.models.products import loan_product_versions, loan_products
from backend_api.models.system import business_day, cache_guard, idempotency_keys

__all__ = [
    "accounts",
    "api_keys",
    "approvals",
    "business_day",
    "cache_guard",
    "cart_items",
    "carts",
    "checkouts",
    "clients",
    "daily_totals",
    "day_close_failures",
    "day_closes",
    "decoy_attempts",
    "decoys",
    "events",
    "idempotency_keys",
    "import_batches",
    "import_chunks",
    "import_lines",
    "imports",
    "ledger_entries",
    "ledger_periods",
    "loan_movements",
    "loan_product_versions",
    "loan_products",
    "loans",
    "login_failures",
    "metadata",
    "outbox",
    "payment_reversals",
    "payments",
    "postings",
    "record_reads",
    "refresh_tokens",
    "relay_lease",
    "revocations",
    "sessions",
    "signing_keys",
    "users",
]
