"""What every endpoint shares: the write path, problem+json, conventions of headers, lists and bodies."""
