"""Doors that lead nowhere: what only an attacker asks for, and what is kept of who did."""
