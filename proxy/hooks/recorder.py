"""The one way to write a decision line: masked always, and counted only where refusals come too fast."""

from __future__ import annotations

import time
import uuid
from dataclasses import replace

from proxy.admission.grants import GrantRegistry
from proxy.admission.meters import Meters
from proxy.admission.session import Origin
from proxy.contract.decision_line import MASK, decision_line
from proxy.contract.grant import Grant
from proxy.control.audit import Audit
from proxy.destination.judge import Judged
from proxy.hooks.known import KnownSecrets
from proxy.policy.model import Verdict
from proxy.policy.reasons import ReasonCode
from proxy.secrets.forms import find_form, find_in_name


class Recorder:
    """Holds the audit, so that nothing else writes to it."""

    def __init__(self, audit: Audit, grants: GrantRegistry, meters: Meters, known: KnownSecrets) -> None:
        self._audit = audit
        self._grants = grants
        self._meters = meters
        self._known = known

    def record(  # noqa: PLR0913 - one parameter a field
        self,
        grant: Grant | None,
        origin: Origin,
        judged: Judged,
        *,
        method: str | None = None,
        path: str | None = None,
        request_id: str | None = None,
        sandbox_id: str | None = None,
        suppressed: int = 0,
    ) -> str:
        """Write the audit line, or only count a refusal that comes too fast; the request id.

        A sandbox cannot put a value into the audit by naming it in a request. `sandbox_id` counts where no
        grant is in force any more: the line is masked by the last one, and with nothing to mask by it says
        nothing of what was asked.
        """
        sandbox_id = grant.sandbox_id if grant else sandbox_id
        holder = grant or (self._grants.last(sandbox_id) if sandbox_id else None)
        if holder is None and sandbox_id is not None:
            judged, method, path = judged._replace(host=""), None, None
        request_id = request_id or uuid.uuid4().hex
        if judged.decision.verdict is not Verdict.ALLOW and not suppressed:
            reason = judged.decision.reason_code or ReasonCode.INTERNAL_ERROR
            if not self._meters.find(sandbox_id).take_deny_line(reason, self._meters.clock()):
                return request_id
        judged = self.masked(holder, judged)
        self._audit.record(
            decision_line(
                judged.decision,
                at=time.time(),
                sandbox_id=sandbox_id,
                policy_name=grant.policy.name if grant else None,
                entry=origin.entry.value,
                client_port=origin.client_port,
                method=self._mask(holder, method) if method else method,
                host=judged.host,
                port=judged.port or None,
                path=self._mask(holder, path.partition("?")[0]) if path else path,
                request_id=request_id,
                suppressed=suppressed,
            )
        )
        return request_id

    def masked(self, grant: Grant | None, judged: Judged) -> Judged:
        """The same without any secret of the sandbox, as the audit and the client may be told it."""
        if not grant or not grant.secrets:
            return judged
        decision = replace(judged.decision, detail=self._mask(grant, judged.decision.detail))
        return Judged(self._mask(grant, judged.host), judged.port, decision)

    def _mask(self, grant: Grant | None, text: str) -> str:
        values = self._known.of(grant).values if grant else ()
        raw = text.encode(errors="surrogateescape")
        return MASK if find_form(values, raw) or find_in_name(values, text) else text
