"""One sandbox as a value: what is ordered, and what was made of the order."""

from __future__ import annotations

from dataclasses import dataclass

from proxy.contract.grant import GrantSecret
from proxy.policy.model import Policy
from runtime.egress.live_grant import LiveGrant
from runtime.engine.protocol import Attached, EngineInfo
from runtime.model.limits import Isolation
from runtime.model.run import RunRequest
from runtime.model.secret import Secret
from runtime.sandbox.parcel import Parcel


@dataclass(frozen=True, slots=True)
class SandboxOrder:
    """A run that has been accepted, with all that its sandbox is made of: nothing is left to ask for."""

    run_id: str
    request: RunRequest
    """Without its bytes."""
    parcel: Parcel
    policy: Policy
    secrets: tuple[GrantSecret, ...]
    """The request's secrets as they are delivered (`keys.placeholders.deliver`)."""
    engine: EngineInfo
    """What the engine said of itself when the run was accepted."""


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A sandbox that has been created and attached to, not yet started."""

    container: str
    network: str
    """The only one it belongs on."""
    isolation: Isolation
    attached: Attached
    proxy_token: Secret
    ca_pem: str
    """What its clients trust beside the system's roots: the proxy's CA, and the operator's upstream CA
    where a connection is passed through to an upstream that has its certificate from it."""
    secrets: dict[str, Secret]
    """What its env file holds: placeholders for what is brokered, the values of the rest."""
    granted: LiveGrant
    """For secrets that change while it runs."""
    environment: dict[str, str]
    """How its clients find the proxy; not in the container's configuration, since it holds the token."""
