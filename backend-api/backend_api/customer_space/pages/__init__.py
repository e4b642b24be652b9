"""The customer space as pages: what a borrower sees and does in a browser, in Spanish, with or without JavaScript.

`door` says who gets in (cookies, renewal, tokens of forms), `route` makes every refusal a page, `render` sets the
templates, `words` holds the sentences, `chart` draws; the modules named after pages hold these.
"""
