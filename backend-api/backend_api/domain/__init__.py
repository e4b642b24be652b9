"""The rules of lending, pure: standard library only, no I/O, no clock, no randomness. Give a rule values, not rows."""
