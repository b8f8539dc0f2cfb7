"""Whose things carry an instance's name: another installation's are never touched, and are named instead.

The instance's name is nobody's property: two operators, or one with two run directories, may both use
`default`. So everything on the engine also carries the random id of the installation that made it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from runtime.containers import labels
from runtime.containers.owner import Life, life_of, pid_of
from runtime.containers.sweep import PROXY_ROLE, remove_all
from runtime.engine.protocol import Engine, Labelled
from runtime.errors import ConflictError

COMPOSE_PROJECT = "com.docker.compose.project"
"""What Compose made is Compose's to remove, and no sign of another daemon."""
_TELLING = ("sandbox", "network", PROXY_ROLE)
"""Roles that only a daemon makes; `orch doctor` makes probes of its own."""


@dataclass(frozen=True, slots=True)
class Foreign:
    """What another installation has on the engine under this instance's name."""

    instance: str
    installation: str
    """Its id; empty where an older version made the things."""
    run_dir: str
    pid: str
    life: Life
    containers: tuple[str, ...]
    networks: tuple[str, ...]

    def refusal(self, what: str) -> ConflictError:
        """The error that names the other one, and the remedy."""
        who = (
            f"installation {self.installation[:8]}, run directory {self.run_dir},"
            f" daemon pid {self.pid} ({self.life.value})"
            if self.installation
            else "an older version, or a daemon that left no name"
        )
        count = len(self.containers) + len(self.networks)
        return ConflictError(
            f"{what}: the instance {self.instance} is in use by another Orchbox ({who};"
            f" {count} containers and networks)",
            hint=self._remedy(),
        )

    def _remedy(self) -> str:
        other = "choose another ORCHBOX_INSTANCE"
        if self.life is Life.DEAD:
            return f"orch down --foreign removes what it left; or {other}"
        if self.life is Life.ALIVE:
            return f"{other}; or stop that one: ORCHBOX_RUN_DIR={self.run_dir} orch down"
        mark = f"{labels.INSTANCE}={self.instance}"
        return (
            f"{other}; or stop that one (docker compose down where it runs in a container). Where it is gone"
            f" for good: docker rm -f $(docker ps -aqf label={mark}), then docker network rm"
            f" $(docker network ls -qf label={mark})"
        )


async def find_foreign(engine: Engine, instance: str, installation: str) -> list[Foreign]:
    """The other installations that have something under this instance's name.

    Raises EngineUnavailableError.
    """
    mark = {labels.INSTANCE: instance}
    containers = _by_installation(await engine.containers(mark), installation)
    networks = _by_installation(await engine.networks(mark), installation)
    return [
        _describe(instance, other, containers.get(other, []), networks.get(other, []))
        for other in sorted(containers.keys() | networks.keys())
    ]


async def remove_foreign(engine: Engine, instance: str, installation: str) -> int:
    """Remove what other installations left whose daemons have ended; how many things were removed.

    Raises ConflictError, before anything is removed, where one of them may still be at work.
    """
    found = await find_foreign(engine, instance, installation)
    for foreign in found:
        if foreign.life is not Life.DEAD:
            raise foreign.refusal("nothing was removed")
    return sum([await remove_all(engine, foreign.containers, foreign.networks) for foreign in found])


def _by_installation(things: Sequence[Labelled], ours: str) -> dict[str, list[Labelled]]:
    found: dict[str, list[Labelled]] = {}
    for thing in things:
        owner = thing.labels.get(labels.INSTALLATION, "")
        is_telling = thing.labels.get(labels.ROLE) in _TELLING and COMPOSE_PROJECT not in thing.labels
        if owner != ours and (owner or is_telling):
            found.setdefault(owner, []).append(thing)
    return found


def _describe(
    instance: str, installation: str, containers: Sequence[Labelled], networks: Sequence[Labelled]
) -> Foreign:
    """Alive where any of its processes is: its watcher may be newer than what an earlier one left."""
    things = (*containers, *networks)
    lives = {owner: life_of(owner) for owner in (thing.labels.get(labels.DAEMON, "") for thing in things)}
    owner, life = min(lives.items(), key=lambda item: (Life.ALIVE, Life.UNKNOWN, Life.DEAD).index(item[1]))
    return Foreign(
        instance=instance,
        installation=installation,
        run_dir=next((thing.labels.get(labels.RUN_DIR, "") for thing in things), ""),
        pid=pid_of(owner),
        life=life,
        containers=tuple(thing.id for thing in containers),
        networks=tuple(thing.name for thing in networks),
    )
