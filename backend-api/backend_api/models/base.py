"""Shared metadata and the column types that carry meaning."""

from sqlalchemy import DateTime, MetaData, Numeric

metadata = MetaData()

Money = Numeric(15, 2)
"""Mexican pesos with cents; every column of this type has a two-sided CHECK, because NaN passes a one-sided one."""

MoneyTotal = Numeric(18, 2)
"""The sum of many amounts."""

Rate = Numeric(9, 6)
"""A yearly rate as a fraction: 0.15 is fifteen percent."""

Instant = DateTime(timezone=True)
"""A point in time, UTC."""
