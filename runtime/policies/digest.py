"""Which policy it was, for the record. Pure."""

from __future__ import annotations

import hashlib
import json

from proxy.contract.policy_wire import policy_to_wire
from proxy.policy.model import Policy


def policy_digest(policy: Policy) -> str:
    """SHA-256, in hexadecimal, of all that a policy says, however it is written."""
    text = json.dumps(policy_to_wire(policy), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
