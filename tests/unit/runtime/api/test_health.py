"""runtime.api.health: readiness names what is wrong, and what helps."""

from __future__ import annotations

import httpx

from runtime.runs.readiness import Check
from tests.unit.runtime.fake_service import FakeService


async def test_readiness_says_what_is_wrong(api: httpx.AsyncClient, service: FakeService):
    """503 with the check, its detail and its remedy."""
    assert (await api.get("/readyz")).status_code == 200
    service.checks_now = [Check("guard", is_ok=False, detail="not proved", remedy="orch up")]

    answer = await api.get("/readyz")

    assert answer.status_code == 503
    assert answer.json()["checks"] == [
        {"name": "guard", "ok": False, "detail": "not proved", "remedy": "orch up"}
    ]
    assert (await api.get("/healthz")).json() == {"status": "ok"}
