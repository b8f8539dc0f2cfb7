"""What any HTTP client may send to a host that lists what passes; the host's own list comes on top."""

from __future__ import annotations

from proxy.policy.passes import Passes

_OF_HTTP = (
    *("accept", "accept-charset", "accept-encoding", "accept-language", "cache-control", "connection"),
    *("content-digest", "content-disposition", "content-encoding", "content-language", "content-length"),
    *("content-location", "content-md5", "content-range", "content-type", "date", "digest", "dnt", "expect"),
    *("from", "host", "idempotency-key", "if-match", "if-modified-since", "if-none-match", "if-range"),
    *("if-unmodified-since", "last-event-id", "origin", "pragma", "prefer", "priority", "range", "referer"),
    *("save-data", "sec-ch-*", "sec-fetch-*", "sec-gpc", "sec-websocket-extensions", "sec-websocket-key"),
    *("sec-websocket-protocol", "sec-websocket-version", "transfer-encoding", "upgrade"),
    *("upgrade-insecure-requests", "user-agent", "x-requested-with"),
)
_OF_TRACING = (
    *("b3", "baggage", "sentry-trace", "traceparent", "tracestate", "uber-trace-id", "x-amzn-trace-id"),
    *(
        "correlation-context",
        "langsmith-trace",
        "request-id",
        "x-b3-*",
        "x-client-request-id",
        "x-cloud-trace-context",
        "x-correlation-id",
        "x-datadog-*",
    ),
    "x-request-id",
)
_SUBPROTOCOLS = (
    *("actioncable-v1-json", "graphql-transport-ws", "graphql-ws", "jsonrpc", "mcp", "mqtt", "mqttv3.1"),
    *("ocpp1.6", "ocpp2.0.1", "soap", "stomp", "v10.stomp", "v11.stomp", "v12.stomp", "wamp.2.json"),
    *("wamp.2.msgpack", "xmpp", "realtime", "openai-beta.realtime-v1"),
)
"""Of IANA's registry and of OpenAI's clients: on a pinned host no other passes, since a bare key could."""

ORDINARY = Passes(headers=frozenset((*_OF_HTTP, *_OF_TRACING)), subprotocols=frozenset(_SUBPROTOCOLS))
