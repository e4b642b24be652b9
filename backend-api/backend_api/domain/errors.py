"""Refusals, each named after what happened. They carry a stable code, a status hint, a sentence and their facts."""

from typing import ClassVar


class DomainError(Exception):
    """A rule said no.

    `code` is stable snake_case for programs, `status` the HTTP status that fits, `message` a sentence for the person
    who gets it (it never repeats what that person sent), `facts` what we know that helps them: money as strings.
    """

    code: str = "domain_error"
    status: ClassVar[int] = 422
    message: str = "The request breaks a rule."

    def __init__(self, **facts: object) -> None:
        super().__init__(self.message)
        self.facts: dict[str, object] = facts


class MoneyMalformed(DomainError):
    """Not an amount of money: wrong spelling, sign, digits or size."""

    code = "money_malformed"
    message = "An amount is zero or more, has at most 13 digits before the point and at most 2 after it."


class MoneyNotPositive(DomainError):
    """An amount that has to move something is zero."""

    code = "money_not_positive"
    message = "The amount must be greater than zero."


class IdentifierInvalid(DomainError):
    """An RFC, CURP or CLABE was refused; `code` says why, and each reason has its own sentence."""

    reasons: ClassVar[dict[str, str]] = {}

    def __init__(self, reason: str) -> None:
        self.code = reason
        self.message = self.reasons[reason]
        super().__init__()


class RfcInvalid(IdentifierInvalid):
    """This cannot be the RFC of a borrower."""

    reasons: ClassVar[dict[str, str]] = {
        "rfc_length": "An RFC has 13 characters for a person and 12 for a company.",
        "rfc_letters": "An RFC is 4 letters (3 for a company), 6 digits and 3 letters or digits.",
        "rfc_date": "The six digits of the RFC are not a date that exists (YYMMDD).",
        "rfc_generic": "This is a generic RFC for invoices to the public; a borrower needs one of their own.",
        "rfc_inconvenient_word": "The tax authority issues no RFC that begins with this word.",
        "rfc_looks_like_curp": "This is the beginning of a CURP, not an RFC.",
        "rfc_homoclave": "The homoclave of the RFC contains a character that the tax authority does not issue there.",
        "rfc_check_digit": "The last character of an RFC is a digit or A.",
    }


class CurpInvalid(IdentifierInvalid):
    """This cannot be a CURP."""

    reasons: ClassVar[dict[str, str]] = {
        "curp_length": "A CURP has 18 characters.",
        "curp_letters": "A CURP is 4 letters, 6 digits, sex (H or M), 2 letters of the state, 3 consonants, 2 more.",
        "curp_date": "The birth date in the CURP does not exist (YYMMDD).",
        "curp_state": "The CURP names a state that does not exist.",
        "curp_inconvenient_word": "The registry issues no CURP that begins with this word.",
        "curp_check_digit": "The last digit of the CURP does not fit the others.",
    }


class ClabeInvalid(IdentifierInvalid):
    """This cannot be a CLABE."""

    reasons: ClassVar[dict[str, str]] = {
        "clabe_length": "A CLABE has 18 digits and nothing else.",
        "clabe_control_digit": "The last digit of the CLABE does not fit the others.",
    }


class DateOutOfRange(DomainError):
    """A date outside of what the system keeps books for."""

    code = "date_out_of_range"
    message = "A date lies between 1970-01-01 and 2200-12-31."


class TransitionRefused(DomainError):
    """The loan's state does not allow this. Facts: `loan_status`, `event`."""

    code = "transition_refused"
    status = 409
    message = "The loan is in a state that does not allow this."


class LoanNotActive(DomainError):
    """Only a loan that is owed takes payments. Facts: `loan_status`."""

    code = "loan_not_active"
    status = 409
    message = "The loan is not active, so it takes no payment."


class PaymentExceedsDebt(DomainError):
    """More money than is owed; nothing is booked. Facts: `payoff_amount`, and `loan_id` if one loan is meant."""

    code = "payment_exceeds_debt"
    status = 409
    message = "The payment is larger than what is owed."


class DetailsExceedAmount(DomainError):
    """The details of a payment add up to more than the payment. Facts: `details_total`."""

    code = "details_exceed_amount"
    message = "The payment details add up to more than the amount."


class DetailRepeated(DomainError):
    """The details of a payment name one loan twice. Facts: `loan_id`."""

    code = "detail_repeated"
    message = "Each loan may appear once in the payment details."


class DetailLoanNotOwing(DomainError):
    """The details of a payment name a loan of which nothing is owed by this client. Facts: `loan_id`."""

    code = "detail_loan_not_owing"
    status = 409
    message = "The payment details name a loan that takes no payment."
