"""Sessions, deadlines and bytes, without mitmproxy."""

from __future__ import annotations

import pytest

from proxy.admission.session import SILENT
from proxy.policy.limits import MAX_TOLD_BYTES
from proxy.policy.refusal import NO_GRANT, RefusedError
from tests.unit.proxy.hooks.conftest import Wired


def test_a_client_that_lets_its_time_pass_is_cut(wired: Wired) -> None:
    """Once, with a line."""
    session = wired.session("c")
    session.owe(SILENT, within_s=-1)
    for _ in range(2):
        wired.hooks.clients.sweep()
    assert wired.done == [("abort", "c")]
    assert [line["reason_code"] for line in wired.lines] == ["not_tls_or_http"]


def test_a_revoked_sandboxs_connections_are_cut(wired: Wired) -> None:
    """All of its own."""
    wired.session("a")
    wired.session("b").sandbox_id = "run-2"
    wired.hooks.drop_sandbox("run-1")
    assert wired.done == [("abort", "a")]


def test_no_grant_no_bytes(wired: Wired) -> None:
    """The meter around the connection takes the error as a no."""
    session = wired.session("c")
    assert wired.hooks.clients.take_bytes(session, out=1)
    wired.grants.drop("run-1")
    with pytest.raises(RefusedError) as caught:
        wired.hooks.clients.take_bytes(session, out=1)
    assert caught.value.decision is NO_GRANT


def test_a_client_that_only_hears_a_refusal_gets_a_few_bytes(wired: Wired) -> None:
    """Outside of the budget, up to a bound of its own."""
    session = wired.session("c")
    session.told_bytes = 0
    assert wired.hooks.clients.take_bytes(session, into=MAX_TOLD_BYTES)
    assert not wired.hooks.clients.take_bytes(session, into=1)


def test_without_a_master_no_connection_is_served() -> None:
    """What cannot be cut is not let in."""
    import time

    from proxy.admission.grants import GrantRegistry
    from proxy.control.audit import Audit
    from proxy.destination.resolve import lookup_ipv4
    from proxy.hooks.wiring import wire

    sockets = wire(GrantRegistry(time.monotonic), Audit(), lookup=lookup_ipv4).clients.sockets
    for refuse in (sockets.abort, sockets.close):
        with pytest.raises(RuntimeError):
            refuse("c")
    with pytest.raises(RuntimeError):
        sockets.meter("c", None)  # type: ignore[arg-type]
