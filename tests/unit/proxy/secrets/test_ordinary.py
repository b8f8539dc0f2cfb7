"""What any client may send is nothing that could hold a key by its name."""

from __future__ import annotations

from proxy.secrets import positions
from proxy.secrets.ordinary import ORDINARY


def test_no_ordinary_place_is_one_for_credentials() -> None:
    """The list and the words for credentials agree, so that a listed name passes in fact."""
    assert [name for name in ORDINARY.headers if positions.is_credential_header(name)] == []
    assert [item for item in ORDINARY.subprotocols if positions.is_credential_subprotocol(item)] == []
    assert ORDINARY.parameters == frozenset()
    assert {name for name in ORDINARY.headers if name != name.lower()} == set()
