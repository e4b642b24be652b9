"""Money moves here and nowhere else: movement, balanced entry and snapshot together."""
