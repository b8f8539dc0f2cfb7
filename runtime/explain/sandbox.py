"""The sandbox that a request is explained for: it holds secrets by name, with values made up on the spot.

The vault is not asked: whether a placeholder is swapped depends on its place, not on what it stands for.
`${NAME}` in a request is what the sandbox holds of that secret: its placeholder where a rule of the policy
binds it to a host, its value elsewhere.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from proxy.contract.grant import GrantSecret
from proxy.contract.secret_rules import is_secret_name
from proxy.policy.bindings import brokered_names
from proxy.policy.llm import with_llm
from proxy.policy.model import Policy
from runtime.errors import InvalidInputError
from runtime.explain.asked import Asked, read_request
from runtime.keys.placeholders import deliver, environment_of
from runtime.model.secret import Secret

MAX_SECRETS = 50
_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_REFERENCE_BYTES = re.compile(_REFERENCE.pattern.encode())


@dataclass(frozen=True, slots=True)
class Question:
    """A request as somebody asks about it, with `${NAME}` for what the sandbox holds."""

    url: str
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    secrets: tuple[str, ...] = ()
    """Names that the sandbox holds, beside those that the request has."""
    has_llm: bool = False
    """Whether the agent's manifest asks for the LLM router."""


@dataclass(frozen=True, slots=True)
class Sandbox:
    """What the proxy is granted for it, and the request with its secrets in place."""

    policy: Policy
    secrets: tuple[GrantSecret, ...]
    asked: Asked
    known: Mapping[str, str]
    """What the sandbox holds -> how it is written in a question."""

    def shown(self, text: str) -> str:
        """A text with none of the made-up values in it."""
        for value, reference in self.known.items():
            text = text.replace(value, reference)
        return text


def sandbox_for(policy: Policy, question: Question) -> Sandbox:
    """Make the sandbox of a question. Raises InvalidInputError."""
    known = _names_of(policy) | {*question.secrets}
    held = {*question.secrets, *(name for name in _named_in(question) if name in known)}
    if len(held) > MAX_SECRETS or not all(is_secret_name(name) for name in held):
        raise InvalidInputError(
            f"no more than {MAX_SECRETS} secrets, and names of A-Z, 0-9 and _", hint="--secret OPENAI_API_KEY"
        )
    made = {name: Secret("made-up-" + secrets.token_hex(20)) for name in sorted(held)}
    delivered = deliver(made, brokered_names(policy))
    texts = {name: secret.reveal() for name, secret in environment_of(delivered).items()}
    policy = replace(policy, has_tripwire=any(secret.placeholder is None for secret in delivered))
    return Sandbox(
        policy=with_llm(policy) if question.has_llm else policy,
        secrets=delivered,
        asked=_filled(question, texts),
        known={text: f"${{{name}}}" for name, text in texts.items()},
    )


def _names_of(policy: Policy) -> set[str]:
    return {*brokered_names(policy), *(name for rule in policy.allow for name in rule.secrets)}


def _named_in(question: Question) -> Iterable[str]:
    for text in (question.url, *(value for _, value in question.headers)):
        yield from _REFERENCE.findall(text)
    yield from (name.decode() for name in _REFERENCE_BYTES.findall(question.body))


def _filled(question: Question, texts: Mapping[str, str]) -> Asked:
    def fill(text: str) -> str:
        return _REFERENCE.sub(lambda found: texts.get(found[1], found[0]), text)

    body = _REFERENCE_BYTES.sub(
        lambda found: texts[found[1].decode()].encode() if found[1].decode() in texts else found[0],
        question.body,
    )
    headers = [(name, fill(value)) for name, value in question.headers]
    return read_request(question.method, fill(question.url), headers, body)


def held_names(secrets_held: Collection[GrantSecret]) -> list[str]:
    """The names of what a sandbox holds."""
    return sorted(secret.name for secret in secrets_held)
