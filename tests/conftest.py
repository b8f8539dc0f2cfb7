"""Shared by every tier."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

# The programs that the tests start keep their bytecode, and out of the source tree: hundreds of them are
# `orch`, which takes four times as long where it compiles all that it imports.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
os.environ.setdefault("PYTHONPYCACHEPREFIX", str(Path(__file__).resolve().parents[1] / "build/pycache"))

# mitmproxy 12.2 brings libraries (pyparsing, ldap3) that warn of their own deprecations at import; the
# suite turns warnings into errors, ours to fix, so these imports happen once, here, outside that rule.
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import mitmproxy.addons  # noqa: F401
