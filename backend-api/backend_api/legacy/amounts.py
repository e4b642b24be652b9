"""Money as the older callers expect it."""

from decimal import Decimal
from typing import Annotated

from pydantic import PlainSerializer

Amount = Annotated[Decimal, PlainSerializer(float, return_type=float)]
"""A number: it has 15 digits at most, which a double holds exactly enough to be written as they were."""
