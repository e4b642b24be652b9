"""The golden events of `tests/contract/events`: one full envelope per event type, hashed and chained.

After editing a payload run `python -m tests.support.golden`: it works out event_id, prev_hash and hash anew, with the
rfc8785 package and not with the code of either service.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import rfc8785

FOLDER = Path(__file__).resolve().parents[1] / "contract" / "events"
FIRST_PREV_HASH = "0" * 64


def load() -> dict[str, dict[str, Any]]:
    """The golden envelopes by event type."""
    return {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(FOLDER.glob("*.json"))}


def rehash(envelope: dict[str, Any], prev_hash: str | None = None) -> dict[str, Any]:
    """The envelope with the event_id and hash its content asks for, chained to `prev_hash` if that is given."""
    changed = {**envelope, "event_id": f"{envelope['aggregate_id']}:{envelope['sequence']:012d}"}
    changed["prev_hash"] = envelope["prev_hash"] if prev_hash is None else prev_hash
    changed.pop("hash", None)
    changed["hash"] = hashlib.sha256(rfc8785.dumps(changed)).hexdigest()
    return changed


def chained(envelopes: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The envelopes with right hashes and, in the order of each aggregate's sequence, right links."""
    heads: dict[str, str] = {}
    result = {}
    for name, envelope in sorted(envelopes.items(), key=lambda item: int(item[1]["sequence"])):
        aggregate = envelope["aggregate_id"]
        result[name] = rehash(envelope, heads.get(aggregate, FIRST_PREV_HASH))
        heads[aggregate] = result[name]["hash"]
    return result


def text(envelope: dict[str, Any]) -> str:
    """A golden file's content."""
    return json.dumps(envelope, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for name, envelope in chained(load()).items():
        (FOLDER / f"{name}.json").write_text(text(envelope), "utf-8")
