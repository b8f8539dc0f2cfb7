"""The policy file's schema: what each key may hold. Pydantic, used by `runtime.policies.loader` only.

Unknown keys, wrong types and rules that could not be enforced are refused here, each with its place.
"""

from __future__ import annotations

import ipaddress
import re
from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from proxy.contract.policy_wire import USD
from proxy.contract.secret_rules import is_secret_name
from proxy.policy.addresses import AddressClass, classify
from proxy.policy.hosts import BadHostError, HostPattern, is_ip_literal, normalize_host
from proxy.policy.model import NEVER_CARRIED
from proxy.policy.passes import check_passed_name
from proxy.policy.paths import check_path_glob

ANY_HOST = "*"

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_METHOD = re.compile(r"[A-Z][A-Z-]*")
_HEADER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_NOT_CREDENTIAL_HEADERS = frozenset(
    {"connection", "content-encoding", "content-length", "expect", "host", "proxy-authorization", "te"}
    | {"transfer-encoding", "upgrade", "cookie"}
)
_AGENT = re.compile(r"\*/\*|[a-z0-9][a-z0-9_.-]*/(\*|[a-z0-9][a-z0-9_.-]*)")
_SIZE = re.compile(r"([1-9][0-9]*)(B|kB|KB|MB|GB|TB|KiB|MiB|GiB|TiB)")
_POWER = {"B": 0, "K": 1, "M": 2, "G": 3, "T": 4}


def is_policy_name(text: str) -> bool:
    """Whether it may name a policy, and so a file: never a path."""
    return _NAME.fullmatch(text) is not None


def _name(text: str) -> str:
    if not is_policy_name(text):
        raise ValueError("not a policy name: use a-z, 0-9 and -, at most 63 characters")
    return text


def _host(text: str) -> str:
    if text == ANY_HOST:
        return text
    try:
        pattern = HostPattern.parse(text)
    except BadHostError as exc:
        raise ValueError(
            f"not a host ({exc}): write a lower-case name or *.name, without scheme, port or path"
        ) from None
    if is_ip_literal(pattern.suffix) and classify(pattern.suffix) is AddressClass.METADATA:
        raise ValueError("a cloud metadata address, which is never reachable: remove the rule")
    return text


def _deny_host(text: str) -> str:
    if text == ANY_HOST:
        raise ValueError("what no rule allows is refused already: name a host, or remove the rule")
    return _host(text)


def _pinned_name(text: str) -> str:
    try:
        host = normalize_host(text)
    except BadHostError as exc:
        raise ValueError(f"not a host name ({exc}): write it in lower case") from None
    if host != text or is_ip_literal(host):
        raise ValueError("a pin is for a name, in lower case and without a final dot: rewrite it")
    return text


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise ValueError(f"{text!r} is no address: write one as 192.0.2.1 or 2001:db8::1") from None


def _network(text: str) -> str:
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        raise ValueError(f"{text!r} is no network: write its first address and prefix, 10.1.0.0/16") from None
    if network.num_addresses == 1 and classify(network[0]) is AddressClass.METADATA:
        raise ValueError("a cloud metadata address, which is never reachable: remove it")
    return text


def _method(text: str) -> str:
    if not _METHOD.fullmatch(text):
        raise ValueError(f"{text!r} is no method: write it in capitals, as in GET")
    if text in NEVER_CARRIED:
        raise ValueError(f"{text} is never carried: remove it")
    return text


def _secret_name(text: str) -> str:
    if not is_secret_name(text):
        raise ValueError("not a secret's name: use at most 128 of A-Z, 0-9 and _, as in OPENAI_API_KEY")
    return text


def _header_name(text: str) -> str:
    if not _HEADER_NAME.fullmatch(text):
        raise ValueError("not a header's name: use A-Z, a-z, 0-9, - and _, as in X-Auth-Key")
    if text.lower() in _NOT_CREDENTIAL_HEADERS:
        raise ValueError(f"{text} steers the request itself and holds no credential: name another header")
    return text.lower()


def _passed_header(text: str) -> str:
    return check_passed_name(text).lower()


def _agent(text: str) -> str:
    if not _AGENT.fullmatch(text):
        raise ValueError(f"{text!r} names no agents: write org/name, org/* or */*")
    return text


def _size(value: object) -> object:
    if not isinstance(value, str):
        return value
    match = _SIZE.fullmatch(value)
    if not match:
        raise ValueError(f"{value!r} is no size: write bytes, or a size as 100MB or 64MiB")
    base = 1024 if "i" in match[2] else 1000
    return int(match[1]) * base ** _POWER[match[2][0].upper()]


def _usd(value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or not USD.fullmatch(str(value)):
        raise ValueError("not an amount of US dollars: write a number such as 5 or 2.50")
    return Decimal(value)


PolicyName = Annotated[str, AfterValidator(_name)]
Count = Annotated[int, Field(ge=1)]
Size = Annotated[int, BeforeValidator(_size), Field(ge=1)]
Usd = Annotated[Decimal, BeforeValidator(_usd)]
"""0 is an amount: nothing that costs may be asked."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class PassesEntry(_Strict):
    """What may be sent beside a pinned credential; with it, what is not listed is refused."""

    headers: list[Annotated[str, AfterValidator(_passed_header)]] = []
    parameters: list[Annotated[str, AfterValidator(check_passed_name)]] = []
    subprotocols: list[Annotated[str, AfterValidator(check_passed_name)]] = []


class AllowEntry(_Strict):
    """One entry of `egress.allow` as it stands in the file."""

    host: Annotated[str, AfterValidator(_host)] | None = None
    registry: Literal["pip", "npm", "apt"] | None = None
    ports: Annotated[list[Annotated[int, Field(ge=1, le=65535)]], Field(min_length=1)] | None = None
    methods: Annotated[list[Annotated[str, AfterValidator(_method)]], Field(min_length=1)] | None = None
    paths: Annotated[list[Annotated[str, AfterValidator(check_path_glob)]], Field(min_length=1)] | None = None
    tls: Literal["inspect", "passthrough"] | None = None
    credential: Annotated[str, AfterValidator(_secret_name)] | None = None
    pin_credential: bool | None = None
    credential_headers: (
        Annotated[list[Annotated[str, AfterValidator(_header_name)]], Field(min_length=1)] | None
    ) = None
    passes: PassesEntry | None = None
    secrets: Annotated[list[Annotated[str, AfterValidator(_secret_name)]], Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _is_one_rule(self) -> Self:
        if (self.host is None) == (self.registry is None):
            raise ValueError("a rule names one host or one registry: write host: or registry:")
        if self.registry is not None and self.ports is not None:
            raise ValueError("a registry's ports come from its own address: remove ports")
        if self.host == ANY_HOST and self.model_fields_set != {"host"}:
            raise ValueError("a rule for any public host stands alone: remove everything but host")
        return self

    @model_validator(mode="after")
    def _is_enforceable(self) -> Self:
        if self.tls == "passthrough":
            for name in ("methods", "paths", "credential"):
                if getattr(self, name) is not None:
                    raise ValueError(
                        f"{name} cannot be enforced with tls: passthrough: remove one of the two"
                    )
        if self.pin_credential is not None and self.credential is None:
            raise ValueError("pin_credential is about a credential: name it with credential:, or remove it")
        if self.credential_headers is not None and self.credential is None:
            raise ValueError(
                "credential_headers are about a credential: name it with credential:, or remove them"
            )
        if self.passes is not None and (self.credential is None or self.pin_credential is False):
            raise ValueError("passes is about what stands beside a pinned credential: pin one, or remove it")
        if self.credential is not None and self.credential in (self.secrets or ()):
            raise ValueError("a secret is either brokered or sent as it is: remove it from secrets")
        return self

    @property
    def needs_inspection(self) -> bool:
        """Whether the rule is about requests, not about a connection only."""
        return any(value is not None for value in (self.methods, self.paths, self.credential))


class DenyEntry(_Strict):
    """One entry of `egress.deny` as it stands in the file."""

    host: Annotated[str, AfterValidator(_deny_host)]


class Egress(_Strict):
    """The `egress` section; what is absent allows nothing."""

    allow: list[AllowEntry] = []
    deny: list[DenyEntry] = []
    agents: list[Annotated[str, AfterValidator(_agent)]] = []


class BudgetEntries(_Strict):
    """The `budgets` section; what is absent has the built-in limit of `proxy.policy.limits`, or none."""

    requests_per_minute: Count | None = None
    bytes_out: Size | None = None
    bytes_in: Size | None = None
    connections: Count | None = None
    tunnels_per_minute: Count | None = None
    new_names_per_minute: Count | None = None
    dns_questions_per_minute: Count | None = None
    llm_tokens: Count | None = None
    llm_usd: Usd | None = None


class PolicyFile(_Strict):
    """A whole file. The last three keys are the operator's: only the site policy may hold them."""

    version: Literal[1]
    name: PolicyName
    extends: list[PolicyName] = []
    allow_any_public: bool = False
    egress: Egress = Egress()
    budgets: BudgetEntries = BudgetEntries()
    resolve: dict[
        Annotated[str, AfterValidator(_pinned_name)],
        Annotated[list[Annotated[str, AfterValidator(_address)]], Field(min_length=1)],
    ] = {}
    allow_private: list[Annotated[str, AfterValidator(_network)]] = []
    upstream_ca: str | None = None


OPERATOR_ONLY = ("resolve", "allow_private", "upstream_ca")
SECTIONS: dict[str, type[BaseModel]] = {
    "": PolicyFile,
    "egress": Egress,
    "allow": AllowEntry,
    "deny": DenyEntry,
    "passes": PassesEntry,
    "budgets": BudgetEntries,
}
"""The last key on the way to a section -> its model, so that a message can list the keys it knows."""
