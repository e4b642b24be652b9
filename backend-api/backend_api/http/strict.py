"""Bodies as strict as money needs: exact numbers, no duplicate keys, bounded depth, and text without traps."""

import json
import re
import unicodedata
from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError
from starlette.exceptions import HTTPException

from backend_api.domain.dates import check_birth_date, check_date
from backend_api.domain.errors import DomainError
from backend_api.domain.money import format_money, parse_money, parse_positive_money
from backend_api.http.problems import BodyRefused

MAX_DEPTH = 20
MAX_FIELDS = 100
"""Of one object: more than any body here has, and few enough that naming the unknown ones costs little."""
MAX_BRACKETS = 5000
"""Objects and lists of one body: a list of a thousand payments has fewer."""
MAX_EXPONENT = 1000
MAX_BODY_BYTES = 1024 * 1024


class StrictModel(BaseModel):
    """A request body: unknown fields are refused, numbers are not guessed from strings."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _is_object(cls, value: Any) -> Any:
        # FastAPI also takes attributes for fields: 1.5 would pass as an object in which all of them are left out.
        if isinstance(value, dict | BaseModel):
            return value
        raise PydanticCustomError("model_attributes_type", "The value must be an object.")


class StrictRequest(Request):
    """Reads JSON so that no number becomes a float and no key is given twice."""

    most_bytes = MAX_BODY_BYTES

    async def stream(self) -> AsyncGenerator[bytes, None]:
        """The body in parts. Raises 413 as soon as it is known to be too large: declared so, or come so far."""
        if int(self.headers.get("content-length", "0")) > self.most_bytes:
            raise HTTPException(413)
        received = 0
        async for part in super().stream():
            received += len(part)
            if received > self.most_bytes:
                raise HTTPException(413)
            yield part

    async def json(self) -> Any:
        """The parsed body. Raises a validation error that names the trouble."""
        if self.headers.get("content-encoding", "identity") != "identity":
            raise HTTPException(415)
        try:
            text = (await self.body()).decode("utf-8")
            _refuse_depth(text)
            return json.loads(
                text,
                object_pairs_hook=_unique_keys,
                parse_float=_bounded_decimal,
                parse_int=_bounded_int,
                parse_constant=_refuse_constant,
            )
        except UnicodeDecodeError as error:
            raise _malformed("json_not_utf8", "The body is not valid UTF-8.") from error
        except json.JSONDecodeError as error:
            raise _malformed("json_invalid", "The body is not valid JSON.") from error


class FileRequest(StrictRequest):
    """A request that brings a file in a form."""

    most_bytes = 65 * 1024 * 1024


class StrictRoute(APIRoute):
    """A route whose bodies are read by `StrictRequest`."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]  # Starlette names the result otherwise
        """Wrap the handler, as FastAPI documents it for custom requests."""
        handle = super().get_route_handler()
        if self.body_field is None:
            return handle

        async def handle_strictly(request: Request) -> Response:
            return await handle(StrictRequest(request.scope, request.receive))

        return handle_strictly


def _malformed(code: str, message: str) -> BodyRefused:
    return BodyRefused(code, message)


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > MAX_FIELDS:
        raise _malformed("json_too_many_fields", f"An object has more than {MAX_FIELDS} fields.")
    result = dict(pairs)
    if len(result) != len(pairs):
        raise _malformed("json_duplicate_key", "An object has the same key twice.")
    return result


def _bounded_int(digits: str) -> int | Decimal:
    # 18 digits hold every number that has a meaning here; longer ones only cost time to parse.
    if len(digits) > 18:
        raise _malformed("json_number_too_long", "A number has more than 18 digits.")
    return int(digits)


def _bounded_decimal(digits: str) -> Decimal:
    # Whoever asks 1e999999999 for its whole part writes down a thousand million digits.
    try:
        value = Decimal(digits)
    except InvalidOperation:  # a power that takes more than a word of the machine
        value = None
    if value is None or not -MAX_EXPONENT <= value.adjusted() <= MAX_EXPONENT:
        raise _malformed("json_number_too_long", f"A number has more than {MAX_EXPONENT} digits.")
    return value


def _refuse_constant(_: str) -> Any:
    raise _malformed("json_invalid", "NaN and Infinity are not JSON.")


_BRACKET = re.compile(r"[\[{}\]]")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)


def _refuse_depth(text: str) -> None:
    """Count brackets outside strings before the recursive parser sees them."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return
    depth = 0
    for number, bracket in enumerate(_BRACKET.finditer(_STRING.sub("", text))):
        if number >= 2 * MAX_BRACKETS:
            raise _malformed("json_too_many_fields", f"The body has more than {MAX_BRACKETS} objects and lists.")
        if bracket[0] in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise _malformed("json_too_deep", f"The body is nested deeper than {MAX_DEPTH} levels.")
        else:
            depth -= 1


def clean_text(value: str) -> str:
    """NFC, so that twins of one spelling are equal; without control, format, surrogate or unassigned characters.

    Raises a validation error for those: they hide in names, split log lines and break what stores them.
    """
    if value.isascii() and value.isprintable():
        return value.strip()  # most texts are, and looking at each character costs as much as all other checks
    value = unicodedata.normalize("NFC", value).strip()
    # Nothing that can be printed is one of those; what cannot may also be an unusual space, which is none.
    if not value.isprintable() and any(unicodedata.category(character).startswith("C") for character in value):
        raise PydanticCustomError("text_character", "The text holds a control, invisible or unassigned character.")
    return value


def _strict_str(value: Any) -> Any:
    if isinstance(value, str):
        return clean_text(value)
    raise PydanticCustomError("string_type", "The value must be a string.")


def _money(parse: Callable[[str | int | Decimal], Decimal]) -> Callable[[Any], Decimal]:
    def validate(value: Any) -> Decimal:
        try:
            return parse(value)
        except DomainError as error:
            raise PydanticCustomError(error.code, error.message) from error

    return validate


_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def _date(value: Any) -> Any:
    if isinstance(value, date):
        return value
    if not isinstance(value, str) or _DATE.fullmatch(value) is None:
        raise PydanticCustomError("date_malformed", "A date is written YYYY-MM-DD.")
    try:
        return date.fromisoformat(value)
    except ValueError as error:
        raise PydanticCustomError("date_malformed", "A date is written YYYY-MM-DD and exists.") from error


def _in_range(check: Callable[[date], date]) -> Callable[[date], date]:
    def validate(value: date) -> date:
        try:
            return check(value)
        except DomainError as error:
            raise PydanticCustomError(error.code, error.message) from error

    return validate


_MONEY_SCHEMA = {
    "anyOf": [
        {"type": "string", "pattern": r"^(0|[1-9][0-9]{0,12})(\.[0-9]{1,2})?$"},
        {"type": "number", "minimum": 0, "maximum": 9999999999999.99, "multipleOf": 0.01},
    ],
    "description": "Mexican pesos, at most two decimals; as a string (exact) or a number of the same value.",
}

PositiveMoney = Annotated[Decimal, BeforeValidator(_money(parse_positive_money)), WithJsonSchema(_MONEY_SCHEMA)]
"""An amount that moves something."""
MoneyOrZero = Annotated[Decimal, BeforeValidator(_money(parse_money)), WithJsonSchema(_MONEY_SCHEMA)]
"""An amount that may be zero."""
MoneyOut = Annotated[Decimal, PlainSerializer(format_money, return_type=str)]
"""An amount in an answer: a string with two decimals."""
Day = Annotated[date, BeforeValidator(_date), AfterValidator(_in_range(check_date))]
"""A calendar date between 1970-01-01 and 2200-12-31."""
BirthDay = Annotated[date, BeforeValidator(_date), AfterValidator(_in_range(check_birth_date))]
"""A calendar date between 1880-01-01 and 2200-12-31."""
Text = Annotated[str, BeforeValidator(_strict_str)]
"""Text without traps; bound its length where it is used."""
Label = Annotated[Text, StringConstraints(min_length=1, max_length=60)]
"""A short identifier of somebody else's: an external id, a reference."""
Remark = Annotated[Text, StringConstraints(min_length=1, max_length=500)]
"""Why something is done, in the words of whoever does it."""


def _not_null(value: Any) -> Any:
    if value is None:
        raise PydanticCustomError("null_required", "This field cannot be emptied.")
    return value


Kept = BeforeValidator(_not_null)
"""A field of a change that may be left out, and not be null."""
