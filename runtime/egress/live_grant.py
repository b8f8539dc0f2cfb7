"""The grant of a sandbox that runs: renewed when a secret that was given to it changes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from proxy.contract.grant import Grant, GrantSecret
from runtime.egress.port import WorkerPort
from runtime.model.secret import Secret


class LiveGrant:
    """One sandbox's. Its revisions are given one after the other."""

    def __init__(self, worker: WorkerPort, grant: Grant, clock: Callable[[], float]) -> None:
        """`grant` is in force; `clock` is monotonic, in seconds."""
        self._worker = worker
        self._grant = grant
        self._clock = clock
        self._ends_at = clock() + grant.expires_in_s
        self._turn = asyncio.Lock()

    async def replace_secret(self, name: str, value: Secret | None) -> bool:
        """Give a brokered secret another value, or take it away; whether the sandbox has it as a broker's.

        Returns once the proxy enforces it. A value that the sandbox itself holds cannot be taken back: the
        tripwire goes on looking for it. A new value that cannot be delivered takes the old one away.
        Raises NotReadyError without a proxy (which then holds no grant at all), InvalidInputError where the
        proxy refuses, with the old value gone.
        """
        async with self._turn:
            held = next((s for s in self._grant.secrets if s.name == name), None)
            if held is None or held.placeholder is None:
                return False
            others = tuple(s for s in self._grant.secrets if s.name != name)
            if value is not None:
                try:
                    await self._renew((*others, replace(held, value=value.reveal())))
                except ValueError:
                    await self._renew(others)
                    raise
            else:
                await self._renew(others)
            return True

    async def _renew(self, secrets: tuple[GrantSecret, ...]) -> None:
        left = self._ends_at - self._clock()
        if left <= 0:  # it ends by itself, and with it all that it holds
            return
        self._grant = replace(
            self._grant, revision=self._grant.revision + 1, expires_in_s=left, secrets=secrets
        )
        await self._worker.grant(self._grant)
