"""One sandbox from network to removal: what is made here is removed here, whatever happens."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

import structlog

from proxy.contract.grant import Grant
from proxy.contract.messages import EXPLICIT_PORT
from runtime.containers import labels
from runtime.containers.sandbox import SandboxSpec, sandbox_config
from runtime.egress.live_grant import LiveGrant
from runtime.egress.port import LinkPort
from runtime.engine.protocol import Engine
from runtime.engine.uninterrupted import uninterrupted
from runtime.keys.placeholders import environment_of
from runtime.model.sandbox_id import sandbox_id_of
from runtime.model.secret import Secret
from runtime.network.slots import NetworkSlots, Slot
from runtime.sandbox.sandbox import Sandbox, SandboxOrder

GRANT_MARGIN_S = 60.0
"""A grant outlives its run's limits by this; the revocation at the end is what ends it."""


class SandboxMaker:
    """Makes sandboxes; knows the proxy."""

    def __init__(
        self, engine: Engine, slots: NetworkSlots, link: LinkPort, *, instance: str, proxy_container: str
    ) -> None:
        self._engine = engine
        self._slots = slots
        self._link = link
        self._instance = instance
        self.proxy_container = proxy_container
        self._log = structlog.get_logger()

    @asynccontextmanager
    async def sandbox(self, order: SandboxOrder) -> AsyncIterator[Sandbox]:
        """Network, grant (acknowledged), container; all gone on the way out."""
        run_id = order.run_id
        token = secrets.token_urlsafe(24)
        slot = await self._slots.acquire(run_id)
        name = f"orchbox-{self._instance}-{run_id}"
        attached = None
        try:
            await self._engine.connect(slot.network, self.proxy_container, slot.proxy_address)
            grant = _grant(order, slot, token)
            await self._link.grant(grant)
            granted = LiveGrant(self._link, grant, time.monotonic)
            marks = labels.labels(self._instance, "sandbox", **{labels.RUN: run_id})
            spec = _spec(order, slot, marks)
            container = await self._engine.create(name, sandbox_config(spec))
            attached = await self._engine.attach(container)
            ca_pem = self._link.ca_pem(grant.sandbox_id) + (order.policy.upstream_ca_pem or "")
            yield Sandbox(
                container=container,
                network=slot.network,
                isolation=order.request.isolation,
                attached=attached,
                proxy_token=Secret(token),
                ca_pem=ca_pem,
                secrets=environment_of(order.secrets),
                granted=granted,
                environment=proxy_environment(slot, token),
            )
        finally:
            steps: list[Callable[[], Awaitable[None]]] = [
                partial(self._link.revoke, sandbox_id_of(run_id)),
                *([attached.close] if attached is not None else []),
                partial(self._engine.remove, name),  # by name: creating it may have been interrupted
                partial(self._engine.disconnect, slot.network, self.proxy_container),
                partial(self._slots.release, slot),
            ]
            await uninterrupted(self._clean_up(run_id, steps))

    async def _clean_up(self, run_id: str, steps: Sequence[Callable[[], Awaitable[None]]]) -> None:
        """Every step is tried, whatever became of the one before; what fails is reaped at the next start."""
        for step in steps:
            try:
                await step()
            except Exception as exc:  # noqa: BLE001 - the steps behind it still have to be done
                self._log.error("clean-up-failed", run=run_id, error=type(exc).__name__)


def _grant(order: SandboxOrder, slot: Slot, token: str) -> Grant:
    limits = order.request.limits
    # What nobody chose to pass through unseen is inspected where a value could leave that way.
    has_tripwire = any(secret.placeholder is None for secret in order.secrets)
    return Grant(
        sandbox_id=sandbox_id_of(order.run_id),
        revision=1,
        policy=replace(order.policy, has_tripwire=has_tripwire),
        proxy_address=slot.proxy_address,
        sandbox_address=slot.sandbox_address,
        expires_in_s=limits.timeout_s + limits.grace_s + GRANT_MARGIN_S,
        token=token,
        secrets=order.secrets,
    )


def _spec(order: SandboxOrder, slot: Slot, marks: Mapping[str, str]) -> SandboxSpec:
    return SandboxSpec(
        image=order.request.image,
        network=slot.network,
        address=slot.sandbox_address,
        dns=slot.proxy_address,
        isolation=order.request.isolation,
        limits=order.request.limits,
        labels=marks,
        has_apparmor=order.engine.has_apparmor,
    )


def proxy_environment(slot: Slot, token: str) -> dict[str, str]:
    """Both spellings: curl reads only the lower-case `http_proxy`, others only the upper-case names.

    The user name asks the proxy for refusals that clients can show (docs/adr/0001).
    """
    url = f"http://explain:{token}@{slot.proxy_address}:{EXPLICIT_PORT}"
    values = {"HTTP_PROXY": url, "HTTPS_PROXY": url, "NO_PROXY": "localhost,127.0.0.1"}
    return {**values, **{name.lower(): value for name, value in values.items()}}
