"""Whether an agent may start: engine, proxy and guard, each with what helps where it is not ready."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from runtime.egress.port import LinkPort
from runtime.engine.protocol import Engine, EngineInfo
from runtime.errors import NotReadyError, OrchError
from runtime.network.guard import HostGuard

GUARD_REMEDY = "wait: it is put back and proved again by itself; orch doctor tells when"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that has to be right before an agent may start."""

    name: str
    is_ok: bool
    detail: str
    remedy: str | None = None


class Readiness:
    """Looks at what every run needs."""

    def __init__(self, engine: Engine, link: LinkPort, guard: HostGuard, proxy: Callable[[], str]) -> None:
        """`proxy` names the proxy's container, which is not known before the daemon has started."""
        self._engine = engine
        self._link = link
        self._guard = guard
        self._proxy = proxy

    async def checks(self) -> list[Check]:
        """The engine, the proxy and the guard, in this order; a run may start when all of them are ok."""
        checks, _ = await self._look()
        return checks

    async def require(self) -> EngineInfo:
        """Return what the engine says of itself, asked once for a run; it is passed on from here.

        Raises NotReadyError, with the remedy, for the first check that is not ok.
        """
        checks, info = await self._look()
        failing = next((check for check in checks if not check.is_ok), None)
        if failing is not None or info is None:
            failing = failing or checks[0]
            raise NotReadyError(f"{failing.name}: {failing.detail}", hint=failing.remedy or "orch doctor")
        return info

    async def _look(self) -> tuple[list[Check], EngineInfo | None]:
        info = None
        try:
            info = await self._engine.info()
            engine = Check("engine", is_ok=True, detail=f"Docker {info.version}")
        except OrchError as exc:
            engine = Check("engine", is_ok=False, detail=exc.message, remedy="start Docker (dockerd)")
        return [engine, self._check_proxy(), self._check_guard()], info

    def _check_proxy(self) -> Check:
        if self._link.is_connected:
            return Check("proxy", is_ok=True, detail="connected")
        return Check(
            "proxy",
            is_ok=False,
            detail="does not answer on its control socket",
            remedy=f"docker logs {self._proxy()}",
        )

    def _check_guard(self) -> Check:
        status = self._guard.status
        remedy = None if status.is_proved else status.remedy or GUARD_REMEDY
        return Check("guard", status.is_proved, status.detail, remedy)
