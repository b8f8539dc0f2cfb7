"""Our own hooks are called by the names that the addon has for them."""

from __future__ import annotations

from mitmproxy.test import tflow

from proxy.hooks.requests import RequestHooks
from proxy.layers.failures import FlowEndedHook, RequestFailedHook


def test_the_addon_has_a_hook_for_each() -> None:
    """A name that nobody answers to would be silently ignored."""
    for hook in (FlowEndedHook, RequestFailedHook):
        assert callable(getattr(RequestHooks, hook.name))
    assert FlowEndedHook(tflow.tflow()).args()
