"""The rows' own parts: where a provider answers."""

from __future__ import annotations

from runtime.model.llm_provider import Endpoint, LocalProvider


def test_an_endpoint_is_an_https_url():
    """The usual port is left out."""
    assert Endpoint("api.example").url == "https://api.example"
    assert Endpoint("api.example", path="/v1").url == "https://api.example/v1"
    assert Endpoint("api.example", 8443, "/v1").url == "https://api.example:8443/v1"


def test_a_local_provider_is_where_its_variable_says():
    """Its own address stands in for a variable that is empty or not set."""
    row = LocalProvider(name="x", default_model="m", url_variable="X_HOST", url="http://localhost:1")

    assert row.url_in({"X_HOST": "http://other:2"}) == "http://other:2"
    assert row.url_in({"X_HOST": ""}) == row.url_in({}) == "http://localhost:1"
