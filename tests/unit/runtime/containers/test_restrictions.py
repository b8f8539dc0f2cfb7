"""What every container of ours starts with. What it does is shown in tests/integration/test_hardening.py."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runtime.containers.helper import helper_config
from runtime.containers.seccomp import read_profile
from runtime.errors import NotReadyError
from tests.unit.runtime.containers.test_proxy import proxy
from tests.unit.runtime.containers.test_sandbox import sandbox


def test_nothing_is_configured_without_a_profile(monkeypatch: pytest.MonkeyPatch):
    """A profile that is not there keeps every container from being made, with a reason and a remedy."""

    def missing(*, is_gvisor: bool) -> str:
        return read_profile(Path("/nonexistent/seccomp.json"))

    monkeypatch.setattr("runtime.containers.restrictions.profile", missing)
    for make in (sandbox, proxy, lambda: helper_config("d", ["x"], labels={}, network="host")):
        with pytest.raises(NotReadyError, match=r"cannot be read .* no container is started"):
            make()


def test_configurations_are_json():
    """Each configuration is the body of a request."""
    for config in (sandbox(), proxy(), helper_config("d", ["x"], labels={}, network="host")):
        assert json.loads(json.dumps(config)) == config
