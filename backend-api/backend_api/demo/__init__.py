"""A lender that does not exist: invented people, what becomes of their loans, and how it gets into the books.

`people` and `story` are pure: the same seed tells the same story. `lender` lives it through the services, day by day.
"""
