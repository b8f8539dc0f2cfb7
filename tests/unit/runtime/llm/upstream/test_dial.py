"""What goes out to a provider: the key, known headers, and nothing else."""

from __future__ import annotations

import ssl

import httpx
import pytest

from proxy.policy.hosts import HostPattern
from proxy.policy.model import AllowRule, Policy
from proxy.policy.refusal import RefusedError
from runtime.llm.upstream.dial import Credential, Dial
from runtime.llm.upstream.timeouts import Timeouts
from runtime.model.secret import Secret

HOST = "api.acme.example"
POLICY = Policy("p", allow=(AllowRule("r", HostPattern.parse(HOST), ports=frozenset({443})),))


async def lookup(_host: str) -> list[str]:
    """A public address for every name."""
    return ["1.1.1.1"]


def dial(*own_headers: str, policy: Policy = POLICY) -> Dial:
    """A way to one provider."""
    credential = Credential("authorization", "Bearer ", Secret("the-key"))
    context = ssl.create_default_context()
    return Dial(policy, HOST, 443, credential, context, Timeouts(), frozenset(own_headers), lookup)


def asked(url: str = f"https://{HOST}/v1") -> httpx.Request:
    """A request as an SDK makes it, with more than it should have."""
    more = {"Acme-Version": "1", "X-Of-The-Environment": "2", "Authorization": "Bearer set-by-the-dial"}
    return httpx.Request("POST", url, headers=more, content=b"{}")


@pytest.mark.parametrize(("own", "sent"), [((), False), (("acme-version",), True)])
async def test_a_header_of_its_own_goes_out_where_the_dialect_has_it(own: tuple[str, ...], sent: bool):
    """Whatever else the SDK or the daemon's environment adds stays here."""
    request = asked()

    await dial(*own).prepare(request)

    assert ("acme-version" in request.headers) == sent
    assert "x-of-the-environment" not in request.headers
    assert request.headers["authorization"] == "Bearer the-key"
    assert (request.url.host, request.headers["host"]) == ("1.1.1.1", HOST)
    assert request.extensions["sni_hostname"] == HOST


@pytest.mark.parametrize("url", ["https://other.example/v1", f"http://{HOST}/v1", f"https://{HOST}:8443/v1"])
async def test_another_place_than_the_providers_gets_no_key(url: str):
    """Whatever led the SDK there."""
    request = asked(url)

    with pytest.raises(RefusedError):
        await dial().prepare(request)

    assert request.headers["authorization"] == "Bearer set-by-the-dial"


async def test_a_host_that_the_runs_policy_refuses_gets_no_key():
    """The daemon reaches no more than the sandbox may."""
    request = asked()

    with pytest.raises(RefusedError):
        await dial(policy=Policy("nothing")).prepare(request)

    assert request.headers["authorization"] == "Bearer set-by-the-dial"
