"""The broker's decision on one allowed request: swap placeholders, refuse whatever else is a credential.

Plain values in, a Brokered or a Decision out. The true value appears in the Brokered head only.

    broker(head, binding, grant.secrets, forms=watched(forms, binding), host=host, rule_id=rule_id)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import quote

from proxy.contract.grant import GrantSecret
from proxy.destination.query import Parameter, parse_query, shown_name
from proxy.policy.bindings import Binding
from proxy.policy.model import Decision
from proxy.policy.passes import is_listed
from proxy.policy.reasons import ReasonCode
from proxy.policy.refusal import deny
from proxy.secrets import positions
from proxy.secrets.forms import SecretForms, find_form
from proxy.secrets.ordinary import ORDINARY


@dataclass(frozen=True, slots=True)
class Head:
    """A request's target and headers, in order and as they came (latin-1). Never shown: it may hold keys."""

    target: str = field(repr=False)
    headers: tuple[tuple[str, str], ...] = field(repr=False)


class Brokered(NamedTuple):
    """The head that goes upstream, with placeholders swapped for values."""

    head: Head
    used: frozenset[str]
    """The secrets that were swapped in."""
    is_bound: bool
    """Whether the host may know a brokered value, so that its answer is to be scrubbed."""


def forms_of(secrets: Iterable[GrantSecret]) -> tuple[SecretForms, ...]:
    """What is looked for in a sandbox's requests: every placeholder and every true value."""
    forms = []
    for secret in secrets:
        forms.append(SecretForms.of(secret.name, secret.value, ReasonCode.SECRET_LEAK))
        if secret.placeholder is not None:
            forms.append(SecretForms.of(secret.name, secret.placeholder, ReasonCode.CREDENTIAL_HOST))
    return tuple(form for form in forms if form is not None)


def watched(forms: Iterable[SecretForms], binding: Binding) -> tuple[SecretForms, ...]:
    """Those that may not be in a request with this binding, apart from what is swapped."""
    return tuple(f for f in forms if f.reason is ReasonCode.CREDENTIAL_HOST or f.name not in binding.secrets)


def leak_decision(found: SecretForms, *, host: str, rule_id: str | None) -> Decision:
    """The refusal for a secret that was found where it must not be."""
    if found.reason is ReasonCode.CREDENTIAL_HOST:
        detail = (
            f"{found.name} is only for the hosts, and the places in a request, that the policy binds it to"
        )
    else:
        detail = f"the value of {found.name} may not be sent to {host}"
    return deny(found.reason, detail, rule_id)


def broker(
    head: Head,
    binding: Binding,
    secrets: Collection[GrantSecret],
    *,
    forms: Iterable[SecretForms],
    host: str,
    rule_id: str | None,
    known_uploads: Collection[str] = (),
) -> Brokered | Decision:
    """Decide on one request that the policy has allowed; `forms` are those of `watched`."""
    swap, brokered = _swapped(head, binding, secrets, known_uploads)
    if (found := find_form(forms, "\n".join(swap.rest).encode("latin-1", "replace"))) is not None:
        return leak_decision(found, host=host, rule_id=rule_id)
    held = binding.pinned & {s.name for s in secrets if s.placeholder is not None}
    if not swap.foreign and held and not (swap.used & held) and not swap.is_known_upload:
        swap.foreign = [f"carries none of {', '.join(sorted(held))}, which this sandbox was given for it"]
    if swap.foreign and binding.pinned:
        detail = f"{host} takes this sandbox's own credential only: the request {swap.foreign[-1]}"
        return deny(ReasonCode.FOREIGN_CREDENTIAL, detail, rule_id)
    if swap.is_ambiguous:
        detail = "the placeholder is given more than once in the same place"
        return deny(ReasonCode.CREDENTIAL_HOST, detail, rule_id)
    return Brokered(brokered, frozenset(swap.used), bool(binding.hosted))


def foreign_parts(head: Head, binding: Binding, secrets: Collection[GrantSecret]) -> tuple[str, ...]:
    """What a head carries that a host with a pinned credential refuses, in words that hold nothing of it."""
    return tuple(_swapped(head, binding, secrets, ())[0].foreign) if binding.pinned else ()


def _swapped(
    head: Head, binding: Binding, secrets: Collection[GrantSecret], known_uploads: Collection[str]
) -> tuple[_Swap, Head]:
    swap = _Swap(
        binding, {s.placeholder: s for s in secrets if s.placeholder and s.name in binding.credentials}
    )
    brokered = Head(
        swap.target(head.target, known_uploads), tuple(swap.header(*item) for item in head.headers)
    )
    swap.check_duplicates()
    return swap, brokered


class _Swap:
    """One pass over a head. `rest` collects all that was not swapped: it is searched afterwards."""

    def __init__(self, binding: Binding, by_placeholder: dict[str, GrantSecret]) -> None:
        self._binding = binding
        self._by_placeholder = by_placeholder
        self._passes = None if binding.passes is None else ORDINARY | binding.passes
        self._listed_subprotocols = (self._passes or ORDINARY).subprotocols
        self._places: Counter[str] = Counter()
        self.rest: list[str] = []
        self.used: set[str] = set()
        self.foreign: list[str] = []
        """What else the request carries, in words that hold nothing of it."""
        self.is_known_upload = False
        self.is_ambiguous = False

    def target(self, target: str, known_uploads: Collection[str]) -> str:
        """The target with its `key=` swapped."""
        path, parameters = parse_query(target)
        pieces, kept = [path], [path]
        for parameter in parameters:
            text = parameter.text
            value = self._value(parameter.value) if positions.is_plain_key(parameter) else None
            if value is not None:
                self._places["?" + parameter.known_as] += 1
                text = f"{positions.KEY_PARAMETER}={quote(value, safe='')}"
            else:
                kept.append(parameter.separator + text)
                self._judge_parameter(parameter, known_uploads)
            pieces.append(parameter.separator + text)
        self.rest.append("".join(kept))
        return "".join(pieces)

    def _judge_parameter(self, parameter: Parameter, known_uploads: Collection[str]) -> None:
        if parameter.name == positions.UPLOAD_PARAMETER and parameter.value in known_uploads:
            self.is_known_upload = True
        elif positions.is_credential_parameter(parameter):
            self._places["?" + parameter.known_as] += 1
            self.foreign.append(f"carries another one in its query ({shown_name(parameter.name)})")
        elif self._passes is not None and _is_unlisted(
            self._passes.parameters, parameter.name, parameter.value or parameter.text
        ):
            named = shown_name(parameter.name) if parameter.value else "..."  # it may be the key itself
            self.foreign.append(f"carries a parameter that is not listed for it ({named})")

    def header(self, name: str, value: str) -> tuple[str, str]:
        """The header, swapped where it holds a placeholder in its place."""
        lower = name.lower()
        if lower in {"authorization", *positions.KEY_HEADERS, *self._binding.headers}:
            swapped = self._swapped_key(lower, value)
            self._places[lower] += 1
        elif lower == "sec-websocket-protocol":
            return name, self._subprotocols(name, value)
        else:
            swapped = None
        if swapped is not None:
            return name, swapped
        self.rest.append(f"{name}: {value}")
        if value.strip() and positions.is_credential_header(name, self._binding.headers):
            self.foreign.append(f"carries another one in a header ({shown_name(lower)})")
        elif self._passes is not None and _is_unlisted(self._passes.headers, lower, value):
            self.foreign.append(f"carries a header that is not listed for it ({shown_name(lower)})")
        if lower == "content-type" and positions.is_batch(value):
            self.foreign.append("is a batch of requests, which would carry credentials of their own")
        return name, value

    def check_duplicates(self) -> None:
        """Two of the same place: which one counts is the server's choice, so neither does."""
        if self.used and any(count > 1 for count in self._places.values()):
            self.is_ambiguous = True
            self.foreign = self.foreign or ["carries a credential more than once in the same place"]

    def _swapped_key(self, name: str, value: str) -> str | None:
        if (pair := positions.basic_pair(value)) is not None:
            return self._swapped_basic(*pair) if name == "authorization" else None
        found = positions.authorization_key(value)
        key = self._value(found[1]) if found else None
        return found[0] + key if found and key is not None else None

    def _swapped_basic(self, user: str, password: str) -> str | None:
        for half, other, is_user in ((user, password, True), (password, user, False)):
            if half not in self._by_placeholder:
                continue
            self.rest.append(other.encode().decode("latin-1"))  # the bytes of the pair, as in all of `rest`
            if not positions.is_harmless_half(other):
                self.foreign.append("carries another one beside it (basic)")
            value = self._value(half) or ""
            return positions.basic_value(value, other) if is_user else positions.basic_value(other, value)
        return None

    def _subprotocols(self, name: str, value: str) -> str:
        items = []
        for item in positions.subprotocols(value):
            prefix = positions.SUBPROTOCOL_PREFIX if item.startswith(positions.SUBPROTOCOL_PREFIX) else ""
            swapped = self._value(item.removeprefix(prefix)) if prefix else None
            if swapped is not None:
                self._places[name.lower()] += 1
                items.append(prefix + swapped)
                continue
            self.rest.append(f"{name}: {item}")
            items.append(item)
            if positions.is_credential_subprotocol(item) or not is_listed(self._listed_subprotocols, item):
                self.foreign.append("carries another one in a WebSocket subprotocol")
        return ", ".join(items)

    def _value(self, placeholder: str) -> str | None:
        secret = self._by_placeholder.get(placeholder)
        if secret is None:
            return None
        self.used.add(secret.name)
        return secret.value


def _is_unlisted(names: Collection[str], name: str, value: str) -> bool:
    return len(value.strip()) >= positions.MIN_CREDENTIAL_CHARS and not is_listed(names, name)
