"""runtime.access.source: one customer is one, whatever addresses it takes."""

from __future__ import annotations

import pytest

from runtime.access.source import source_of


@pytest.mark.parametrize(
    ("peer", "source"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:0:0:1", "2001:db8::/64"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("", ""),
    ],
)
def test_a_source_is_an_address_or_a_network(peer: str, source: str):
    """IPv6 by its /64."""
    assert source_of(peer) == source
