"""What is remembered of a sandbox, and for how long."""

from __future__ import annotations

import dataclasses

from proxy.contract.grant import GrantSecret
from tests.unit.proxy.hooks.conftest import GRANT, Wired


def test_forms_are_derived_once_for_each_set_of_secrets(wired: Wired) -> None:
    """A new revision with other secrets has other forms."""
    known = wired.hooks.known
    assert known.of(GRANT) is known.of(GRANT)
    other = dataclasses.replace(GRANT, revision=2, secrets=(GrantSecret("NEW", "fedcba9876543210-new"),))
    assert {form.name for form in known.of(other).forms} == {"NEW"}


def test_placeholders_are_looked_for_but_are_no_values(wired: Wired) -> None:
    """Only true values are masked in the audit."""
    known = wired.hooks.known.of(GRANT)
    assert sorted(form.name for form in known.forms) == ["DB", "KEY", "KEY"]
    assert sorted(form.name for form in known.values) == ["DB", "KEY"]


def test_nothing_is_kept_for_a_sandbox_without_a_grant(wired: Wired) -> None:
    """A late event of a connection that is being cut brings nothing back."""
    wired.exchange()
    wired.grants.drop("run-1")
    wired.hooks.drop_sandbox("run-1")
    assert wired.hooks.known.of(GRANT).forms
    wired.hooks.uploads.remember("run-1", "u1")
    assert wired.hooks.known._by_sandbox == {}
    assert wired.hooks.uploads._by_sandbox == {}
