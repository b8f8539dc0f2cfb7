"""A grant: the permission of one sandbox to use the proxy, as the daemon hands it over. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field

from proxy.contract.policy_wire import policy_from_wire, policy_to_wire
from proxy.contract.secret_rules import is_secret_name, value_problem
from proxy.policy.model import Policy

MAX_EXPIRES_IN_S = 366 * 24 * 3600.0
MAX_SECRETS = 256
MAX_SECRETS_CHARS = 512 << 10
"""Of all values as JSON writes them (up to twelve characters for one): a grant is one line of the socket."""
MIN_PLACEHOLDER_CHARS = 20
"""Shorter ones could be guessed, or stand in a text by chance."""


@dataclass(frozen=True, slots=True)
class GrantSecret:
    """One secret of a sandbox, brokered or in its environment. Its text forms never show the value."""

    name: str
    value: str = field(repr=False)
    placeholder: str | None = field(default=None, repr=False)
    """What the sandbox holds in the value's place; None where it holds the value itself."""

    def __post_init__(self) -> None:
        problem = _secret_problem(self)
        if problem is not None:
            raise ValueError(f"grant secret {self.name if is_secret_name(self.name) else '?'}: {problem}")


def _secret_problem(secret: GrantSecret) -> str | None:
    """What is wrong with it, in words that hold nothing of its value."""
    if not is_secret_name(secret.name):
        return "its name is not of A-Z, 0-9 and _"
    if (problem := value_problem(secret.value)) is not None:
        return f"its value cannot be used: {problem.what}"
    if secret.placeholder is None:
        return None
    if not _HEADER_VALUE.fullmatch(secret.value):
        return "its value cannot stand in a header: it holds a space at an end, a control or a non-ASCII one"
    if len(secret.placeholder) < MIN_PLACEHOLDER_CHARS or not _PLACEHOLDER.fullmatch(secret.placeholder):
        return "its placeholder is not of 20 or more of A-Z, a-z, 0-9, - and _"
    return None


@dataclass(frozen=True, slots=True)
class Grant:
    """No grant, no traffic. A later `revision` for the same sandbox replaces an earlier one."""

    sandbox_id: str
    revision: int
    policy: Policy
    proxy_address: str
    """The proxy's own address on the sandbox's network: which network a connection came in on."""
    sandbox_address: str
    """The only peer on that network that holds this grant."""
    expires_in_s: float
    """From receipt, on the proxy's own monotonic clock."""
    token: str = field(repr=False)
    """Password of the proxy URL on the explicit port."""
    secrets: tuple[GrantSecret, ...] = ()
    """Those it holds placeholders for, and those in its environment. A newer revision rotates or revokes."""

    def __post_init__(self) -> None:
        check_secrets(self.secrets)

    def to_wire(self) -> dict[str, object]:
        """The JSON object that `grant_from_wire` reads."""
        return {
            "sandbox_id": self.sandbox_id,
            "revision": self.revision,
            "policy": policy_to_wire(self.policy),
            "proxy_address": self.proxy_address,
            "sandbox_address": self.sandbox_address,
            "expires_in_s": self.expires_in_s,
            "token": self.token,
            "secrets": [
                {"name": secret.name, "value": secret.value, "placeholder": secret.placeholder}
                for secret in self.secrets
            ],
        }


def check_secrets(secrets: tuple[GrantSecret, ...]) -> None:
    """Raise ValueError for secrets that no grant could hold together; the text holds no value."""
    placeholders = [secret.placeholder for secret in secrets if secret.placeholder is not None]
    names = [secret.name for secret in secrets]
    if len({*names}) < len(names) or len({*placeholders}) < len(placeholders):
        raise ValueError("grant field secrets: names and placeholders are distinct")
    written = sum(len(json.dumps(secret.value)) for secret in secrets)
    if len(secrets) > MAX_SECRETS or written > MAX_SECRETS_CHARS:
        raise ValueError(
            f"grant field secrets: more than {MAX_SECRETS}, or than 512 Ki characters in all (as JSON)"
        )


def grant_from_wire(data: object) -> Grant:
    """Read a grant strictly. Raises ValueError naming the field; the text holds no token."""
    names = dict(_FIELDS)
    every = {*names, "policy", "secrets"}
    if not isinstance(data, dict) or set(data) != every:
        raise ValueError("a grant has exactly the fields " + ", ".join(sorted(every)))
    for name, kinds in names.items():
        value = data[name]
        if isinstance(value, bool) or not isinstance(value, kinds):
            raise ValueError(f"grant field {name}: expected {' or '.join(k.__name__ for k in kinds)}")
    if not data["sandbox_id"] or not data["token"] or data["revision"] < 1:
        raise ValueError("grant: sandbox_id and token are not empty, revision is positive")
    if (
        not 0 < data["expires_in_s"] <= MAX_EXPIRES_IN_S
    ):  # refuses NaN and Infinity, which JSON readers accept
        raise ValueError("grant field expires_in_s: expected seconds, more than 0 and at most a year")
    return Grant(
        sandbox_id=data["sandbox_id"],
        revision=data["revision"],
        policy=policy_from_wire(data["policy"]),
        proxy_address=data["proxy_address"],
        sandbox_address=data["sandbox_address"],
        expires_in_s=float(data["expires_in_s"]),
        token=data["token"],
        secrets=_secrets_from_wire(data["secrets"]),
    )


def _secrets_from_wire(data: object) -> tuple[GrantSecret, ...]:
    if not isinstance(data, list):
        raise ValueError("grant field secrets: expected a list")
    for item in data:
        if not isinstance(item, dict) or set(item) != {"name", "value", "placeholder"}:
            raise ValueError("grant field secrets: an item has exactly name, value and placeholder")
        texts = (item["name"], item["value"], item["placeholder"] or "")
        if not all(isinstance(text, str) for text in texts) or item["placeholder"] == "":
            raise ValueError("grant field secrets: name, value and placeholder are texts")
    return tuple(GrantSecret(item["name"], item["value"], item["placeholder"]) for item in data)


_HEADER_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")
_PLACEHOLDER = re.compile(r"[A-Za-z0-9_-]*")
_FIELDS: dict[str, tuple[type, ...]] = {
    "sandbox_id": (str,),
    "revision": (int,),
    "proxy_address": (str,),
    "sandbox_address": (str,),
    "expires_in_s": (int, float),
    "token": (str,),
}
