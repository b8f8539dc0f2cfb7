"""The proxy's container: made and kept by the daemon, or found where Compose made it."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from runtime.containers import labels
from runtime.containers.proxy import ProxySpec, proxy_config
from runtime.engine.protocol import Engine, NetworkSpec
from runtime.errors import ConflictError, NotFoundError, NotReadyError

PROXY_UID = 10001


class ProxySupervisor:
    """Knows the proxy container's name."""

    def __init__(  # noqa: PLR0913 - keywords, each a fact of one daemon
        self,
        engine: Engine,
        *,
        instance: str,
        image: str,
        control_dir: Path,
        dns: tuple[str, ...],
        slots: int,
        installation: str,
        owner: str | None = None,
    ) -> None:
        """`slots` is how many sandboxes there can be at a time."""
        self._engine = engine
        self._instance = instance
        self._image = image
        self._control_dir = control_dir
        self._dns = dns
        self._slots = slots
        owned = {labels.OWNER: owner} if owner else {}
        self._marks = labels.labels(instance, "proxy", **{labels.INSTALLATION: installation}, **owned)
        self.network = f"orchbox-{instance}-egress"
        self.container = f"orchbox-{instance}-proxy"

    async def find(self) -> str:
        """The proxy that Compose started. Raises NotReadyError where there is none."""
        found = await self._engine.containers(labels.labels(self._instance, "proxy"))
        if len(found) != 1:
            raise NotReadyError(
                f"{len(found)} proxy containers carry the label {labels.INSTANCE}={self._instance}",
                hint="docker compose up -d proxy",
            )
        self.container = found[0].name
        return self.container

    async def ensure(self, *, is_kept: bool = False) -> str:
        """A fresh proxy container of the current image, running; with `is_kept` the one that runs already.

        Raises NotFoundError without an image, ConflictError where the container is another installation's,
        NotReadyError where the folder of the sockets cannot be made.
        """
        if is_kept and await self._is_running():
            return self.container
        if await self._engine.image_id(self._image) is None:
            raise NotFoundError(f"no such image: {self._image}", hint="make images")
        await self._remove_container()
        uid = self._own_control_dir()
        marks = self._marks
        spec = NetworkSpec(self.network, None, None, None, is_internal=False, labels=marks)
        with contextlib.suppress(ConflictError):
            await self._engine.create_network(spec)
        config = proxy_config(
            ProxySpec(
                image=self._image,
                network=self.network,
                control_dir=str(self._control_dir),
                uid=uid,
                dns=self._dns,
                labels=marks,
                slots=self._slots,
                host_memory_bytes=(await self._engine.info()).memory_bytes,
            )
        )
        await self._engine.create(self.container, config)
        await self._engine.start(self.container)
        return self.container

    async def remove(self) -> None:
        """Remove the proxy and its network, where they are this installation's."""
        await self._remove_container()
        if self.network in {network.name for network in await self._engine.networks(self._marks)}:
            await self._engine.remove_network(self.network)

    async def _is_running(self) -> bool:
        """Runs that an earlier daemon began have their processes in it."""
        found = await self._engine.containers(self._marks)
        if [container.name for container in found] != [self.container]:
            return False
        return bool((await self._engine.inspect(self.container))["State"]["Running"])

    async def _remove_container(self) -> None:
        """By id: a container of another installation may have the name by now, and creating ours says so."""
        for container in await self._engine.containers(self._marks):
            await self._engine.remove(container.id)

    def _own_control_dir(self) -> int:
        """Give the folder to the proxy's user; its uid (a daemon without root shares its own)."""
        uid = os.geteuid() or PROXY_UID
        try:
            self._control_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._control_dir.chmod(0o700)
            if uid != os.geteuid():
                os.chown(self._control_dir, uid, uid)
        except OSError as exc:
            raise NotReadyError(
                f"{self._control_dir}: {exc.strerror}",
                hint="set ORCHBOX_RUN_DIR to a path that the daemon may write",
            ) from None
        return uid
