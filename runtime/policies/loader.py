"""Policy files -> a Policy: strict YAML, `extends`, registries, the operator's site policy.

Every error is a PolicyError that says `file:line: field: what: remedy`. Allow and deny lists of all files
add up and deny wins; of two budgets the smaller counts; nothing is allowed by default.

    load_policy("llm-only", [Path("policies")], registries={"pip": ["mirror.example"]})
"""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from proxy.policy.decide import is_dialable
from proxy.policy.hosts import BadHostError, HostPattern, is_ip_literal, split_authority
from proxy.policy.model import AllowRule, Budgets, DenyRule, Network, Policy, TlsMode, Verdict
from proxy.policy.passes import Passes, join
from runtime.model.llm_providers import HOSTED
from runtime.policies.places import LoadedPolicy, RulePlace
from runtime.policies.schema import (
    ANY_HOST,
    OPERATOR_ONLY,
    AllowEntry,
    BudgetEntries,
    PolicyFile,
    is_policy_name,
)
from runtime.policies.source import PolicyError, PolicyNotFoundError, PolicySource, read_policy_file
from runtime.policies.yaml_document import Place

__all__ = ["PolicyError", "PolicyNotFoundError", "load_placed", "load_policy", "load_policy_file"]

SITE_VARIABLE = "ORCHBOX_SITE_POLICY"

_REGISTRY_REMEDY = {
    "pip": "pip config set global.index-url URL (or PIP_INDEX_URL)",
    "npm": "npm config set registry URL (or npm_config_registry)",
    "apt": "add a source to /etc/apt/sources.list.d",
}


def load_policy(
    name: str,
    search_path: Sequence[Path],
    *,
    registries: Mapping[str, Sequence[str]],
    site: Path | None = None,
) -> Policy:
    """Load a policy by name; the first directory of the search path that has `<name>.yaml` counts.

    `registries` gives the hosts (`host` or `host:port`) of `registry: pip|npm|apt`; `site` is the
    operator's file, merged into every policy. Raises PolicyError.
    """
    return load_placed(name, search_path, registries=registries, site=site).policy


def load_policy_file(
    path: Path,
    search_path: Sequence[Path] = (),
    *,
    registries: Mapping[str, Sequence[str]],
    site: Path | None = None,
) -> Policy:
    """Load one file; what it extends is looked for beside it, then in the search path. Raises PolicyError."""
    return load_placed(path, search_path, registries=registries, site=site).policy


def load_placed(
    named: str | Path,
    search_path: Sequence[Path],
    *,
    registries: Mapping[str, Sequence[str]],
    site: Path | None = None,
) -> LoadedPolicy:
    """Load a policy by name, or one file, with the places of its rules. Raises PolicyError."""
    if isinstance(named, Path):
        loading = _Loading([named.parent, *search_path], registries, site)
        return loading.merge(named.stem, loading.collect_file(named, chain=()))
    loading = _Loading(search_path, registries, site)
    return loading.merge(named, loading.collect(named, named_by="policy", chain=()))


@dataclass(frozen=True, slots=True)
class _Part:
    """What one file adds."""

    file: PolicyFile
    allow: tuple[AllowRule, ...] = ()
    deny: tuple[DenyRule, ...] = ()
    places: Mapping[str, RulePlace] = field(default_factory=dict)
    any_public: RulePlace | None = None


@dataclass(slots=True)
class _Loading:
    """One load: the files read so far."""

    search_path: Sequence[Path]
    registries: Mapping[str, Sequence[str]]
    site_path: Path | None
    site: _Part | None = None
    upstream_ca_pem: str | None = None
    allow_private: tuple[Network, ...] = ()
    seen: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        if self.site_path is None:
            return
        source = read_policy_file(self.site_path)
        if source.file.extends:
            raise source.error(("extends",), "the site policy extends nothing: remove it")
        self.allow_private = tuple(ipaddress.ip_network(text) for text in source.file.allow_private)
        _check_pins(source, self.allow_private)
        self.upstream_ca_pem = _read_upstream_ca(source)
        self.site = self._part(source)

    def collect(self, name: str, *, named_by: str, chain: tuple[str, ...]) -> list[_Part]:
        """The parts of a policy, what it extends first; each file once."""
        for directory in self.search_path if is_policy_name(name) else ():
            path = directory / f"{name}.yaml"
            if path.is_file():
                return self.collect_file(path, chain=chain)
        searched = ", ".join(str(directory) for directory in self.search_path) or "no directory"
        raise PolicyNotFoundError(
            f"{named_by}: there is no policy {name!r} in {searched}: use one of {self._known() or 'none'}"
        )

    def collect_file(self, path: Path, *, chain: tuple[str, ...]) -> list[_Part]:
        source = read_policy_file(path)
        name = source.file.name
        if name != path.stem:
            raise source.error(
                ("name",), f"does not fit the file: write name: {path.stem}, or rename the file"
            )
        for key in OPERATOR_ONLY:
            if key in source.file.model_fields_set:
                raise source.error(
                    (key,), f"is the operator's: move it to the file that {SITE_VARIABLE} names"
                )
        self.seen.add(name)
        parts = []
        for index, parent in enumerate(source.file.extends):
            place = ("extends", index)
            if parent in (*chain, name):
                way = " -> ".join((*chain, name, parent))
                raise source.error(place, f"a circle of policies, {way}: remove one of them")
            if parent not in self.seen:
                line = source.where(place)
                parts += self.collect(parent, named_by=line, chain=(*chain, name))
        return [*parts, self._part(source)]

    def merge(self, name: str, parts: list[_Part]) -> LoadedPolicy:
        """Everything added up, the site's file last."""
        if self.site is not None:
            parts = [*parts, self.site]
        places = {rule: place for part in parts for rule, place in part.places.items()}
        for part in parts:
            if part.any_public is not None:
                places.setdefault(f"{name}.allow_any_public", part.any_public)
        return LoadedPolicy(self._merged(name, parts), places)

    def _merged(self, name: str, parts: list[_Part]) -> Policy:
        pins = self.site.file.resolve if self.site else {}
        return Policy(
            name=name,
            allow=tuple(rule for part in parts for rule in part.allow),
            deny=tuple(rule for part in parts for rule in part.deny),
            agents=tuple(dict.fromkeys(agent for part in parts for agent in part.file.egress.agents)),
            budgets=_smallest_budgets(parts),
            allow_any_public=any(part.file.allow_any_public for part in parts),
            resolve=MappingProxyType({host: tuple(addresses) for host, addresses in pins.items()}),
            allow_private=self.allow_private,
            upstream_ca_pem=self.upstream_ca_pem,
        )

    def _part(self, source: PolicySource) -> _Part:
        entries, name = source.file.egress.allow, source.file.name
        any_host = [index for index, entry in enumerate(entries) if entry.host == ANY_HOST]
        if any_host and not source.file.allow_any_public:
            place = ("egress", "allow", any_host[0], "host")
            raise source.error(
                place, "a bare * allows every public host: name hosts, or add allow_any_public: true"
            )
        if source.file.allow_any_public and not any_host:
            raise source.error(
                ("allow_any_public",), 'does nothing alone: add the rule host: "*", or remove it'
            )
        allow = [
            rule
            for index, entry in enumerate(entries)
            if entry.host != ANY_HOST
            for rule in self._rules(source, index, entry)
        ]
        deny = [
            DenyRule(id=f"{name}.deny[{index}]", host=HostPattern.parse(entry.host))
            for index, entry in enumerate(source.file.egress.deny)
        ]

        def line(*where: str | int) -> RulePlace:
            return RulePlace(source.path, source.document.line_of(("egress", *where)))

        places = {f"{name}.allow[{at}]": line("allow", at) for at in range(len(entries))}
        places |= {rule.id: line("deny", at) for at, rule in enumerate(deny)}
        any_public = line("allow", any_host[0]) if any_host else None
        return _Part(source.file, tuple(allow), tuple(deny), places, any_public)

    def _rules(self, source: PolicySource, index: int, entry: AllowEntry) -> Iterator[AllowRule]:
        place: Place = ("egress", "allow", index)
        for host, ports in self._hosts(source, place, entry):
            if is_ip_literal(host.suffix):
                verdict = is_dialable(
                    Policy(name="", allow_private=self.allow_private), "", host.suffix
                ).verdict
                if verdict is not Verdict.ALLOW:
                    raise source.error(
                        place, f"{host} is not public: add it to allow_private in the site policy"
                    )
            default = TlsMode.INSPECT if entry.needs_inspection else TlsMode.PASSTHROUGH
            yield AllowRule(
                id=f"{source.file.name}.allow[{index}]",
                host=host,
                ports=ports,
                methods=None if entry.methods is None else frozenset(entry.methods),
                paths=None if entry.paths is None else tuple(entry.paths),
                tls=default if entry.tls is None else TlsMode(entry.tls),
                credential=entry.credential,
                pin_credential=entry.credential is not None and entry.pin_credential is not False,
                credential_headers=frozenset(entry.credential_headers or ()),
                passes=_passes(host, entry),
                secrets=frozenset(entry.secrets or ()),
                is_tls_chosen=entry.tls is not None or default is TlsMode.INSPECT,
            )

    def _hosts(
        self, source: PolicySource, place: Place, entry: AllowEntry
    ) -> Iterator[tuple[HostPattern, frozenset[int]]]:
        if entry.registry is None:
            yield HostPattern.parse(entry.host or ""), frozenset(entry.ports or {443})
            return
        place = (*place, "registry")
        authorities = self.registries.get(entry.registry, ())
        if not authorities:
            remedy = _REGISTRY_REMEDY[entry.registry]
            raise source.error(place, f"this machine names no {entry.registry} registry: {remedy}")
        for authority in authorities:
            try:
                host, port = split_authority(authority, default_port=443)
            except BadHostError as exc:
                remedy = _REGISTRY_REMEDY[entry.registry]
                raise source.error(place, f"the registry's address is no host ({exc}): {remedy}") from None
            yield HostPattern(host), frozenset({port})

    def _known(self) -> str:
        return ", ".join(sorted({path.stem for folder in self.search_path for path in folder.glob("*.yaml")}))


def _passes(host: HostPattern, entry: AllowEntry) -> Passes | None:
    """What the file lists, and what the clients send of each provider that answers at a pinned host."""
    if entry.credential is None or entry.pin_credential is False:
        return None
    lists = [row.passes for row in HOSTED.values() if host.matches(row.endpoint.host)]
    if entry.passes is not None:
        named = entry.passes
        lists.append(
            Passes(frozenset(named.headers), frozenset(named.parameters), frozenset(named.subprotocols))
        )
    return join(lists)


def _smallest_budgets(parts: list[_Part]) -> Budgets:
    def smallest(name: str) -> Any:
        limits = [getattr(part.file.budgets, name) for part in parts]
        return min((limit for limit in limits if limit is not None), default=None)

    return Budgets(**{name: smallest(name) for name in BudgetEntries.model_fields})


def _check_pins(source: PolicySource, allow_private: tuple[Network, ...]) -> None:
    """A pin to an address that the proxy would refuse to dial is refused now."""
    policy = Policy(name=source.file.name, allow_private=allow_private)
    for host, addresses in source.file.resolve.items():
        for index, address in enumerate(addresses):
            decision = is_dialable(policy, host, address)
            if decision.verdict is not Verdict.ALLOW:
                remedy = "pin another one, or add a private one to allow_private"
                raise source.error(("resolve", host, index), f"{decision.detail}: {remedy}")


def _read_upstream_ca(source: PolicySource) -> str | None:
    if source.file.upstream_ca is None:
        return None
    place: Place = ("upstream_ca",)
    path = source.path.parent / source.file.upstream_ca
    try:
        text = path.read_text("ascii")
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=text)
    except OSError as exc:  # SSLError is one too
        reason = (
            "is no PEM certificate" if isinstance(exc, ssl.SSLError) else f"cannot be read ({exc.strerror})"
        )
        raise source.error(place, f"{path} {reason}: name a file of PEM certificates") from None
    except ValueError:
        raise source.error(place, f"{path} is no PEM certificate: name a file of PEM certificates") from None
    if "PRIVATE KEY" in text:
        raise source.error(place, f"{path} holds a private key: name a file of certificates only")
    return text
