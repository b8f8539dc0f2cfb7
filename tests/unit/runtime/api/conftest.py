"""What the tests of the API's routes share: the API over a fake service, asked without a socket."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from runtime.access.caller import UnixPeer
from runtime.api.app import make_api
from tests.unit.runtime.fake_service import FakeService


@pytest.fixture
def service() -> FakeService:
    """A service in memory."""
    return FakeService()


@pytest.fixture
async def api(service: FakeService) -> AsyncIterator[httpx.AsyncClient]:
    """Its API."""
    transport = httpx.ASGITransport(
        make_api(service), raise_app_exceptions=False, client=(UnixPeer("uid:0"), 0)
    )
    async with httpx.AsyncClient(transport=transport, base_url="http://orchbox", trust_env=False) as made:
        yield made
