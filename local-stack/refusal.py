"""The one error an operator sees: a sentence that names what is wrong and what to do."""


class Refusal(Exception):
    """Something the operator must decide or repair; the message is one complete sentence."""
