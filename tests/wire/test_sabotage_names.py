"""Each sabotage of the probe tier takes out something that is there: a name that has moved would remove nothing.

Whether the probe notices is `tests/probe/test_sabotage.py`, which needs the engine.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from proxy import master, server
from proxy.destination import judge, resolve
from proxy.hooks import connections, dials, dns, handover, requests
from proxy.layers import http1, http2, routes
from proxy.policy import limits, paths
from proxy.secrets import outgoing
from tests.probe.sabotage_proxy import SABOTAGES

PLACES: tuple[Any, ...] = (
    *(master, server, judge, resolve, connections, dials, dns, handover, requests, http1, http2),
    *(routes, limits, paths, outgoing),
    *(connections.ConnectionHooks, dns.DnsHooks, requests.RequestHooks, handover.Handover),
)


@pytest.fixture
def before() -> Iterator[list[dict[str, Any]]]:
    """What stands where, put back afterwards."""
    options = dict(master.REQUIRED_OPTIONS)
    seen = [dict(vars(place)) for place in PLACES]
    yield seen
    for place, names in zip(PLACES, seen, strict=True):
        for name, value in changed(names, place).items():
            setattr(place, name, value)
    master.REQUIRED_OPTIONS.clear()
    master.REQUIRED_OPTIONS.update(options)


def changed(names: dict[str, Any], place: Any) -> dict[str, Any]:
    """What stood where something else stands now."""
    return {name: value for name, value in names.items() if vars(place)[name] is not value}


@pytest.mark.parametrize("defence", SABOTAGES)
def test_a_sabotage_replaces_what_is_there(before: list[dict[str, Any]], defence: str):
    """Something changes, and no name is new."""
    options = dict(master.REQUIRED_OPTIONS)

    SABOTAGES[defence]()

    for place, names in zip(PLACES, before, strict=True):
        assert set(vars(place)) == set(names), place
    is_changed = any(changed(names, place) for place, names in zip(PLACES, before, strict=True))
    assert is_changed or options != master.REQUIRED_OPTIONS
