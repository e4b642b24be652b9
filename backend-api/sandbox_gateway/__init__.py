"""A payment gateway to develop and test with: a stranger to the API, like a real one, that moves no money.

It verifies the order it is given, shows a page on which the borrower pays or refuses, and tells the API about it by
signed notices, as often as it takes. What it knows it keeps in memory only: after a restart it has forgotten every
order. docs/payment-gateway.md tells what a real one has to do in its place.
"""
