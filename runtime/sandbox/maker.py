"""One sandbox from its grant to its removal: what is made here is removed here, whatever happens."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

from proxy.contract.decision_line import DecisionLine
from runtime.egress.live_grant import LiveGrant
from runtime.egress.port import OpenWorker
from runtime.engine.cleanup import clean_up
from runtime.engine.protocol import Engine
from runtime.keys.placeholders import environment_of
from runtime.sandbox.plan import proxy_environment
from runtime.sandbox.sandbox import Sandbox, SandboxPlan


class SandboxMaker:
    """Makes sandboxes; knows the proxy."""

    def __init__(self, engine: Engine, open_worker: OpenWorker) -> None:
        """`open_worker` has the proxy make a process that listens on one of its addresses."""
        self._engine = engine
        self._open_worker = open_worker

    @asynccontextmanager
    async def sandbox(
        self,
        plan: SandboxPlan,
        *,
        on_decision: Callable[[DecisionLine], None],
        on_lost: Callable[[], None],
    ) -> AsyncIterator[Sandbox]:
        """Grant (acknowledged), then container; both gone on the way out.

        `on_decision` is called with each decision of the proxy, `on_lost` where its process for the sandbox
        has ended before the sandbox did.
        """
        grant = plan.grant
        worker = attached = None
        try:
            worker = await self._open_worker(grant.proxy_address)
            worker.on_decision, worker.on_lost = on_decision, on_lost
            await worker.grant(grant)
            granted = LiveGrant(worker, grant, time.monotonic)
            container = await self._engine.create(plan.container, plan.config)
            attached = await self._engine.attach(container)
            yield Sandbox(
                container=container,
                network=plan.network,
                isolation=plan.isolation,
                attached=attached,
                ca_pem=worker.ca_pem + (grant.policy.upstream_ca_pem or ""),
                secrets=environment_of(grant.secrets),
                granted=granted,
                environment=proxy_environment(grant.proxy_address, grant.token),
            )
        finally:
            steps: list[Callable[[], Awaitable[None]]] = []
            if worker is not None:
                steps += [partial(worker.revoke, grant.sandbox_id), worker.close]
            if attached is not None:
                steps.append(attached.close)
            steps.append(partial(self._engine.remove, plan.container))  # making it may have been interrupted
            await clean_up(plan.run_id, steps)
