"""Commands in the host's network, run by one-shot containers: nothing but the engine's API is needed."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from runtime.canary.client import CanaryError
from runtime.canary.net import wiring
from runtime.canary.net.ground import HostUse
from runtime.containers.helper import helper_config, run_helper
from runtime.engine.protocol import Engine

RESOLV_CONF = Path("/etc/resolv.conf")
LOOK_UP_S = 5.0


class Host:
    """The network of this machine, as the canaries see and change it."""

    def __init__(self, engine: Engine, *, image: str, labels: Mapping[str, str], name: str) -> None:
        self._engine = engine
        self._image = image
        self._labels = labels
        self._name = name

    async def run(self, script: str, *, network: str = "host", rights: Sequence[str] = ()) -> str:
        """Run a script with NET_ADMIN and `rights` in the host's network, or in `network`; its output.

        In the host's network, processes are the host's too. Raises CanaryError with its last words.
        """
        config = helper_config(
            self._image, ["sh", "-ec", script], labels=self._labels, network=network, needs_net_admin=True
        )
        if network == "host":
            config["HostConfig"]["PidMode"] = "host"
        config["HostConfig"]["CapAdd"] = ["NET_ADMIN", *rights]
        done = await run_helper(self._engine, config, name=self._name)
        if done.code:
            raise CanaryError(f"a network command failed: {done.stderr.strip()[:300]}")
        return done.stdout

    async def look(self) -> str:
        """What `runtime.canary.net.wiring` reads the host's addresses and routes from."""
        return await self.run(wiring.LOOK)

    async def use(self, avoid: Sequence[str] = ()) -> HostUse:
        """What the host has in use, with its resolvers and the addresses of the names in `avoid` (mirrors).

        A name that does not resolve in five seconds is left out: what is not known cannot be kept clear of.
        """
        said = await self.look()
        return wiring.host_use(said, [*_resolvers(RESOLV_CONF), *await resolve(avoid)])


async def resolve(names: Iterable[str]) -> list[tuple[str, str]]:
    """Each address of these hosts (`host` or `host:port`) with words that say whose it is."""
    loop = asyncio.get_running_loop()

    async def one(name: str) -> list[tuple[str, str]]:
        host = name.partition(":")[0]
        try:
            async with asyncio.timeout(LOOK_UP_S):
                found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError, TimeoutError):
            return []
        return [(str(row[4][0]).partition("%")[0], f"the package mirror {host}") for row in found]

    return [pair for pairs in await asyncio.gather(*map(one, names)) for pair in pairs]


def _resolvers(path: Path) -> list[tuple[str, str]]:
    try:
        lines = [line.split() for line in path.read_text().splitlines()]
    except OSError:
        return []
    servers = [line[1].partition("%")[0] for line in lines if len(line) > 1 and line[0] == "nameserver"]
    return [(server, f"the resolver {server}") for server in servers]
