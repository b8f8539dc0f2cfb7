"""The addons share their parts, and no order among them means anything."""

from __future__ import annotations

from mitmproxy.hooks import all_hooks

from tests.unit.proxy.hooks.conftest import Wired


def test_no_hook_is_in_two_addons(wired: Wired) -> None:
    """So that the order in which mitmproxy calls them decides nothing."""
    for hook in all_hooks:
        holders = [type(addon).__name__ for addon in wired.hooks.addons if hasattr(addon, hook)]
        assert len(holders) <= 1, (hook, holders)


def test_no_addon_inherits_anything(wired: Wired) -> None:
    """What runs is what the class itself says."""
    for addon in wired.hooks.addons:
        assert type(addon).__bases__ == (object,)


def test_the_addons_share_their_parts(wired: Wired) -> None:
    """One set of sessions, one recorder."""
    hooks = wired.hooks
    for addon in (hooks.connections, hooks.requests, hooks.dns):
        assert addon.clients is hooks.clients
        assert addon.recorder is hooks.recorder
