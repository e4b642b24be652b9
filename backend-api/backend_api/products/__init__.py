"""Loan products: the terms that loans copy."""
