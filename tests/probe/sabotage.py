"""A proxy with one defence taken out, in the place of the daemon's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

import runtime.egress.supervisor
from runtime.containers.proxy import ProxySpec


@dataclass
class Sabotage:
    """What the next proxy that a daemon makes will lack; with no defence named it is whole."""

    image: str
    """Holds `sabotage_proxy.py`."""
    defence: str | None = None

    def install(self, patch: pytest.MonkeyPatch) -> None:
        """From now on each proxy is made as this says at that moment."""
        whole = runtime.egress.supervisor.proxy_config

        def config(spec: ProxySpec) -> dict[str, Any]:
            made = whole(spec)
            if self.defence is None:
                return made
            return {**made, "Image": self.image, "Env": [*made["Env"], *self.environment]}

        patch.setattr(runtime.egress.supervisor, "proxy_config", config)

    @property
    def environment(self) -> list[str]:
        """By which a container with this defence taken out is known."""
        return [] if self.defence is None else [f"SABOTAGE={self.defence}"]
