"""Records grow old: finished runs and both audits' lines are removed by age and size, no others ever."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

import structlog

from runtime.model.retention import KeepRules, Pruned
from runtime.runs.ports import StorePort

PRUNE_EVERY_S = 3600.0
DAY_S = 86_400.0


class VaultAuditPort(Protocol):
    """The vault's audit (`runtime.vault.service.Vault`)."""

    async def prune_audit(self, before: float, *, is_dry: bool) -> int:
        """Remove the lines older than this; how many."""


class ChainPort(Protocol):
    """The daemon's audit (`runtime.audit.log.AuditLog`)."""

    async def prune(self, before: float, *, is_dry: bool) -> int:
        """Remove the files whose lines are all older than this; how many lines."""


class RetriesPort(Protocol):
    """The keys of requests (`runtime.idempotency.service.Retries`)."""

    async def prune(self) -> int:
        """Remove those that have expired; how many."""


class RetentionPort(Protocol):
    """What the API needs of it."""

    async def prune(self, *, is_dry: bool) -> Pruned:
        """Remove what is beyond the bounds; with `is_dry` only say what that would be."""


class Retention:
    """Prunes by the operator's rules, on demand and every hour."""

    def __init__(
        self,
        store: StorePort,
        vault: VaultAuditPort,
        audit: ChainPort,
        rules: KeepRules,
        retries: RetriesPort | None = None,
    ) -> None:
        self._store = store
        self._vault = vault
        self._retries = retries
        self._audit = audit
        self._rules = rules
        self._one_at_a_time = asyncio.Lock()
        self._log = structlog.get_logger()

    async def prune(self, *, is_dry: bool) -> Pruned:
        """Remove what is beyond the bounds; with `is_dry` only say what that would be.

        Raises NotReadyError when the database is away: what was removed by then stays removed.
        """
        rules, now = self._rules, time.time()
        async with self._one_at_a_time:
            runs, size = await self._store.prune(now - rules.days * DAY_S, rules.runs_bytes, is_dry=is_dry)
            before = now - rules.audit_days * DAY_S
            lines = await self._vault.prune_audit(before, is_dry=is_dry)
            lines += await self._audit.prune(before, is_dry=is_dry)
            if self._retries is not None and not is_dry:
                await self._retries.prune()
        done = Pruned(runs, size, lines)
        if not is_dry and (runs or lines):
            self._log.info("pruned", runs=runs, bytes=size, audit_lines=lines)
        return done

    async def keep(self) -> None:
        """Prune now and every hour. Ends by cancellation only."""
        while True:
            try:
                await self.prune(is_dry=False)
            except Exception as exc:  # noqa: BLE001 - a database that is away is asked again
                self._log.error("not-pruned", error=type(exc).__name__)
            await asyncio.sleep(PRUNE_EVERY_S)
