"""What is remembered of a sandbox for as long as it holds a grant: the forms of its secrets, its uploads.

Nothing is kept for a sandbox without a grant, so that a late event of a connection that is being cut
cannot bring back what `forget` has dropped.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from proxy.admission.grants import GrantRegistry
from proxy.contract.grant import Grant, GrantSecret
from proxy.policy.reasons import ReasonCode
from proxy.secrets.broker import forms_of
from proxy.secrets.forms import SecretForms, forget_searches

MAX_UPLOADS = 256
"""Upload sessions remembered for a sandbox; the oldest is forgotten."""


class Known(NamedTuple):
    """What is derived from a sandbox's secrets, as long as its grant holds just these."""

    secrets: tuple[GrantSecret, ...]
    forms: tuple[SecretForms, ...]
    """Of every placeholder and every true value."""
    values: tuple[SecretForms, ...]
    """Of the true values alone."""


class KnownSecrets:
    """The forms to look for, by sandbox."""

    def __init__(self, grants: GrantRegistry) -> None:
        self._grants = grants
        self._by_sandbox: dict[str, Known] = {}

    def of(self, grant: Grant) -> Known:
        """Those of a grant; derived once for each set of secrets."""
        known = self._by_sandbox.get(grant.sandbox_id)
        if known is None or known.secrets is not grant.secrets:
            forms = forms_of(grant.secrets)
            values = tuple(form for form in forms if form.reason is ReasonCode.SECRET_LEAK)
            known = Known(grant.secrets, forms, values)
            forget_searches()
            if self._grants.current(grant.sandbox_id) is not None:
                self._by_sandbox[grant.sandbox_id] = known
        return known

    def forget(self, sandbox_id: str) -> None:
        """Drop what is derived from a sandbox's secrets."""
        self._by_sandbox.pop(sandbox_id, None)
        forget_searches()


class Uploads:
    """Ids of the uploads that a sandbox began with its own credential, oldest first."""

    def __init__(self, grants: GrantRegistry) -> None:
        self._grants = grants
        self._by_sandbox: dict[str, dict[str, None]] = {}

    def of(self, sandbox_id: str) -> Collection[str]:
        """The ids that this sandbox may go on with."""
        return self._by_sandbox.get(sandbox_id, {})

    def remember(self, sandbox_id: str, upload_id: str) -> None:
        """Keep one more; the oldest gives way."""
        if self._grants.current(sandbox_id) is None:
            return
        uploads = self._by_sandbox.setdefault(sandbox_id, {})
        uploads[upload_id] = None
        while len(uploads) > MAX_UPLOADS:
            uploads.pop(next(iter(uploads)))

    def forget(self, sandbox_id: str) -> None:
        """Forget the uploads of a sandbox whose grant is gone."""
        self._by_sandbox.pop(sandbox_id, None)
