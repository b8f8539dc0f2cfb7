"""runtime.canary.net.host: what the machine needs meanwhile."""

from __future__ import annotations

from pathlib import Path

from runtime.canary.net.host import _resolvers, resolve


async def test_a_name_becomes_its_addresses_with_words() -> None:
    """A port is no part of a name, and an address needs no look-up."""
    assert await resolve(["192.0.2.9:8443"]) == [("192.0.2.9", "the package mirror 192.0.2.9")]


async def test_a_name_that_does_not_resolve_is_left_out() -> None:
    """An unknown mirror cannot be kept clear of, and is no reason not to start."""
    assert await resolve(["no-such-host.invalid", "a..b"]) == []


def test_resolvers_are_read(tmp_path: Path) -> None:
    """Each name server of the system's file, and none where there is no file."""
    path = tmp_path / "resolv.conf"
    assert _resolvers(path) == []
    path.write_text("# x\nsearch a.b\nnameserver 203.0.113.53\nnameserver fe80::1%eth0\n")
    assert [address for address, _ in _resolvers(path)] == ["203.0.113.53", "fe80::1"]
