"""MO App: a partner's system that keeps customers, loans and payments here (docs/older-contracts.md)."""
