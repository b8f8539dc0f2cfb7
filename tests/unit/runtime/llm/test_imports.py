"""The daemon's start does not pay for the SDKs, and prices are never fetched."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("any_llm", "openai", "anthropic", "genai_prices", "httpx2")


@pytest.mark.parametrize("module", ["runtime.llm.app", "runtime.llm.session", "runtime.daemon.daemon"])
def test_no_sdk_is_imported_before_the_first_call(module: str) -> None:
    """They cost 2 s and 50 MiB."""
    code = f"import {module}, sys; print([m for m in {HEAVY!r} if m in sys.modules])"

    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )

    assert shown.stdout.strip() == "[]"


def test_prices_are_never_fetched() -> None:
    """The list that is shipped is the one in use after a price was asked for; no thread waits to renew it."""
    code = (
        "import socket, threading\n"
        "socket.socket.connect = None\n"
        "from runtime.llm.plan.prices import price\n"
        "from runtime.llm.plan.chain import Route\n"
        "from runtime.llm.plan.budget import Usage\n"
        "cost = price(Route('openai', 'gpt-5-mini'), Usage(10**6, 0))\n"
        "from genai_prices import data_snapshot, update_prices\n"
        "print(cost, data_snapshot._custom_snapshot, threading.active_count())\n"
    )

    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )

    assert shown.stdout.split()[1:] == ["None", "1"]
    assert float(shown.stdout.split()[0]) > 0
