"""Every dangerous option of mitmproxy is asserted; one that differs keeps the proxy from starting."""

from __future__ import annotations

import pytest
from mitmproxy import options
from mitmproxy.addons import core, proxyserver
from mitmproxy.master import Master

from proxy.layers.tls import MemoryTlsConfig
from proxy.master import FORBIDDEN_OPTIONS, REQUIRED_OPTIONS, UnsafeOptionError, assert_safe_options


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
