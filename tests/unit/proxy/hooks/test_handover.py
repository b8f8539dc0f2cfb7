"""What of the secret hooks no HTTP/1 upstream can show: trailers, and how many uploads are remembered."""

from __future__ import annotations

import time

import pytest
from mitmproxy.http import Headers
from mitmproxy.test import tflow

from proxy.admission.grants import GrantRegistry
from proxy.admission.meters import Meter
from proxy.admission.session import Entry, Origin, Session
from proxy.contract.grant import Grant, GrantSecret
from proxy.control.audit import Audit
from proxy.destination.judge import Judged
from proxy.hooks.handover import MAX_UPLOADS
from proxy.hooks.requests import EgressAddon
from proxy.policy.hosts import HostPattern
from proxy.policy.model import AllowRule, Decision, Policy, Verdict

TRUE, STAND_IN = "sk-true-0123456789abcdef", "sk-placeholder-012345678"
RULE = AllowRule("t.allow[0]", HostPattern("llm.test"), credential="KEY", pin_credential=True)
GRANT = Grant(
    sandbox_id="run-1",
    revision=1,
    policy=Policy("t", allow=(RULE,)),
    proxy_address="10.0.0.2",
    sandbox_address="10.0.0.3",
    expires_in_s=60.0,
    token="t",
    secrets=(GrantSecret("KEY", TRUE, STAND_IN),),
)


@pytest.fixture
def addon() -> EgressAddon:
    """An addon that holds the grant."""
    grants = GrantRegistry(time.monotonic)
    grants.put(GRANT)
    return EgressAddon(grants, Audit())


def exchange(addon: EgressAddon, path: str = "/v1/x"):
    """A brokered request and its answer."""
    flow = tflow.tflow(resp=True)
    flow.request.scheme, flow.request.path = "https", path
    flow.request.headers["authorization"] = f"Bearer {STAND_IN}"
    judged = Judged("llm.test", 443, Decision(Verdict.ALLOW, rule_id="t.allow[0]"))
    session = Session("run-1", Origin(Entry.EXPLICIT, 1), Meter(), time.monotonic)
    assert addon.hand_over(flow, GRANT, session, judged) is None
    assert flow.request.headers["authorization"] == f"Bearer {TRUE}"
    return flow


def test_trailers_are_scrubbed(addon: EgressAddon) -> None:
    """HTTP/2 brings headers behind the body too."""
    flow = exchange(addon)
    flow.response.trailers = Headers([(b"x-echo", f"Bearer {TRUE}".encode()), (TRUE.encode(), b"x")])
    addon.response(flow)
    assert flow.response.trailers.fields == (
        (b"x-echo", f"Bearer {STAND_IN}".encode()),
        (STAND_IN.encode(), b"x"),
    )


def test_uploads_are_remembered_up_to_a_bound(addon: EgressAddon) -> None:
    """The oldest is forgotten: a sandbox cannot fill the memory."""
    for number in range(MAX_UPLOADS + 10):
        flow = exchange(addon)
        flow.response.headers["x-goog-upload-url"] = f"https://llm.test/upload?upload_id=u{number}"
        addon.responseheaders(flow)
    assert list(addon._uploads["run-1"]) == [f"u{n}" for n in range(10, MAX_UPLOADS + 10)]


def test_nothing_of_an_exchange_is_in_its_text_form(addon: EgressAddon) -> None:
    """What is kept with a flow, and in the addon, shows neither value nor placeholder."""
    flow = exchange(addon)
    assert TRUE not in f"{flow.metadata!r} {addon.__dict__!r}"
