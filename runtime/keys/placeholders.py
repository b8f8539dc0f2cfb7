"""What a sandbox holds in a brokered secret's place: random, and of the shape that clients check for.

    placeholder_for("OPENAI_API_KEY", value)   # sk-...

Made anew for each run and secret, so that one sandbox's placeholder is nothing in another's hands. As long
as the value where there is room for enough chance: what an upstream reflects can then be swapped back.
"""

from __future__ import annotations

import secrets
import string

from proxy.contract.grant import GrantSecret, check_secrets
from runtime.errors import InvalidInputError
from runtime.model.llm_providers import provider_with_key_shape
from runtime.model.secret import Secret

_LETTERS = string.ascii_letters + string.digits
_START = "orchbox-"
"""Of a placeholder for a secret that is no LLM key."""
MIN_RANDOM_CHARS = 32
"""Of 62 letters each: more than 190 bits."""
MAX_RANDOM_CHARS = 256


def placeholder_for(name: str, value: Secret) -> str:
    """A fresh placeholder for the secret of that name."""
    provider = provider_with_key_shape(name)
    start = provider.key_start if provider else _START
    wanted = (provider and provider.key_chars) or len(value.reveal())
    size = min(max(wanted - len(start), MIN_RANDOM_CHARS), MAX_RANDOM_CHARS)
    return start + "".join(secrets.choice(_LETTERS) for _ in range(size))


def deliver(given: dict[str, Secret], brokered: frozenset[str]) -> tuple[GrantSecret, ...]:
    """How each of a run's secrets is delivered: brokered where the policy binds it, else as it is.

    Raises InvalidInputError, with the name, for a value that cannot be delivered.
    """
    try:
        delivered = tuple(
            GrantSecret(name, value.reveal(), placeholder_for(name, value) if name in brokered else None)
            for name, value in given.items()
        )
        check_secrets(delivered)
    except ValueError as exc:
        raise InvalidInputError(str(exc).removeprefix("grant "), hint="give another value") from None
    return delivered


def environment_of(delivered: tuple[GrantSecret, ...]) -> dict[str, Secret]:
    """What the sandbox's env file holds for them."""
    return {s.name: Secret(s.value if s.placeholder is None else s.placeholder) for s in delivered}
