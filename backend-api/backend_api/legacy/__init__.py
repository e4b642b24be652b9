"""Contracts of older systems that keep working: thin adapters over the same services, in the words of their callers."""
