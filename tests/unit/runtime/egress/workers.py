"""A link to the proxy that makes a worker for each sandbox, as the keepers of runs do in their processes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from proxy.contract.grant import Grant
from runtime.egress.link import ProxyLink
from runtime.egress.worker_link import WorkerLink, open_worker
from runtime.errors import NotReadyError


class Workers(ProxyLink):
    """The workers by sandbox."""

    def __init__(self, socket_path: Path) -> None:
        super().__init__(socket_path)
        self.on_sandbox_lost: Callable[[str], None] = lambda _sandbox_id: None
        self._workers: dict[str, WorkerLink] = {}

    async def grant(self, grant: Grant) -> None:
        """The first revision to a new worker. Raises what `open_worker` and the worker raise."""
        worker = self._workers.get(grant.sandbox_id)
        if worker is None:
            worker = self._workers[grant.sandbox_id] = await open_worker(self._path, grant.proxy_address)
            worker.on_lost = lambda: self._lose(grant.sandbox_id)
        await worker.grant(grant)

    async def revoke(self, sandbox_id: str) -> None:
        """Take the grant back and end the worker."""
        if (worker := self._workers.pop(sandbox_id, None)) is not None:
            await worker.revoke(sandbox_id)
            await worker.close()

    def ca_pem(self, sandbox_id: str) -> str:
        """The sandbox's own. Raises NotReadyError."""
        if sandbox_id not in self._workers:
            raise NotReadyError("no process")
        return self._workers[sandbox_id].ca_pem

    async def close(self) -> None:
        """With every worker."""
        for sandbox_id in list(self._workers):
            await self.revoke(sandbox_id)
        await super().close()

    def _lose(self, sandbox_id: str) -> None:
        if self._workers.pop(sandbox_id, None) is not None:
            self.on_sandbox_lost(sandbox_id)
