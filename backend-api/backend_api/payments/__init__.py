"""Payments: on one loan, or on a client and spread over its loans."""
