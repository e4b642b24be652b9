"""Chance that can be had again: one seed decides a run's schedule of faults."""

import os
import random

SCALE = 10 if os.environ.get("CHAOS_SCALE") == "full" else 1
"""How many times as much of everything the long runs do."""


def schedule(name: str) -> random.Random:
    """The source of chance of one test, printed so that a failure can be repeated with CHAOS_SEED."""
    seed = os.environ.get("CHAOS_SEED", "20261121")
    print(f"\n{name}: CHAOS_SEED={seed}")
    return random.Random(f"{seed} {name}")
