"""Who reads an upstream: always one of ours, made in one place."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from mitmproxy.connection import ConnectionState, Server
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http import GetHttpConnection, HttpClient, HTTPMode
from mitmproxy.proxy.layers.http._http1 import Http1Client
from mitmproxy.proxy.layers.http._http2 import Http2Client
from mitmproxy.proxy.layers.tls import ServerTLSLayer
from mitmproxy.test import taddons, tflow

from proxy.admission.meters import Meter
from proxy.admission.session import Entry, Origin, Session
from proxy.layers.http import GuardedHttpClient, GuardedHttpLayer, GuardedHttpStream, upstream_reader
from proxy.layers.http1 import GuardedHttp1Client
from proxy.layers.http2 import GuardedHttp2Client

READERS = {b"h2": GuardedHttp2Client, b"http/1.1": GuardedHttp1Client, None: GuardedHttp1Client}


@pytest.fixture
def context() -> Iterator[Context]:
    """Of a client that is connected."""
    with taddons.context() as addons:
        addons.options.add_option("validate_inbound_headers", bool, True, "")
        client = tflow.tclient_conn()
        client.alpn = b"http/1.1"
        yield Context(client, addons.options)


def connected(alpn: bytes | None = None) -> Server:
    """An upstream."""
    server = Server(address=("ok.test", 443), alpn=alpn)
    server.state = ConnectionState.OPEN
    return server


def session() -> Session:
    """Of a client connection."""
    return Session("run-1", Origin(Entry.EXPLICIT, 1), Meter(), time.monotonic)


def http_layer(context: Context) -> GuardedHttpLayer:
    """A layer with a stream that waits for its upstream."""
    layer = GuardedHttpLayer(context, HTTPMode.regular, session())
    layer.streams[1] = GuardedHttpStream(context.fork(), 1)
    return layer


@pytest.mark.parametrize("is_tls", [False, True], ids=["clear", "TLS"])
def test_a_connection_is_made_for_a_guarded_client(context: Context, *, is_tls: bool) -> None:
    """mitmproxy 12.2 makes an HttpClient in `get_connection`, behind TLS or bare; ours takes its place."""
    layer = http_layer(context)
    wanted = GetHttpConnection(("ok.test", 443), is_tls, None, "tcp")
    layer.command_sources[wanted] = layer.streams[1]
    first = next(iter(layer.get_connection(wanted)))

    assert isinstance(first, commands.OpenConnection)
    [made] = layer.connections.values()
    last = made.child_layer if isinstance(made, ServerTLSLayer) else made
    assert isinstance(made, ServerTLSLayer) is is_tls
    assert type(last) is GuardedHttpClient
    assert not [known for known in last.context.layers if type(known) is HttpClient]


@pytest.mark.parametrize("alpn", READERS)
def test_a_guarded_client_reads_with_a_guarded_reader(context: Context, alpn: bytes | None) -> None:
    """By what the upstream speaks."""
    context.server = connected(alpn)
    client = GuardedHttpClient(context, session())
    list(client.handle_event(events.Start()))
    assert type(client.child_layer) is READERS[alpn]
    assert type(upstream_reader(context, session())) is READERS[alpn]


@pytest.mark.parametrize("reader", [Http1Client, Http2Client])
def test_a_reader_that_is_not_ours_is_never_started(context: Context, reader: type) -> None:
    """The layer around this one turns the exception into a cut (`MeteredLayer`)."""
    context.server = connected()
    layer = http_layer(context)
    with pytest.raises(RuntimeError, match="not ours"):
        list(layer.event_to_child(reader(context.fork()), events.Start()))


def test_an_upstream_that_speaks_unasked_is_not_read(context: Context) -> None:
    """mitmproxy 12.2 would make a reader of its own for it; with the lazy strategy there is none."""
    context.server = connected()
    layer = http_layer(context)
    with pytest.raises(RuntimeError, match="not ours"):
        list(layer._handle_event(events.DataReceived(context.server, b"HTTP/1.1 200 OK\r\n\r\n")))
