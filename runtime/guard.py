"""The host guard: what Docker's internal networks leave open, closed with nftables and then proved.

An internal network still has the host at its gateway address: a service on 0.0.0.0 answers there, and at
the host's other addresses (measured, engine 20.10). The guard drops whatever comes in on an `orb*`
bridge for the host, and whatever would be forwarded between one and anything else. It is installed by a
one-shot container with host networking, so the Docker API is all it needs.

The proof is a real container on a real `orb*` network that tries to reach a listener opened on the host;
it counts only if the listener is reachable from the host itself and the container's network works.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass

import structlog

from runtime import labels
from runtime.engine import Engine
from runtime.errors import OrchError
from runtime.hardening import helper_config
from runtime.helper import run_helper, started
from runtime.networks import BRIDGE_PREFIX, NetworkSlots

TABLE = "orbguard"


@dataclass(frozen=True, slots=True)
class GuardStatus:
    """Whether the host is out of reach, with a sentence; unproved is the zero value."""

    is_proved: bool = False
    detail: str = "the guard has not been proved yet"


def rules(slots: int) -> str:
    """The nftables ruleset, IPv4 and IPv6. Loading it replaces an earlier one in one step.

    Traffic within one bridge crosses the forward hook where br_netfilter is loaded, hence the pairs.
    """
    pairs = ", ".join(f'"{BRIDGE_PREFIX}{n}" . "{BRIDGE_PREFIX}{n}"' for n in range(slots))
    return f"""table inet {TABLE}
delete table inet {TABLE}
table inet {TABLE} {{
  set same_bridge {{ type ifname . ifname; elements = {{ {pairs} }} }}
  chain input {{
    type filter hook input priority -10; policy accept;
    iifname "{BRIDGE_PREFIX}*" counter drop
  }}
  chain forward {{
    type filter hook forward priority -10; policy accept;
    iifname . oifname @same_bridge accept
    iifname "{BRIDGE_PREFIX}*" counter drop
    oifname "{BRIDGE_PREFIX}*" counter drop
  }}
}}
"""


# Runs on the host's network: listens everywhere, says where, proves to itself that it can be reached.
_LISTENER = """
import json, socket, subprocess, sys, threading
dual = socket.has_dualstack_ipv6()
server = socket.create_server(("::" if dual else "0.0.0.0", 0), dualstack_ipv6=dual,
                              family=socket.AF_INET6 if dual else socket.AF_INET)
port = server.getsockname()[1]
def accept():
    while True:
        connection, _ = server.accept()
        connection.sendall(b"host"); connection.close()
threading.Thread(target=accept, daemon=True).start()
found = json.loads(subprocess.run(["ip", "-json", "addr"], capture_output=True, check=True).stdout)
addresses = [a["local"] for link in found for a in link["addr_info"] if a["scope"] == "global"]
def reaches(address):
    try:
        with socket.create_connection((address, port), 2) as c: return c.recv(4) == b"host"
    except OSError: return False
print(json.dumps({"port": port, "addresses": [a for a in addresses if reaches(a)]}), flush=True)
sys.stdin.read()
"""

# Runs on a sandbox's network: says which of the given addresses it reached.
_PROBE = """
import json, socket, sys, threading
targets, neighbour = json.loads(sys.argv[1]), json.loads(sys.argv[2])
reached = []
def attempt(target, into):
    try:
        with socket.create_connection(tuple(target), 2): into.append(target)
    except OSError: pass
alive = []
threads = [threading.Thread(target=attempt, args=(t, reached)) for t in targets]
threads.append(threading.Thread(target=attempt, args=(neighbour, alive)))
for t in threads: t.start()
for t in threads: t.join()
print(json.dumps({"reached": reached, "neighbour": bool(alive)}))
"""


class HostGuard:
    """Installs the guard and proves it."""

    def __init__(
        self, engine: Engine, slots: NetworkSlots, *, instance: str, image: str, slot_count: int
    ) -> None:
        self._engine = engine
        self._slots = slots
        self._instance = instance
        self._image = image
        self._slot_count = slot_count
        self.status = GuardStatus()
        self._log = structlog.get_logger()

    async def establish(self, proxy: str, proxy_port: int = 8080) -> GuardStatus:
        """Install, prove, remember. Never raises: a failure is a status that keeps runs from starting."""
        self.status = GuardStatus(detail="the guard is being proved")
        try:
            await self._install()
            self.status = await self._prove(proxy, proxy_port)
        except (OrchError, TimeoutError, ValueError, KeyError) as exc:
            self.status = GuardStatus(detail=f"the guard could not be proved: {exc or type(exc).__name__}")
        self._log.info("guard", is_proved=self.status.is_proved, detail=self.status.detail)
        return self.status

    def fail(self, detail: str) -> None:
        """What came before the proof failed."""
        self.status = GuardStatus(detail=detail)

    async def _install(self) -> None:
        argv = ["nft", rules(self._slot_count)]
        config = helper_config(
            self._image,
            argv,
            labels=labels.labels(self._instance, "helper"),
            network="host",
            needs_net_admin=True,
        )
        result = await run_helper(self._engine, config, name=f"orchbox-{self._instance}-nft")
        if result.code != 0:
            raise OrchError(f"nftables refused the guard's rules: {result.stderr.strip()[:300]}")

    async def _prove(self, proxy: str, proxy_port: int) -> GuardStatus:
        slot = await self._slots.acquire("guard-proof")
        try:
            await self._engine.connect(slot.network, proxy, slot.proxy_address)
            marks = labels.labels(self._instance, "probe")
            listener = helper_config(self._image, ["python3", "-c", _LISTENER], labels=marks, network="host")
            name = f"orchbox-{self._instance}-proof"
            async with asyncio.timeout(30), started(self._engine, listener, name=name) as (_, attached):
                said = b""
                async for _, data in attached.output():
                    said += data
                    if said.endswith(b"\n"):
                        break
                host = json.loads(said or b"{}")
                targets = [[address, host["port"]] for address in host["addresses"]]
                if [slot.gateway, host["port"]] not in targets:
                    return GuardStatus(detail="the proof's listener is not reachable even from the host")
                argv = [
                    "python3",
                    "-c",
                    _PROBE,
                    json.dumps(targets),
                    json.dumps([slot.proxy_address, proxy_port]),
                ]
                probe = helper_config(self._image, argv, labels=marks, network=slot.network)
                result = await run_helper(self._engine, probe, name=name)
            return judge_proof(result.stdout, len(targets))
        finally:
            await asyncio.shield(self._slots.release(slot))


def judge_proof(output: str, tried: int) -> GuardStatus:
    """What a probe's output proves; only a working network that reached nothing proves the guard."""
    try:
        said = json.loads(output)
        reached, neighbour = list(said["reached"]), said["neighbour"]
    except (ValueError, KeyError, TypeError):
        return GuardStatus(detail="the proof's container said nothing: nothing is proved")
    if reached:
        return GuardStatus(detail=f"a sandbox reaches the host at {reached[0][0]}: the guard does not hold")
    if neighbour is not True:
        return GuardStatus(detail="the proof's container reached not even the proxy: nothing is proved")
    return GuardStatus(is_proved=True, detail=f"a sandbox reaches none of the host's {tried} addresses")
