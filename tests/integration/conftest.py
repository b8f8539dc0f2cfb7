"""Fixtures of the integration tier. A session's canary network is one: import it in one conftest only."""

from __future__ import annotations

from tests.harness.fixtures import canary_net, canary_session, host_listener, loopback_simulator

__all__ = ["canary_net", "canary_session", "host_listener", "loopback_simulator"]
