"""A sandbox with keys, for the wire tests: llm.test is brokered and pinned, ok.test is any other host."""

from __future__ import annotations

import dataclasses
from typing import Any

import httpx

from proxy.contract.grant import GrantSecret
from proxy.policy.hosts import HostPattern
from proxy.policy.model import AllowRule, Policy, TlsMode
from tests.wire.conftest import Rig
from tests.wire.origin import UPSTREAM
from tests.wire.test_refusals import client

TRUE, STAND_IN = "sk-true-0123456789abcdef", "sk-placeholder-012345678"
assert len(TRUE) == len(STAND_IN)
NEW_TRUE = "sk-new0-fedcba9876543210"
DB = "database-password-0123456789"
THIEF = "sk-THIEF-0123456789"
KEY = GrantSecret("OPENAI_API_KEY", TRUE, STAND_IN)
DB_SECRET = GrantSecret("DB_PASSWORD", DB)
OWN = {"authorization": f"Bearer {STAND_IN}"}


def keyed_policy(rig: Rig) -> Policy:
    """The rig's policy with llm.test brokered, and db.test where the password may go."""
    tls, plain = rig.upstream.tls_port, rig.upstream.plain_port
    policy = rig.policy()
    llm = AllowRule(
        id="t.allow[6]",
        host=HostPattern.parse("llm.test"),
        ports=frozenset({tls, plain}),
        paths=("/v1/*", "/upload/*"),
        credential="OPENAI_API_KEY",
        pin_credential=True,
    )
    kept = tuple(
        dataclasses.replace(rule, secrets=frozenset({"DB_PASSWORD"})) if rule.id == "t.allow[3]" else rule
        for rule in policy.allow
    )
    default = AllowRule(
        id="t.allow[7]",
        host=HostPattern.parse("a.wild.test"),
        ports=frozenset({tls}),
        tls=TlsMode.PASSTHROUGH,
        is_tls_chosen=False,
    )
    return dataclasses.replace(
        policy,
        allow=(default, *kept, llm),
        resolve={**policy.resolve, "llm.test": (UPSTREAM,), "a.wild.test": (UPSTREAM,)},
        has_tripwire=True,
    )


async def give_keys(rig: Rig, *secrets: GrantSecret, revision: int = 2) -> None:
    """Put a grant with these secrets in force."""
    await rig.link.grant(
        rig.grant(revision=revision, policy=keyed_policy(rig), secrets=secrets or (KEY, DB_SECRET))
    )


async def send(rig: Rig, host: str, target: str = "/v1/x", **more: Any) -> httpx.Response:
    """One request by an ordinary client; POST where it has content."""
    method = more.pop("method", "POST" if "content" in more else "GET")
    async with client(rig) as http:
        return await http.request(method, f"https://{host}:{rig.upstream.tls_port}{target}", **more)


def reason(response: httpx.Response) -> str | None:
    """The reason code of a refusal."""
    return None if response.status_code == 200 else response.json()["reason_code"]


def sent_head(rig: Rig) -> str:
    """The newest head that reached the upstream."""
    return rig.upstream.heads[-1]
