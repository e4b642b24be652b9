"""Loan products, and every version of their terms."""

from sqlalchemy import BigInteger, Column, ForeignKey, Integer, LargeBinary, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

from backend_api.models.base import Instant, metadata

loan_products = Table(
    "loan_products",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("code", Text, nullable=False, comment="What people and loans call it; never changes."),
    Column("name", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("version", Integer, nullable=False, comment="The newest version of its terms; what If-Match compares."),
    Column("event_sequence", BigInteger, nullable=False, comment="Last event of this product."),
    Column("chain_head", LargeBinary, nullable=False, comment="Hash of that event."),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
)

loan_product_versions = Table(
    "loan_product_versions",
    metadata,
    Column("product_id", Uuid, ForeignKey("loan_products.id"), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("terms", JSONB, nullable=False, comment="A complete sheet; see domain.term_sheet."),
    Column("limits", JSONB, nullable=False, comment="Least and most of amount, rate and installments; null is none."),
    Column("created_at", Instant, nullable=False),
)
