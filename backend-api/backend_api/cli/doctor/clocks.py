"""Whether two clocks agree, as far as can be told over a network."""

from datetime import datetime

from backend_api.cli.doctor.verdicts import Verdict, ok, wrong

TOLERANCE_SECONDS = 2.0

Span = tuple[datetime, datetime]
"""An instant that is known only to lie between these two."""


def judge_clock(whose: str, ours: Span, theirs: Span) -> Verdict:
    """Compare what this machine's clock showed around a question with what the answer says.

    Only the part of a difference that the time on the way cannot explain counts, so a slow answer accuses nobody.
    """
    ahead, behind = (ours[0] - theirs[1]).total_seconds(), (theirs[0] - ours[1]).total_seconds()
    seconds = max(ahead, behind, 0.0)
    if seconds > TOLERANCE_SECONDS:
        return wrong(
            f"This machine's clock is {seconds:.0f} s {'ahead of' if ahead > 0 else 'behind'} that of {whose}.",
            "Let both follow a time server (`timedatectl set-ntp true`).",
        )
    return ok(f"This machine's clock agrees with that of {whose}.")
