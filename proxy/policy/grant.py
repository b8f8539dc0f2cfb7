"""A grant: the permission of one sandbox to use the proxy, as the daemon hands it over. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from proxy.policy.model import Policy
from proxy.policy.wire import policy_from_wire, policy_to_wire

MAX_EXPIRES_IN_S = 366 * 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Grant:
    """No grant, no traffic. A later `revision` for the same sandbox replaces an earlier one."""

    sandbox_id: str
    revision: int
    policy: Policy
    proxy_address: str
    """The proxy's own address on the sandbox's network: which network a connection came in on."""
    sandbox_address: str
    """The only peer on that network that holds this grant."""
    expires_in_s: float
    """From receipt, on the proxy's own monotonic clock."""
    token: str = field(repr=False)
    """Password of the proxy URL on the explicit port."""

    def to_wire(self) -> dict[str, object]:
        """The JSON object that `grant_from_wire` reads."""
        return {
            "sandbox_id": self.sandbox_id,
            "revision": self.revision,
            "policy": policy_to_wire(self.policy),
            "proxy_address": self.proxy_address,
            "sandbox_address": self.sandbox_address,
            "expires_in_s": self.expires_in_s,
            "token": self.token,
        }


def grant_from_wire(data: object) -> Grant:
    """Read a grant strictly. Raises ValueError naming the field; the text holds no token."""
    names = dict(_FIELDS)
    if not isinstance(data, dict) or set(data) != {*names, "policy"}:
        raise ValueError("a grant has exactly the fields " + ", ".join(sorted({*names, "policy"})))
    for name, kinds in names.items():
        value = data[name]
        if isinstance(value, bool) or not isinstance(value, kinds):
            raise ValueError(f"grant field {name}: expected {' or '.join(k.__name__ for k in kinds)}")
    if not data["sandbox_id"] or not data["token"] or data["revision"] < 1:
        raise ValueError("grant: sandbox_id and token are not empty, revision is positive")
    if (
        not 0 < data["expires_in_s"] <= MAX_EXPIRES_IN_S
    ):  # refuses NaN and Infinity, which JSON readers accept
        raise ValueError("grant field expires_in_s: expected seconds, more than 0 and at most a year")
    return Grant(
        sandbox_id=data["sandbox_id"],
        revision=data["revision"],
        policy=policy_from_wire(data["policy"]),
        proxy_address=data["proxy_address"],
        sandbox_address=data["sandbox_address"],
        expires_in_s=float(data["expires_in_s"]),
        token=data["token"],
    )


_FIELDS: dict[str, tuple[type, ...]] = {
    "sandbox_id": (str,),
    "revision": (int,),
    "proxy_address": (str,),
    "sandbox_address": (str,),
    "expires_in_s": (int, float),
    "token": (str,),
}
