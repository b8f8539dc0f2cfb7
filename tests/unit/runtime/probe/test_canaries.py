"""runtime.probe.canaries: addresses of the cases."""

from __future__ import annotations

import pytest

from runtime.probe.canaries import case_address


def test_case_addresses_stay_in_the_documentation_range():
    """More cases than addresses is an error, never an address of somebody else's."""
    assert case_address(0) == "203.0.113.100"
    assert case_address(154) == "203.0.113.254"
    with pytest.raises(ValueError, match="more cases"):
        case_address(155)
