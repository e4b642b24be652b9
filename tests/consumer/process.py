"""A consumer in a process of its own, on a test's names: `python -m tests.consumer.process <names> <class>`."""

import importlib
import json
import sys
from unittest.mock import patch

import uvloop
from event_consumer import app
from event_consumer.__main__ import configure_logs
from event_consumer.settings import Settings
from event_consumer.topology import Topology


def main() -> None:
    """Runs `app.run`, with the consumer class that is named `module:Class`."""
    names = json.loads(sys.argv[1])
    module, _, name = sys.argv[2].partition(":")
    settings = Settings()
    configure_logs(settings.log_level)
    with patch.object(app, "Consumer", getattr(importlib.import_module(module), name)):
        uvloop.run(app.run(settings, Topology(**names["topology"]), names["database"]))


if __name__ == "__main__":
    main()
