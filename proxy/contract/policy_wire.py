"""A policy as a JSON object and back, strictly: for the grant on the control socket."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from proxy.policy.hosts import HostPattern, normalize_host
from proxy.policy.model import AllowRule, Budgets, DenyRule, Network, Policy, TlsMode
from proxy.policy.passes import Passes, check_passed_name
from proxy.policy.paths import check_path_glob


def policy_to_wire(policy: Policy) -> dict[str, object]:
    """JSON-able; `policy_from_wire` gives back an equal policy."""
    return {
        "name": policy.name,
        "allow": [rule_to_json(rule) for rule in policy.allow],
        "deny": [{"id": rule.id, "host": str(rule.host)} for rule in policy.deny],
        "agents": list(policy.agents),
        "budgets": budgets_to_json(policy.budgets),
        "allow_any_public": policy.allow_any_public,
        "resolve": {host: list(addresses) for host, addresses in policy.resolve.items()},
        "allow_private": [str(network) for network in policy.allow_private],
        "upstream_ca_pem": policy.upstream_ca_pem,
        "has_tripwire": policy.has_tripwire,
    }


def rule_to_json(rule: AllowRule) -> dict[str, object]:
    """One allow rule, every field of it: for the proxy, and for whoever asks what a policy allows."""
    return {
        "id": rule.id,
        "host": str(rule.host),
        "ports": sorted(rule.ports),
        "methods": None if rule.methods is None else sorted(rule.methods),
        "paths": None if rule.paths is None else list(rule.paths),
        "tls": rule.tls.value,
        "credential": rule.credential,
        "pin_credential": rule.pin_credential,
        "credential_headers": sorted(rule.credential_headers),
        "passes": None if rule.passes is None else _passes_to_json(rule.passes),
        "secrets": sorted(rule.secrets),
        "is_tls_chosen": rule.is_tls_chosen,
    }


def _passes_to_json(passes: Passes) -> dict[str, object]:
    return {name: sorted(getattr(passes, name)) for name in _PASSES}


def budgets_to_json(budgets: Budgets) -> dict[str, object]:
    """Every budget; None where the policy sets none. Dollars are a text."""
    usd = budgets.llm_usd
    counts = {name: getattr(budgets, name) for name in _COUNTS}
    return {**counts, "llm_usd": None if usd is None else format(usd, "f")}


def policy_from_wire(data: object) -> Policy:
    """Read what `policy_to_wire` wrote. Raises ValueError naming the field; unknown fields refuse."""
    fields = _object(data, "policy", set(_POLICY))
    return Policy(**{name: read(fields[name], f"policy.{name}") for name, read in _POLICY.items()})


def _object(data: object, where: str, names: set[str]) -> dict[str, Any]:
    if not isinstance(data, dict) or set(data) != names:
        raise ValueError(f"{where}: expected an object with exactly the fields {', '.join(sorted(names))}")
    return data


def _text(value: object, where: str) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{where}: expected a text that is not empty")
    return value


def _bool(value: object, where: str) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{where}: expected true or false")
    return value


def _port(value: object, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 65536:
        raise ValueError(f"{where}: expected a port between 1 and 65535")
    return value


def _count(value: object, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{where}: expected a whole number, 0 or more")
    return value


def _usd(value: object, where: str) -> Decimal:
    """A text, so that no cent is lost in a binary fraction."""
    text = _text(value, where)
    if not USD.fullmatch(text):
        raise ValueError(f"{where}: expected US dollars as a text, such as 2.50")
    return Decimal(text)


def _tls(value: object, where: str) -> TlsMode:
    try:
        return TlsMode(_text(value, where))
    except ValueError:
        raise ValueError(f"{where}: expected inspect or passthrough") from None


def _method(value: object, where: str) -> str:
    text = _text(value, where)
    if not _METHOD.fullmatch(text):
        raise ValueError(f"{where}: expected a method in capitals, such as GET")
    return text


def _header_name(value: object, where: str) -> str:
    text = _text(value, where)
    if not _HEADER_NAME.fullmatch(text):
        raise ValueError(f"{where}: expected a header's name in lower case, such as x-auth-key")
    return text


def _passed_name(value: object, where: str) -> str:
    try:
        return check_passed_name(_text(value, where))
    except ValueError as exc:
        raise ValueError(f"{where}: {exc}") from None


def _path_glob(value: object, where: str) -> str:
    try:
        return check_path_glob(_text(value, where))
    except ValueError as exc:
        raise ValueError(f"{where}: {exc}") from None


def _optional(read: Callable[[object, str], Any]) -> Callable[[object, str], Any]:
    return lambda value, where: None if value is None else read(value, where)


def _list(
    read: Callable[[object, str], Any], build: Callable[..., Any] = tuple
) -> Callable[[object, str], Any]:
    def read_list(value: object, where: str) -> Any:
        if not isinstance(value, list):
            raise ValueError(f"{where}: expected a list")
        return build(read(item, f"{where}[{index}]") for index, item in enumerate(value))

    return read_list


def _host(value: object, where: str) -> HostPattern:
    try:
        return HostPattern.parse(_text(value, where))
    except ValueError as exc:
        raise ValueError(f"{where}: {exc}") from None


def _network(value: object, where: str) -> Network:
    try:
        return ipaddress.ip_network(_text(value, where))
    except ValueError:
        raise ValueError(f"{where}: expected a network such as 10.0.0.0/8") from None


def _address(value: object, where: str) -> str:
    try:
        return str(ipaddress.ip_address(_text(value, where)))
    except ValueError:
        raise ValueError(f"{where}: expected an address") from None


def _resolve(value: object, where: str) -> MappingProxyType[str, tuple[str, ...]]:
    if not isinstance(value, dict):
        raise ValueError(f"{where}: expected an object of names")
    read = _list(_address)
    return MappingProxyType(
        {_name(name, where): read(item, f"{where}.{name}") for name, item in value.items()}
    )


def _name(value: object, where: str) -> str:
    text = _text(value, where)
    if not _is_normalized(text):
        raise ValueError(f"{where}: expected host names in their one spelling")
    return text


def _is_normalized(text: str) -> bool:
    try:
        return normalize_host(text) == text
    except ValueError:
        return False


def _record(
    build: Callable[..., Any], readers: dict[str, Callable[[object, str], Any]]
) -> Callable[[object, str], Any]:
    def read(value: object, where: str) -> Any:
        fields = _object(value, where, set(readers))
        return build(**{name: reader(fields[name], f"{where}.{name}") for name, reader in readers.items()})

    return read


_METHOD = re.compile(r"[A-Z][A-Z-]*")
_HEADER_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
USD = re.compile(r"(0|[1-9][0-9]{0,8})(\.[0-9]{1,6})?")
"""Up to a billion, in millionths at the finest: what a dollar budget may be, here and in a file."""
_COUNTS = (
    "requests_per_minute",
    "bytes_out",
    "bytes_in",
    "connections",
    "tunnels_per_minute",
    "new_names_per_minute",
    "dns_questions_per_minute",
    "llm_tokens",
)
_PASSES = dict.fromkeys(("headers", "parameters", "subprotocols"), _list(_passed_name, frozenset))
_ALLOW = {
    "id": _text,
    "host": _host,
    "ports": _list(_port, frozenset),
    "methods": _optional(_list(_method, frozenset)),
    "paths": _optional(_list(_path_glob)),
    "tls": _tls,
    "credential": _optional(_text),
    "pin_credential": _bool,
    "credential_headers": _list(_header_name, frozenset),
    "passes": _optional(_record(Passes, _PASSES)),
    "secrets": _list(_text, frozenset),
    "is_tls_chosen": _bool,
}
_POLICY: dict[str, Callable[[object, str], Any]] = {
    "name": _text,
    "allow": _list(_record(AllowRule, _ALLOW)),
    "deny": _list(_record(DenyRule, {"id": _text, "host": _host})),
    "agents": _list(_text),
    "budgets": _record(Budgets, {**dict.fromkeys(_COUNTS, _optional(_count)), "llm_usd": _optional(_usd)}),
    "allow_any_public": _bool,
    "resolve": _resolve,
    "allow_private": _list(_network),
    "upstream_ca_pem": _optional(_text),
    "has_tripwire": _bool,
}
