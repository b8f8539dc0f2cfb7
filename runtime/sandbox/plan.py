"""From a run that was accepted, and the network that it got, to the plan of its sandbox."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import replace

from proxy.contract.grant import Grant
from proxy.contract.messages import EXPLICIT_PORT
from runtime.containers import labels
from runtime.containers.sandbox import SandboxSpec, sandbox_config
from runtime.model.sandbox_id import sandbox_id_of
from runtime.network.connected import RunNetwork
from runtime.network.slots import Slot
from runtime.sandbox.head import Head
from runtime.sandbox.sandbox import SandboxOrder, SandboxPlan

GRANT_MARGIN_S = 60.0
"""A grant outlives its run's limits by this; the revocation at the end is what ends it."""


def plan_of(order: SandboxOrder, network: RunNetwork, *, instance: str) -> SandboxPlan:
    """Everything that the sandbox is made of, with a proxy token of its own."""
    slot = network.slot
    marks = labels.labels(instance, "sandbox", **{labels.RUN: order.run_id})
    return SandboxPlan(
        run_id=order.run_id,
        container=f"orchbox-{instance}-{order.run_id}",
        config=sandbox_config(_spec(order, network, marks)),
        network=slot.network,
        isolation=order.request.isolation,
        limits=order.request.limits,
        head=Head.of(order.request, order.parcel),
        grant=_grant(order, slot, secrets.token_urlsafe(24)),
    )


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


def _spec(order: SandboxOrder, network: RunNetwork, marks: Mapping[str, str]) -> SandboxSpec:
    slot = network.slot
    return SandboxSpec(
        image=order.request.image,
        network=slot.network,
        address=slot.sandbox_address,
        dns=slot.proxy_address,
        resolv_conf=network.resolv_conf,
        isolation=order.request.isolation,
        limits=order.request.limits,
        labels=marks,
        has_apparmor=order.engine.has_apparmor,
    )


def proxy_environment(address: str, token: str) -> dict[str, str]:
    """Both spellings: curl reads only the lower-case `http_proxy`, others only the upper-case names.

    The user name asks the proxy for refusals that clients can show (docs/adr/0001).
    """
    url = f"http://explain:{token}@{address}:{EXPLICIT_PORT}"
    values = {"HTTP_PROXY": url, "HTTPS_PROXY": url, "NO_PROXY": "localhost,127.0.0.1"}
    return {**values, **{name.lower(): value for name, value in values.items()}}
