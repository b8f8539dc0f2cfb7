"""What the harness raises."""

from runtime.canary.client import CanaryError as HarnessError

__all__ = ["HarnessError"]
