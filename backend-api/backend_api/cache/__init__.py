"""Redis as a cache that can be lost, hung or emptied without anybody reading an old value."""
