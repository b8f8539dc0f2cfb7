"""What the secrets have to say to one request that the policy has allowed: swap, search, refuse. Pure.

judge_outgoing(policy, asked, head, secrets, known=forms_of(secrets), rule_id=rule_id)
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from proxy.contract.grant import GrantSecret
from proxy.contract.messages import OWN_HEADERS
from proxy.policy.bindings import Binding, binding_of
from proxy.policy.model import Decision, Policy, Request
from proxy.policy.reasons import ReasonCode
from proxy.policy.refusal import INTERNAL_ERROR, deny
from proxy.secrets import positions
from proxy.secrets.body_codings import UnreadableBodyError, codings_of
from proxy.secrets.body_scan import BodyScan
from proxy.secrets.broker import Brokered, Head, broker, leak_decision, watched
from proxy.secrets.forms import SecretForms, find_in_name
from proxy.secrets.leak_scan import LeakError

UNREADABLE = deny(
    ReasonCode.SECRET_LEAK,
    "the body is in a content coding that cannot be looked into; send it as it is, or as gzip, deflate or br",
)


class Search(NamedTuple):
    """What goes upstream of a request that is searched."""

    forms: tuple[SecretForms, ...]
    """Looked for in all that it sends."""
    brokered: Brokered
    body: BodyScan


class Outgoing(NamedTuple):
    """A request that may go on."""

    binding: Binding
    search: Search | None
    """None where there is nothing to look for, and the head goes on as it is."""


def judge_outgoing(
    policy: Policy,
    asked: Request,
    head: Head,
    secrets: Collection[GrantSecret],
    *,
    known: Collection[SecretForms],
    rule_id: str | None,
    known_uploads: Collection[str] = (),
) -> Outgoing | Decision:
    """Decide on a head that the policy has allowed; `known` are the forms of all secrets (`forms_of`)."""
    binding = binding_of(policy, asked)
    if not secrets and not binding.hosted:
        return Outgoing(binding, None)
    forms = watched(known, binding)
    if (found := find_in_name(forms, asked.method or "")) is not None:  # clients write it in capitals
        return leak_decision(found, host=asked.host, rule_id=rule_id)
    result = broker(
        head,
        binding,
        secrets,
        forms=forms,
        host=asked.host,
        rule_id=rule_id,
        known_uploads=known_uploads,
    )
    if isinstance(result, Decision):
        return result
    try:
        return Outgoing(binding, Search(forms, result, BodyScan(forms, _codings_to_undo(head, secrets))))
    except UnreadableBodyError:
        return UNREADABLE


def body_refusal(exc: Exception, *, host: str, rule_id: str | None) -> Decision:
    """The refusal for what a body's search has raised; for a failure of ours, that of one."""
    match exc:
        case LeakError():
            return leak_decision(exc.found, host=host, rule_id=rule_id)
        case UnreadableBodyError():
            return UNREADABLE
    return INTERNAL_ERROR


def means_nothing_to_the_router(name: str) -> bool:
    """Whether a header (in lower case) is taken off what goes to the LLM router: ours, or a credential."""
    return name.startswith(OWN_HEADERS) or positions.is_credential_header(name)


def _codings_to_undo(head: Head, secrets: Collection[GrantSecret]) -> list[str]:
    """A sandbox that holds placeholders only has nothing in hiding that is worth looking for."""
    if all(secret.placeholder is not None for secret in secrets):
        return []
    return codings_of([(name.encode("latin-1"), value.encode("latin-1")) for name, value in head.headers])
