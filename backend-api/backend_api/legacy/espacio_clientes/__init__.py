"""Espacio Clientes: the older web of the borrower, which asks for debts, fills a cart, pays and takes back."""
