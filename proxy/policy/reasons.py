"""Why a request is refused: the closed set of reason codes, with what each means to a client. Pure."""

from __future__ import annotations

import enum


class ReasonCode(enum.StrEnum):
    """Why a request was refused: a closed set, part of the API. Never reuse a name."""

    NOT_ALLOWED_HOST = "not_allowed_host"
    DENIED_RULE = "denied_rule"
    PORT = "port"
    METHOD = "method"
    PATH = "path"
    PRIVATE_ADDRESS = "private_address"
    METADATA_ADDRESS = "metadata_address"
    DNS_FAILURE = "dns_failure"
    DNS_REBIND = "dns_rebind"
    SNI_MISMATCH = "sni_mismatch"
    HOST_MISMATCH = "host_mismatch"
    NO_SNI = "no_sni"
    IP_LITERAL = "ip_literal"
    BAD_HOST = "bad_host"
    BAD_REQUEST = "bad_request"
    NOT_TLS_OR_HTTP = "not_tls_or_http"
    FOREIGN_CREDENTIAL = "foreign_credential"
    CREDENTIAL_HOST = "credential_host"
    SECRET_LEAK = "secret_leak"  # noqa: S105 - a code
    BUDGET_REQUESTS = "budget_requests"
    BUDGET_BYTES = "budget_bytes"
    BUDGET_CONNECTIONS = "budget_connections"
    BUDGET_TOKENS = "budget_tokens"
    BUDGET_COST = "budget_cost"
    AGENT_NOT_ALLOWED = "agent_not_allowed"
    NO_GRANT = "no_grant"
    EXPIRED = "expired"
    INTERNAL_ERROR = "internal_error"


_STATUS = {
    ReasonCode.BAD_HOST: 400,
    ReasonCode.BAD_REQUEST: 400,
    ReasonCode.NOT_TLS_OR_HTTP: 400,
    ReasonCode.SNI_MISMATCH: 421,  # RFC 9110 section 15.5.20: not the authority of this connection
    ReasonCode.HOST_MISMATCH: 421,
    ReasonCode.BUDGET_REQUESTS: 429,
    ReasonCode.BUDGET_BYTES: 429,
    ReasonCode.BUDGET_CONNECTIONS: 429,
    ReasonCode.BUDGET_TOKENS: 429,
    ReasonCode.BUDGET_COST: 429,
    ReasonCode.INTERNAL_ERROR: 500,
    ReasonCode.DNS_FAILURE: 502,
}


_RETRY_HELPS = {ReasonCode.DNS_FAILURE, ReasonCode.BUDGET_REQUESTS, ReasonCode.BUDGET_CONNECTIONS}


_OPERATOR_CAN_ALLOW = {
    ReasonCode.NOT_ALLOWED_HOST,
    ReasonCode.PORT,
    ReasonCode.METHOD,
    ReasonCode.PATH,
    ReasonCode.DENIED_RULE,
}
