"""One sandbox as a value: what is ordered, what it is to be made of, and what was made."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from proxy.contract.grant import Grant, GrantSecret, grant_from_wire
from proxy.policy.model import Policy
from runtime.egress.live_grant import LiveGrant
from runtime.engine.protocol import Attached, ContainerConfig, EngineInfo
from runtime.model.limits import Isolation, Limits
from runtime.model.run import RunRequest
from runtime.model.secret import Secret
from runtime.sandbox.head import Head
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
class SandboxPlan:
    """All that a sandbox is made of once it has its network: what a run's keeper is handed."""

    run_id: str
    container: str
    """Its name."""
    config: ContainerConfig = field(repr=False)
    network: str
    """The only one it belongs on."""
    isolation: Isolation
    limits: Limits
    head: Head = field(repr=False)
    grant: Grant = field(repr=False)

    def to_wire(self) -> dict[str, Any]:
        """The JSON object that `plan_from_wire` reads. It holds the run's secrets."""
        return {
            "run_id": self.run_id,
            "container": self.container,
            "config": self.config,
            "network": self.network,
            "isolation": self.isolation.value,
            "limits": asdict(self.limits),
            "head": asdict(self.head),
            "grant": self.grant.to_wire(),
        }


def plan_from_wire(data: dict[str, Any]) -> SandboxPlan:
    """Read a plan. Raises ValueError for another object; the text holds nothing of it."""
    try:
        values = {
            "isolation": Isolation(data["isolation"]),
            "limits": Limits(**data["limits"]),
            "head": Head.from_wire(data["head"]),
            "grant": grant_from_wire(data["grant"]),
        }
        return SandboxPlan(**{**data, **values})
    except (KeyError, TypeError, AttributeError):
        raise ValueError("no plan of a sandbox") from None


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A sandbox that has been created and attached to, not yet started."""

    container: str
    network: str
    isolation: Isolation
    attached: Attached
    ca_pem: str
    """What its clients trust beside the system's roots: the proxy's CA, and the operator's upstream CA
    where a connection is passed through to an upstream that has its certificate from it."""
    secrets: dict[str, Secret]
    """What its env file holds: placeholders for what is brokered, the values of the rest."""
    granted: LiveGrant
    """For secrets that change while it runs."""
    environment: dict[str, str]
    """How its clients find the proxy; not in the container's configuration, since it holds the token."""
