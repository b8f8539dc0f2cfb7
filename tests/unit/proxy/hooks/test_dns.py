"""The DNS sink's hook."""

from __future__ import annotations

import pytest
from mitmproxy.net.dns import response_codes
from mitmproxy.test import tflow

from tests.unit.proxy.hooks.conftest import DB, Wired


def ask(wired: Wired, name: str):
    """A question and its answer."""
    flow = tflow.tdnsflow()
    flow.request.questions[0].name = name
    wired.session(flow.client_conn.id)
    wired.hooks.dns.dns_request(flow)
    return flow.response


@pytest.mark.parametrize("zone", ["wild.test", "evil.test"])
def test_a_question_is_never_looked_up(wired: Wired, zone: str) -> None:
    """Whatever is in its name; and no secret gets into a line by it."""
    answer = ask(wired, f"{DB}.{zone}")
    assert answer.response_code == (
        response_codes.NOERROR if zone == "wild.test" else response_codes.NXDOMAIN
    )
    assert wired.lookups == []
    assert [line["host"] for line in wired.lines] == ([] if zone == "wild.test" else ["***"])


def test_the_sink_has_no_way_to_resolve(wired: Wired) -> None:
    """It is not given the dials."""
    assert wired.hooks.dials not in vars(wired.hooks.dns).values()


def test_no_session_no_answer(wired: Wired) -> None:
    """REFUSED: an unanswered query would go to the operating system's resolver."""
    flow = tflow.tdnsflow()
    wired.hooks.dns.dns_request(flow)
    assert flow.response is not None
    assert flow.response.response_code == response_codes.REFUSED
