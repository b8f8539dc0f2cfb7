"""What the harness raises."""


class HarnessError(RuntimeError):
    """The harness cannot start, or did not clean up; the message says what to do."""
