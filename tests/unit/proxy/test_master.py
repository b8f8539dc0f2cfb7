"""Every dangerous option of mitmproxy is asserted; one that differs keeps the proxy from starting."""

from __future__ import annotations

import asyncio
import re
import socket
from pathlib import Path

import pytest
from mitmproxy import options
from mitmproxy.addons import core, proxyserver
from mitmproxy.hooks import all_hooks
from mitmproxy.master import Master

from proxy.layers.tls import MemoryTlsConfig
from proxy.master import FORBIDDEN_OPTIONS, REQUIRED_OPTIONS, UnsafeOptionError, assert_safe_options
from proxy.server import ProxyServer, ProxySettings
from tests.harness.ports import free_ports


@pytest.fixture
async def safe() -> options.Options:
    """Options as the proxy sets them."""
    master = Master(options.Options())
    server = proxyserver.Proxyserver()
    server.name = "nextlayer"
    master.addons.add(core.Core(), server, MemoryTlsConfig())
    master.options.update(**REQUIRED_OPTIONS)
    return master.options


async def test_our_own_options_pass(safe: options.Options):
    """The values we set are those we assert."""
    assert_safe_options(safe)


UNSAFE = {
    bool: lambda value: not value,
    str: lambda _: "eager",
    list: lambda _: ["."],
    type(None): lambda _: "1m",
}


@pytest.mark.parametrize("name", REQUIRED_OPTIONS)
async def test_any_other_value_refuses_to_start(safe: options.Options, name: str):
    """One option off, and there is no proxy."""
    required = REQUIRED_OPTIONS[name]
    value = {"client_certs": "/x", "connection_strategy": "eager"}.get(name, UNSAFE[type(required)](required))
    object.__getattribute__(safe, "_options")[name].value = value

    with pytest.raises(UnsafeOptionError, match=name):
        assert_safe_options(safe)


async def test_unknown_release_refuses_to_start(safe: options.Options):
    """An option that no longer exists is no safe option."""
    del object.__getattribute__(safe, "_options")["rawtcp"]

    with pytest.raises(UnsafeOptionError, match="rawtcp does not exist"):
        assert_safe_options(safe)


@pytest.mark.parametrize("name", FORBIDDEN_OPTIONS)
async def test_leaked_ca_options_refuse_to_start(safe: options.Options, name: str):
    """12.3's options that sign with a leaked CA are refused when set."""
    safe.add_option(name, bool, True, "as in 12.3")

    with pytest.raises(UnsafeOptionError, match=name):
        assert_safe_options(safe)


async def test_tls_without_a_ca_gives_no_certificate():
    """Until the daemon hands over its CA, no sandbox gets a TLS connection."""
    assert MemoryTlsConfig().certstore is None
    with pytest.raises(ValueError, match=r"(?i)pem|load"):
        MemoryTlsConfig().set_ca("no pem", "no pem")


def test_mitmproxy_is_pinned_to_what_is_installed_in_the_image():
    """What docs/mitmproxy.md says was seen in this release, and in no other."""
    root = Path(__file__).parents[3]
    [wanted] = re.findall(r'"mitmproxy(.*?)"', (root / "pyproject.toml").read_text().split("proxy = [")[1])[
        :1
    ]
    [locked] = re.findall(r"^mitmproxy(\S+)", (root / "requirements/proxy.txt").read_text(), re.MULTILINE)[:1]
    assert wanted == locked
    assert wanted.startswith("==")


LIFECYCLE = {"add_log", "configure", "done", "load", "running", "update"}


async def test_no_hook_is_in_two_addons(tmp_path: Path):
    """Of all that the master loads, so that their order decides nothing about traffic."""
    master = ProxyServer(ProxySettings("127.0.0.1", tmp_path / "s", tmp_path)).master
    shared = {
        hook: [type(addon).__name__ for addon in master.addons.chain if hasattr(addon, hook)]
        for hook in all_hooks
        if hook not in LIFECYCLE
    }
    shared = {hook: holders for hook, holders in shared.items() if len(holders) > 1}

    # Proxyserver's can only set an error, which ours never takes back.
    assert shared == {"server_connect": ["Proxyserver", "ConnectionHooks"]}


def _settings(folder: Path, taken: socket.socket | None = None) -> ProxySettings:
    ports = free_ports(4)
    if taken is not None:
        ports[-1] = taken.getsockname()[1]
    return ProxySettings("127.0.0.1", folder / "llm.sock", folder, *ports)


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
async def test_a_port_that_cannot_be_had_is_an_error(tmp_path: Path, kind: socket.SocketKind):
    """mitmproxy logs it and goes on; a proxy without its name server must not take a grant."""
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", 0))
        if kind is socket.SOCK_STREAM:
            taken.listen()
        reader, writer, other, closing = await _connection()
        server = ProxyServer(_settings(tmp_path, taken))

        said = r"^cannot listen on names@127\.0\.0\.1:\d+( for datagrams)?: Address already in use$"
        with pytest.raises(OSError, match=said):
            await server.run(reader, writer)

    writer.close()
    assert await asyncio.wait_for(other.read(), 30) == b""  # nothing was said
    closing.close()


async def _connection() -> tuple[
    asyncio.StreamReader, asyncio.StreamWriter, asyncio.StreamReader, asyncio.StreamWriter
]:
    near, far = socket.socketpair()
    return (
        *await asyncio.open_unix_connection(sock=far),
        *await asyncio.open_unix_connection(sock=near),
    )


async def test_nothing_is_said_before_the_last_port_listens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A grant that was acknowledged is one that can be used: no question is lost before there is a listener."""
    may_listen = asyncio.Event()
    start = proxyserver.Proxyserver.setup_servers

    async def late(self: proxyserver.Proxyserver) -> bool:
        await may_listen.wait()
        return await start(self)

    monkeypatch.setattr(proxyserver.Proxyserver, "setup_servers", late)
    reader, writer, other, closing = await _connection()
    server = ProxyServer(_settings(tmp_path))
    running = asyncio.create_task(server.run(reader, writer))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(other.readline(), 0.2)

    may_listen.set()
    assert await asyncio.wait_for(other.readline(), 30) == b'{"event":"listening"}\n'
    assert all(instance.is_running for instance in server.master.addons.get("proxyserver").servers)
    closing.close()
    await asyncio.wait_for(running, 30)


TRAFFIC_HOOKS = {
    "Core": set(),
    "Proxyserver": {"server_connect"},
    "ConnectionHooks": {
        *("client_connected", "client_disconnected", "next_layer", "tls_established_client"),
        *("server_connect", "server_connect_error", "server_connected"),
    },
    "RequestHooks": {
        *("http_connect", "requestheaders", "responseheaders", "response", "websocket_message"),
        *("request_failed", "websocket_opening", "flow_ended"),
    },
    "DnsHooks": {"dns_request"},
    "MemoryTlsConfig": {"tls_clienthello", "tls_start_client", "tls_start_server"},
}
"""Whatever takes part in traffic, by addon: a hook that mitmproxy's classes bring is here on purpose."""


async def test_no_addon_brings_a_hook_that_nobody_chose(tmp_path: Path):
    """TlsConfig of 12.2 answers a request by itself; a later release may bring the next such hook."""
    master = ProxyServer(ProxySettings("127.0.0.1", tmp_path / "s", tmp_path)).master
    brought = {
        type(addon).__name__: {
            hook for hook in all_hooks if hook not in LIFECYCLE and getattr(addon, hook, None) is not None
        }
        for addon in master.addons.chain
    }

    assert brought == TRAFFIC_HOOKS
    assert [addon for addon in master.addons.chain if hasattr(addon, "addons")] == []
