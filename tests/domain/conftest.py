"""How many examples the property tests of the domain try: few by default, always the same ones; thousands on demand."""

import os

from hypothesis import settings

settings.register_profile("quick", max_examples=100, derandomize=True, deadline=None)
settings.register_profile("thorough", max_examples=3000, derandomize=True, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))
