"""What our pages for people have in common, whoever they are for: the customer space and the back office.

`space` names what differs between them, `door` says who gets in (cookies, renewal, tokens of forms), `entrance` is the
way in and out, `route` makes every refusal a page, `render` sets the templates, `words` holds sentences, `chart` draws.
"""
