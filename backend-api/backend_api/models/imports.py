"""Files of clients to import: the job, the bytes until it has ended, and what became of each line."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Integer,
    LargeBinary,
    Numeric,
    SmallInteger,
    Table,
    Text,
    Uuid,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from backend_api.models.base import Instant, metadata

imports = Table(
    "imports",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("status", Text, nullable=False),
    Column("format", Text, nullable=False),
    Column("encoding", Text, comment="How the text is encoded; none for a workbook."),
    Column("mode", Text, nullable=False),
    Column("dry_run", Boolean, nullable=False),
    Column("file_name", Text),
    Column("file_digest", LargeBinary, nullable=False, comment="SHA-256: the same file is imported once."),
    Column("file_bytes", BigInteger, nullable=False),
    Column("product", Text, nullable=False, comment="Of opening balances whose line names none."),
    Column("interest_rate", Numeric(9, 6), comment="The same for their rate."),
    Column("term_months", SmallInteger, comment="The same for their term."),
    Column("lines_expected", Integer, comment="An estimate, for the progress."),
    Column("lines_done", Integer, nullable=False, comment="Everything up to this line has been dealt with."),
    Column("accepted", Integer, nullable=False, comment="Clients that were registered; would be, of a dry run."),
    Column("duplicates", Integer, nullable=False),
    Column("refused", Integer, nullable=False),
    Column("loans", Integer, nullable=False, comment="Loans for opening balances."),
    Column("problem", JSONB, comment="Why the file as a whole was not taken, or not to its end."),
    Column("failures", SmallInteger, nullable=False, comment="Unexpected errors so far."),
    Column("actor", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("traceparent", Text),
    Column("event_sequence", BigInteger, nullable=False),
    Column("chain_head", LargeBinary, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("started_at", Instant),
    Column("finished_at", Instant),
)

import_chunks = Table(
    "import_chunks",
    metadata,
    Column("import_id", Uuid, primary_key=True, comment="The import that they will belong to when all have come."),
    Column("number", Integer, primary_key=True),
    Column("content", LargeBinary, nullable=False),
    Column("received_at", Instant, nullable=False),
)

import_lines = Table(
    "import_lines",
    metadata,
    Column("import_id", Uuid, primary_key=True),
    Column("line", Integer, primary_key=True, comment="Number of the line or row in the file."),
    Column("outcome", Text, nullable=False),
    Column("client_id", Uuid, comment="Of a duplicate: the client that was there."),
    Column("problems", JSONB, comment="Why it was not taken."),
    Column("record", JSONB, comment="What stood in it; forgotten after 30 days."),
)
"""Lines that were not taken."""

import_batches = Table(
    "import_batches",
    metadata,
    Column("import_id", Uuid, primary_key=True),
    Column("through", Integer, primary_key=True, comment="The last line of those that were written together."),
    Column("lines", ARRAY(Integer), nullable=False, comment="Those of them that were taken, in their order."),
    Column("client_ids", ARRAY(Uuid), nullable=False, comment="The clients that they made."),
    Column("loan_ids", ARRAY(Uuid), nullable=False, comment="The loans; null where there is none."),
)
"""Lines that were taken: one row a commit, because a row a line cost a tenth of the whole import."""
