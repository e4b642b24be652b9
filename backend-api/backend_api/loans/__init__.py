"""Loans: granted, activated, rejected, cancelled. In this state of the engine a loan is principal only."""
