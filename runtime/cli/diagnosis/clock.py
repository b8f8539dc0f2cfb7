"""Whether clocks agree: certificates, tokens and time limits of runs are judged by more than one of them."""

from __future__ import annotations

from runtime.cli.diagnosis.finding import Finding, check

MAX_SKEW_S = 5.0


def clock_check(whose: str, theirs: float, *, before: float, after: float) -> Finding:
    """Whether another clock agrees with ours, which said `before` and `after` the other one was asked.

    So an answer that took long is no skew. All are epoch seconds.
    """
    name = f"clock of {whose}"
    skew = max(before - theirs, theirs - after, 0.0)
    if skew <= MAX_SKEW_S:
        return check(name, f"agrees to within {max(skew, after - before):.1f} s")
    is_ahead = theirs > after
    return check(
        name,
        f"{skew:.0f} s {'ahead of' if is_ahead else 'behind'} this host's",
        remedy="synchronise both (systemd-timesyncd, chrony): timedatectl set-ntp true",
    )
