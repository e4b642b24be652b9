"""Approvals: above an amount a second person decides."""
