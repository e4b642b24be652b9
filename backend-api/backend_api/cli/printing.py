"""What commands print: lines for people, or with `--json` the same for programs."""

import json
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import typer

AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]


def tell(data: Mapping[str, Any] | list[dict[str, Any]], lines: Iterable[str], *, as_json: bool) -> None:
    """Print either; times and ids are text in JSON."""
    typer.echo(json.dumps(data, indent=2, default=str) if as_json else "\n".join(lines))
