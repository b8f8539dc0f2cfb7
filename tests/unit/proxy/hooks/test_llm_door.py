"""The way to the LLM router."""

from __future__ import annotations

import pytest
from mitmproxy.test import tutils

from proxy.contract.messages import SANDBOX_HEADER
from proxy.control.llm_relay import LOOPBACK
from proxy.policy.llm import LLM_HOST
from tests.unit.proxy.hooks.conftest import GRANT, Wired


def test_a_request_carries_the_sandboxs_name_and_no_credential(wired: Wired) -> None:
    """Neither one of the client's, nor its own idea of who it is."""
    request = tutils.treq()
    request.headers["authorization"] = "Bearer x"
    request.headers["x-orchbox-sandbox"] = "another"
    request.headers["accept"] = "*/*"
    wired.hooks.door.port = 5
    session = wired.session("c")
    wired.hooks.door.lead(request, GRANT, session)
    assert "authorization" not in request.headers
    assert request.headers[SANDBOX_HEADER] == "run-1"
    assert request.headers["accept"] == "*/*"
    assert (request.port, session.pins[LLM_HOST, 5]) == (5, LOOPBACK)


def test_no_relay_no_way(wired: Wired) -> None:
    """It fails, and failing refuses."""
    with pytest.raises(RuntimeError):
        wired.hooks.door.lead(tutils.treq(), GRANT, wired.session("c"))
    assert wired.hooks.door.refusal(GRANT.policy) is not None
