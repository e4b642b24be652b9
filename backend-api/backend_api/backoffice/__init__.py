"""The back office as pages, in Spanish: what officers, administrators and auditors see and do in a browser.

A page is a caller of the API like any other (`api`): it shows what a call answered, and a form is done by the call of
the same name, with its rights, its checks and its record. `pages` says what a list, a detail and a form are; the
modules named after things declare them; `endpoints` is the table of contents.
"""
