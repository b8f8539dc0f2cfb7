"""A daemon of the probe's own, with its canaries and a victim; everything it makes goes with it.

The code under test is the daemon's own: same images, same guard table, same proxy, same configuration of
the sandbox. Only the site policy is the probe's: it leads the corpus's names to the canaries.
"""

from __future__ import annotations

import asyncio
import dataclasses
import io
import json
import secrets
import tarfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from runtime.canary.client import CanaryError
from runtime.canary.net.ground import Ground
from runtime.canary.net.world import Zone
from runtime.canary.net.world import reap_dead as reap_dead_canaries
from runtime.containers import labels
from runtime.containers.sweep import sweep
from runtime.daemon.daemon import Daemon
from runtime.daemon.embedded import EmbeddedDaemon, own_folder, own_settings, reap_dead
from runtime.daemon.settings import Settings
from runtime.engine.protocol import Engine
from runtime.model.limits import Isolation, Limits
from runtime.model.run import Run, RunRequest, RunState
from runtime.model.secret import Secret
from runtime.policies.catalogue import PolicyCatalogue
from runtime.policies.registries import all_registry_hosts
from runtime.probe.canaries import Canaries
from runtime.probe.corpus.policy import pinned_rules
from runtime.probe.targets import require_owned

ATTACK_TIMEOUT_S = 160.0
INSIDE = Path(__file__).parent / "inside"
ATTACK_LIMITS = Limits(
    timeout_s=ATTACK_TIMEOUT_S,
    memory_bytes=1536 << 20,
    pids=128,  # under gVisor each takes some MiB, and the limit of processes is to be met before memory's
    tmpfs_bytes=128 << 20,
)

_POLICY = """\
version: 1
name: probe
extends: [{base}]
egress:
  allow:
    - host: ok.test
      ports: [443, 80]
      tls: inspect
    - host: pass.test
      tls: passthrough
    - host: paths.test
      methods: [GET]
      paths: ["/v1/*"]
    - host: "*.wild.test"
      tls: inspect
    - host: keyed.test
      credential: PROBE_KEY
  deny:
    - host: denied.wild.test
budgets: {{requests_per_minute: 1400}}
"""
_SITE = """\
version: 1
name: site
resolve: {pins}
allow_private: [{upstream}/32]
upstream_ca: upstream-ca.pem
"""
_VICTIM = """
import socket, sys
server = socket.create_server(("0.0.0.0", 9000))
print("listening", file=sys.stderr, flush=True)
while True:
    connection, peer = server.accept()
    print("reached by", peer, file=sys.stderr, flush=True)
    connection.close()
"""


@dataclasses.dataclass(frozen=True, slots=True)
class PolicyText:
    """A policy of the probe's own, in place of the operator's with the probe's names added."""

    text: str


@dataclasses.dataclass(frozen=True, slots=True)
class Facts:
    """What an attack may be told, by placeholder; text, since it goes into arguments."""

    values: dict[str, str]
    planted: str


class ProbeLab:
    """A daemon of the probe's own, its canaries and a victim; entered by `probe_lab`."""

    def __init__(self, settings: Settings, *, policy: str | PolicyText) -> None:
        self._policy_text = policy.text if isinstance(policy, PolicyText) else _POLICY.format(base=policy)
        self._pinned = (
            ()
            if isinstance(policy, PolicyText)
            else pinned_rules(PolicyCatalogue(settings.policy_dirs, site=settings.site_policy)(policy))
        )
        own = own_settings(settings, "probe")
        self.instance = own.instance
        self._folder = folder = own_folder(own.instance)
        self.settings = dataclasses.replace(
            own,
            policy_dirs=(folder, *settings.policy_dirs),
            site_policy=folder / "site.yaml",
        )
        self._own = EmbeddedDaemon(self.settings)
        self.engine = self._own.engine
        self.canaries = Canaries(self.engine, instance=self.instance, image=settings.image("daemon"))
        self.planted = f"planted-{secrets.token_hex(12)}"
        self.key = f"probe-key-{secrets.token_hex(24)}"
        self._victim: Run

    @property
    def daemon(self) -> Daemon:
        """The daemon under attack, once the lab has started."""
        return self._own.daemon

    @property
    def ground(self) -> Ground:
        """The range that the canaries took."""
        return self.canaries.world.ground

    async def start(self) -> None:
        """Canaries and daemon. Raises CanaryError, NotReadyError and what the engine raises."""
        await reap_dead_probes(self.engine)
        await self.canaries.start(avoid=await asyncio.to_thread(all_registry_hosts))
        upstream = self.ground.upstream
        self._own.make_folder()
        (self._folder / "probe.yaml").write_text(self._policy_text)
        pins = json.dumps({rule.host.suffix: [upstream] for rule in self._pinned})
        (self._folder / "site.yaml").write_text(_SITE.format(upstream=upstream, pins=pins))
        (self._folder / "upstream-ca.pem").write_text(self.canaries.world.ca_pem)
        self.settings = self._own.settings = dataclasses.replace(self.settings, proxy_dns=(self.ground.dns,))
        self.policy = PolicyCatalogue(self.settings.policy_dirs, site=self.settings.site_policy)("probe")
        await self._own.start()

    def aim(self, aims: Mapping[str, Any], *, zone: Zone) -> None:
        """Allow an attack at what `aims` name and at what the name server is to answer.

        Raises CanaryError unless the canaries hold each of these addresses.
        """
        require_owned({**aims, **zone}, self.canaries.world.owned)
        self.canaries.world.control.set_zone(zone)

    async def start_victim(self) -> None:
        """Another sandbox, for the attack to reach. Raises CanaryError where it does not start."""
        self._victim = await self._run_victim()

    async def close(self) -> list[str]:
        """Remove everything; what is still there afterwards."""
        try:
            await self._own.close()
            await self.canaries.close()
        finally:
            left = await self._own.remove()
        return left

    async def facts(self) -> Facts:
        """Addresses and names of everything there is to attack."""
        host = self.canaries.facts
        victim = (await self.engine.containers({labels.RUN: self._victim.id, labels.ROLE: "sandbox"}))[0]
        at = (await self.engine.inspect(victim.id))["NetworkSettings"]["Networks"]
        ((network, end),) = at.items()
        proxy = (await self.engine.inspect(self.daemon.supervisor.container))["NetworkSettings"]["Networks"]
        outside = proxy[self.daemon.supervisor.network]
        values = {
            "docker0": host.docker0,
            "host_address": host.address,
            "host_port": str(host.port),
            "published_port": str(host.published_port),
            "published_address": host.published_address,
            "victim_address": str(end["IPAddress"]),
            "victim_name": victim.name,
            "victim_proxy": str(proxy[network]["IPAddress"]),
            "proxy_outside": str(outside["IPAddress"]),
            "egress_gateway": str(outside["Gateway"]),
            "planted": self.planted,
            "planted_label": self.planted.replace("planted-", "p"),
        }
        return Facts(values, self.planted)

    async def attack(
        self, document: dict[str, Any], *, isolation: Isolation, image: str, on_log: Callable[[str], None]
    ) -> tuple[Run, str]:
        """Run the document in a real sandbox; its record, and the engine's record of it while it ran."""
        request = RunRequest(
            agent_ref="orchbox/probe",
            image=image,
            argv=("python3", "-m", "inside.main"),
            bundle=bundle({"inside": INSIDE}),
            input=json.dumps(document).encode(),
            policy_name="probe",
            isolation=isolation,
            limits=ATTACK_LIMITS,
            secrets={"PROBE_PLANTED": Secret(self.planted), "PROBE_KEY": Secret(self.key)},
        )
        return await self.run(request, on_log=on_log)

    async def run(self, request: RunRequest, *, on_log: Callable[[str], None]) -> tuple[Run, str]:
        """Any run under the lab's policy, to its end."""
        run = await self.daemon.service.create(request)
        inspected = ""
        async for event in self.daemon.service.events(run.id):
            if event.kind == "log":
                on_log(str(event.data["text"]))
            elif event.data.get("state") == RunState.RUNNING.value:
                inspected = await self._inspect(run.id)
        return await self.daemon.service.get(run.id), inspected

    async def victim_was_reached(self) -> list[str]:
        """What the victim saw, which must be nothing; it ends with this."""
        run = await self.daemon.service.cancel(self._victim.id)
        return [line for line in run.stderr.splitlines() if line.startswith("reached")]

    async def _inspect(self, run_id: str) -> str:
        containers = await self.engine.containers({labels.RUN: run_id})
        return json.dumps([await self.engine.inspect(container.id) for container in containers])

    async def _run_victim(self) -> Run:
        request = RunRequest(
            agent_ref="orchbox/probe-victim",
            image=self.settings.image("agent-python"),
            argv=("python3", "-c", _VICTIM),
            bundle=b"",
            input=b"{}",
            policy_name="probe",
            limits=Limits(timeout_s=ATTACK_TIMEOUT_S + 60, grace_s=0.5),
        )
        run = await self.daemon.service.create(request)
        async for event in self.daemon.service.events(run.id):
            if event.kind == "log" and "listening" in str(event.data["text"]):
                return run
            if event.kind == "state" and RunState(str(event.data["state"])).is_final:
                break
        ended = await self.daemon.service.get(run.id)
        raise CanaryError(f"the victim sandbox ended at once: {ended.error and ended.error.message}")


async def reap_dead_probes(engine: Engine) -> None:
    """Remove what a killed probe left. Raises CanaryError while others have their canaries on this host."""
    for instance in await reap_dead_canaries(engine):
        await sweep(engine, instance, installation=None, with_proxy=True)
    await reap_dead(engine)


@asynccontextmanager
async def probe_lab(
    settings: Settings, *, policy: str | PolicyText, problems: list[str]
) -> AsyncIterator[ProbeLab]:
    """A lab that is up; what it could not remove is added to `problems`."""
    lab = ProbeLab(settings, policy=policy)

    async def close() -> None:
        problems.extend(f"left behind: {name}" for name in await lab.close())

    async with AsyncExitStack() as stack:
        stack.push_async_callback(close)
        await lab.start()
        yield lab


def bundle(folders: Mapping[str, Path]) -> bytes:
    """The Python files of folders as a tar, each under the path that names it; the empty path is the top."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for name, folder in folders.items():
            for path in sorted(folder.glob("*.py")):
                content = path.read_bytes()
                info = tarfile.TarInfo(f"{name}/{path.name}" if name else path.name)
                info.size, info.mode, info.uid, info.gid = len(content), 0o644, 1000, 1000
                archive.addfile(info, io.BytesIO(content))
    return target.getvalue()
