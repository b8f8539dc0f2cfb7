"""How an attempt is judged; what a sandbox answers is in tests/integration/test_isolation.py."""

from __future__ import annotations

import errno
import os
import signal

import pytest

from runtime.probe.inside.syscalls import ABSENT, ATTEMPTS, CALLS, REFUSALS, in_child


def raising(number: int):
    """An attempt that ends with an error of the kernel's."""

    def attempt() -> tuple[bool, str]:
        raise OSError(number, "x")

    return attempt


@pytest.mark.parametrize("number", sorted(REFUSALS))
def test_refusal_is_blocked(number: int):
    """What the kernel refuses for what it is counts as blocked."""
    assert in_child(raising(number)) == (True, errno.errorcode[number])


@pytest.mark.parametrize("number", [errno.EFAULT, errno.EINVAL, errno.EBADF, errno.ENOKEY, *sorted(ABSENT)])
def test_answer_about_arguments_is_not_blocked(number: int):
    """A call that is told its arguments are wrong got through."""
    is_blocked, detail = in_child(raising(number))
    assert not is_blocked
    assert "got through" in detail


def test_success_is_not_blocked():
    """An attempt's own words are kept."""
    assert in_child(lambda: (False, "did it")) == (False, "did it")


@pytest.mark.parametrize(("number", "is_blocked"), [(signal.SIGSYS, True), (signal.SIGKILL, False)])
def test_killed_for_it(number: int, is_blocked: bool):
    """SIGSYS is the filter's; any other signal proves nothing."""

    def attempt() -> tuple[bool, str]:
        os.kill(os.getpid(), number)
        return False, "alive"

    assert in_child(attempt) == (is_blocked, f"ended by signal {int(number)}")


def test_attempt_that_crashes_is_not_blocked():
    """A defect of ours is never a pass."""

    def attempt() -> tuple[bool, str]:
        raise ZeroDivisionError

    assert in_child(attempt) == (False, "the attempt failed: ZeroDivisionError: ")


def test_table_has_every_call_once():
    """Attempts cover each table; a name cannot shadow another."""
    assert set(CALLS) < set(ATTEMPTS)
    assert len(ATTEMPTS) >= 140
