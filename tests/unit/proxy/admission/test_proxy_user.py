"""proxy.admission.proxy_user: who a proxy URL says it is."""

from __future__ import annotations

import pytest

from proxy.admission.proxy_user import ProxyUser, parse_proxy_authorization


@pytest.mark.parametrize(
    ("header", "user"),
    [
        ("Basic ZXhwbGFpbjp0", ProxyUser("explain", "t")),
        ("basic ZXhwbGFpbjp0", ProxyUser("explain", "t")),
        (None, None),
        ("", None),
        ("Bearer x", None),
        ("Basic !!!", None),
        ("Basic /w==", None),
        ("Basic bm9jb2xvbg==", None),
    ],
)
def test_proxy_authorization(header: str | None, user: ProxyUser | None):
    """Only a well-formed Basic header names a user."""
    assert parse_proxy_authorization(header) == user
