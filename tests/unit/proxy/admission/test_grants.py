"""Grants by network, revision and time."""

from __future__ import annotations

import pytest

from proxy.admission.grants import GrantRefusedError, GrantRegistry, is_token_of
from proxy.contract.grant import Grant
from proxy.policy.model import Policy


class Clock:
    """A clock that is set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def grant(sandbox_id: str = "a", revision: int = 1, address: str = "10.0.0.3", **more) -> Grant:
    """A grant on the network of `address`."""
    proxy = address.rsplit(".", 1)[0] + ".2"
    values = {
        "policy": Policy(name="p"),
        "proxy_address": proxy,
        "sandbox_address": address,
        "expires_in_s": 10.0,
    }
    return Grant(sandbox_id=sandbox_id, revision=revision, token="t", **{**values, **more})


@pytest.fixture
def clock() -> Clock:
    """Time stands still."""
    return Clock()


def test_starts_empty(clock: Clock):
    """No grant, no traffic."""
    assert GrantRegistry(clock).find("10.0.0.2", "10.0.0.3") is None


@pytest.mark.parametrize(
    ("proxy", "peer", "is_found"),
    [
        ("10.0.0.2", "10.0.0.3", True),
        ("10.0.1.2", "10.0.0.3", False),
        ("10.0.0.2", "10.0.0.4", False),
        ("0.0.0.0", "10.0.0.3", True),
        (None, "10.0.0.3", True),
        (None, "10.0.0.9", False),
    ],
)
def test_a_connection_needs_both_addresses(clock: Clock, proxy: str | None, peer: str, is_found: bool):
    """A connection belongs to a grant by the network it came in on and its peer; UDP by the peer alone."""
    grants = GrantRegistry(clock)
    grants.put(grant())

    assert (grants.find(proxy, peer) is not None) == is_found


def test_ambiguous_peer_is_nobody(clock: Clock):
    """A peer address that two networks use names no grant where the network is unknown."""
    grants = GrantRegistry(clock)
    grants.put(grant("a"))
    grants.put(grant("b", proxy_address="10.0.0.1"))

    assert grants.find(None, "10.0.0.3") is None


def test_expired_grant_is_none_and_is_listed(clock: Clock):
    """A grant ends with its time, and is told apart from one that never was."""
    grants = GrantRegistry(clock)
    grants.put(grant())
    clock.now = 10.0

    assert grants.current("a") is None
    assert grants.expired() == ["a"]


def test_older_revision_is_refused(clock: Clock):
    """Only a newer revision replaces a grant."""
    grants = GrantRegistry(clock)
    grants.put(grant(revision=2))

    with pytest.raises(GrantRefusedError, match="revision 2 is not newer"):
        grants.put(grant(revision=2))


def test_newer_revision_moves_the_network(clock: Clock):
    """A replaced grant's old network no longer counts."""
    grants = GrantRegistry(clock)
    grants.put(grant())
    grants.put(grant(revision=2, address="10.0.1.3"))

    assert grants.find("10.0.0.2", "10.0.0.3") is None
    assert grants.find("10.0.1.2", "10.0.1.3") is not None


def test_network_of_another_sandbox_is_refused(clock: Clock):
    """Two sandboxes never share a network."""
    grants = GrantRegistry(clock)
    grants.put(grant("a"))

    with pytest.raises(GrantRefusedError, match="belongs to another sandbox"):
        grants.put(grant("b"))


def test_drop_and_clear(clock: Clock):
    """What is dropped is gone from both views."""
    grants = GrantRegistry(clock)
    grants.put(grant("a"))
    grants.put(grant("b", address="10.0.1.3"))

    assert (grants.drop("a"), grants.drop("a")) == (True, False)
    assert grants.clear() == ["b"]
    assert (grants.held(), grants.proxy_addresses()) == ([], set())


def test_token_is_never_shown_and_is_compared():
    """A grant's text form has no token."""
    assert "'t'" not in repr(grant())
    assert is_token_of(grant(), "t")
    assert not is_token_of(grant(), "x")
