"""A set of hooks over one grant, wired as the proxy wires them, with sockets that only note what is done."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import pytest
from mitmproxy.test import tflow

from proxy.admission.grants import GrantRegistry
from proxy.admission.session import Entry, Origin, Session
from proxy.contract.grant import Grant, GrantSecret
from proxy.control.audit import Audit
from proxy.destination.judge import Judged
from proxy.hooks.wiring import Hooks, wire
from proxy.policy.hosts import HostPattern
from proxy.policy.model import AllowRule, Decision, Policy, Verdict

TRUE, STAND_IN = "sk-true-0123456789abcdef", "sk-placeholder-012345678"
DB = "database-password-0123456789"
RULES = (
    AllowRule("t.allow[0]", HostPattern("llm.test"), credential="KEY", pin_credential=True),
    AllowRule("t.allow[1]", HostPattern("wild.test", is_wildcard=True)),
)
GRANT = Grant(
    sandbox_id="run-1",
    revision=1,
    policy=Policy("t", allow=RULES),
    proxy_address="127.0.0.1",
    sandbox_address="127.0.0.1",
    expires_in_s=60.0,
    token="t",
    secrets=(GrantSecret("KEY", TRUE, STAND_IN), GrantSecret("DB", DB)),
)
JUDGED = Judged("llm.test", 443, Decision(Verdict.ALLOW, rule_id="t.allow[0]"))


@dataclass
class Wired:
    """The hooks, what they wrote, looked up and did to sockets."""

    hooks: Hooks
    grants: GrantRegistry
    lines: list[dict[str, Any]] = field(default_factory=list)
    lookups: list[str] = field(default_factory=list)
    done: list[tuple[str, str]] = field(default_factory=list)

    def session(self, client_id: str) -> Session:
        """The session of a connection; admitted where it has none yet."""
        clients = self.hooks.clients
        if client_id not in clients.sessions:
            meter = clients.meters.of("run-1")
            clients.sessions[client_id] = Session("run-1", Origin(Entry.EXPLICIT, 1), meter, time.monotonic)
        return clients.sessions[client_id]

    def exchange(self, path: str = "/v1/x", **more: Any) -> Any:
        """A request that was handed over, with an answer."""
        flow = tflow.tflow(resp=True, **more)
        flow.request.scheme, flow.request.path = "https", path
        flow.request.headers["authorization"] = f"Bearer {STAND_IN}"
        session = self.session(flow.client_conn.id)
        assert self.hooks.handover.hand_over(flow, GRANT, session, JUDGED) is None
        assert flow.request.headers["authorization"] == f"Bearer {TRUE}"
        return flow

    # -- Sockets --

    def abort(self, client_id: str) -> None:
        self.done.append(("abort", client_id))

    def close(self, client_id: str) -> None:
        self.done.append(("close", client_id))

    def meter(self, client_id: str, session: Session) -> None:
        self.done.append(("meter", client_id))


@pytest.fixture
def wired() -> Wired:
    """Hooks that hold the grant."""
    grants, audit = GrantRegistry(time.monotonic), Audit()
    grants.put(GRANT)
    lookups: list[str] = []

    async def lookup(host: str) -> list[str]:
        lookups.append(host)
        return ["8.8.8.8"]

    wired = Wired(wire(grants, audit, lookup=lookup), grants, lookups=lookups)
    audit.listener = wired.lines.append
    wired.hooks.clients.sockets = wired
    return wired
