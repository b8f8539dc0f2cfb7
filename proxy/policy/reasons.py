"""Why something is refused: the closed set of reason codes, one row each. Pure.

A new code is one row here and one in docs/reason-codes.md, which a test compares with this table.
"""

from __future__ import annotations

import enum
from typing import NamedTuple


class _Row(NamedTuple):
    """One code; the order is that of `ReasonCode.__new__`."""

    code: str
    meaning: str
    status: int = 403
    may_retry: bool = False
    operator_can_allow: bool = False


class ReasonCode(enum.StrEnum):
    """Why something was refused: a closed set, part of the API. Never reuse a name for another meaning."""

    _value_: str
    meaning: str
    """One sentence for whoever reads the code for the first time."""
    status: int
    """Of the HTTP answer that tells it."""
    may_retry: bool
    """Whether asking again, unchanged, may help."""
    operator_can_allow: bool
    """Whether a change of the policy could allow it."""

    def __new__(
        cls,
        code: str,
        meaning: str,
        status: int,
        may_retry: bool,  # noqa: FBT001
        operator_can_allow: bool,  # noqa: FBT001
    ) -> ReasonCode:
        """Make a member of one row. Raises ValueError for a row without a sentence."""
        if not meaning.endswith("."):
            raise ValueError(f"reason code {code}: its meaning is no sentence")
        made = str.__new__(cls, code)
        made._value_ = code
        made.meaning = meaning
        made.status = status
        made.may_retry = may_retry
        made.operator_can_allow = operator_can_allow
        return made

    NOT_ALLOWED_HOST = _Row(
        "not_allowed_host", "No rule of the policy allows this host.", operator_can_allow=True
    )
    DENIED_RULE = _Row("denied_rule", "A deny rule of the policy names this host.", operator_can_allow=True)
    PORT = _Row("port", "The host is allowed, but not on this port.", operator_can_allow=True)
    METHOD = _Row("method", "The host is allowed, but not this method.", operator_can_allow=True)
    PATH = _Row("path", "The host and the method are allowed, but not this path.", operator_can_allow=True)
    PRIVATE_ADDRESS = _Row(
        "private_address", "The host's address is not public, and the operator has not listed it."
    )
    METADATA_ADDRESS = _Row(
        "metadata_address", "The host's address is a cloud's metadata service, which is never reachable."
    )
    DNS_FAILURE = _Row("dns_failure", "The host's name could not be resolved.", 502, may_retry=True)
    DNS_REBIND = _Row(
        "dns_rebind", "The connection that was made does not lead to the address that was checked."
    )
    SNI_MISMATCH = _Row(  # 421: RFC 9110 section 15.5.20, not the authority of this connection
        "sni_mismatch", "The TLS handshake names another host than the connection or the request.", 421
    )
    HOST_MISMATCH = _Row(
        "host_mismatch", "The places of a request that name its host do not name the same one.", 421
    )
    NO_SNI = _Row("no_sni", "The TLS handshake names no host.")
    IP_LITERAL = _Row("ip_literal", "The host is an address that the policy does not list.")
    BAD_HOST = _Row("bad_host", "The host is not written as a host name or an address.", 400)
    BAD_REQUEST = _Row("bad_request", "The request is malformed, or too large in one of its parts.", 400)
    BAD_ANSWER = _Row(
        "bad_answer", "The upstream's answer is malformed, or too large in one of its parts.", 502
    )
    NOT_TLS_OR_HTTP = _Row("not_tls_or_http", "The connection speaks neither TLS nor HTTP.", 400)
    FOREIGN_CREDENTIAL = _Row(
        "foreign_credential", "The host takes only the sandbox's own credential, and another one was sent."
    )
    CREDENTIAL_HOST = _Row(
        "credential_host", "A placeholder was sent to a host, or in a place, that it is not for."
    )
    SECRET_LEAK = _Row("secret_leak", "A secret's value was sent where it must not go.")
    BUDGET_REQUESTS = _Row("budget_requests", "Too many requests in a minute.", 429, may_retry=True)
    BUDGET_BYTES = _Row("budget_bytes", "The bytes that this sandbox may move are used up.", 429)
    BUDGET_CONNECTIONS = _Row("budget_connections", "Too many connections at one time.", 429, may_retry=True)
    BUDGET_TOKENS = _Row("budget_tokens", "This run's LLM tokens are used up (budget llm_tokens).", 429)
    BUDGET_COST = _Row("budget_cost", "This run's money for LLM calls is used up (budget llm_usd).", 429)
    NO_PRICE = _Row(
        "no_price",
        "A budget in dollars is set (llm_usd), and no price is known of the model or option that was asked.",
    )
    AGENT_NOT_ALLOWED = _Row(
        "agent_not_allowed", "Reserved for calls from agent to agent; nothing is refused with it yet."
    )
    NO_GRANT = _Row("no_grant", "The connection belongs to no sandbox that is allowed out.")
    EXPIRED = _Row("expired", "The sandbox's time is over.")
    INTERNAL_ERROR = _Row("internal_error", "The proxy failed to decide, so it refused.", 500)
