"""Shared by every tier."""

from __future__ import annotations

import warnings

# mitmproxy 12.2 brings libraries (pyparsing, ldap3) that warn of their own deprecations at import; the
# suite turns warnings into errors, ours to fix, so these imports happen once, here, outside that rule.
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import mitmproxy.addons  # noqa: F401
