"""The guard's proof: the programs that run in its three containers, and what their words prove. Pure.

    listener   host network    opens a port on every address, says which of them answer the host itself
    neighbour  proof network   opens a port there: the positive control, over IPv4 and IPv6
    probe      proof network   tries the host's addresses, the neighbour, the proxy, and the proxy's other
                               addresses, which lie behind the host: nothing may be forwarded to them

An internal network has a default route to the host all the same (engine 20.10), so forwarding is tried.
A bridge without an IPv6 subnet still has a link-local address, and a container that switches IPv6 on
reaches the host there (measured, engine 20.10). A sandbox cannot switch it on; the probe has it on, so
that the rule is proved for IPv6 as well.
"""

from __future__ import annotations

import json
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runtime.network.slots import Slot

# Shared by the three: a port on all addresses, and an interface's link-local address once it is usable.
_COMMON = """
import json, os, socket, subprocess, sys, threading, time
def serve(word):
    dual = socket.has_dualstack_ipv6()
    server = socket.create_server(("::" if dual else "0.0.0.0", 0), dualstack_ipv6=dual,
                                  family=socket.AF_INET6 if dual else socket.AF_INET)
    def accept():
        while True:
            connection, _ = server.accept()
            connection.sendall(word); connection.close()
    threading.Thread(target=accept, daemon=True).start()
    return server.getsockname()[1]
def reaches(address, port, word):
    try:
        with socket.create_connection((address, port), 2) as c: return c.recv(16) == word
    except OSError: return False
def answers(address, port):
    try:
        with socket.create_connection((address, port), 2): return True
    except OSError: return False
def links():
    return json.loads(subprocess.run(["ip", "-json", "addr"], capture_output=True, check=True).stdout)
def link_local(device):
    if not os.path.exists("/proc/sys/net/ipv6"): return None
    for _ in range(50):
        for link in links():
            for a in link["addr_info"] if link["ifname"] == device else ():
                if a["scope"] == "link" and a["family"] == "inet6" and not a.get("tentative"):
                    return a["local"]
        time.sleep(0.1)
    return None
"""

LISTENER = (
    _COMMON
    + """
bridge, behind = sys.argv[1], json.loads(sys.argv[2])
port = serve(b"host")
local = link_local(bridge)
found = [a["local"] for link in links() for a in link["addr_info"] if a["scope"] == "global"]
print(json.dumps({
    "port": port,
    "addresses": [a for a in found if reaches(a, port, b"host")],
    "link_local": local if local and reaches(local + "%" + bridge, port, b"host") else None,
    "behind": [t for t in behind if answers(t[0], t[1])],
}), flush=True)
sys.stdin.read()
"""
)

NEIGHBOUR = (
    _COMMON
    + """
port = serve(b"neighbour")
print(json.dumps({"port": port, "link_local": link_local("eth0")}), flush=True)
sys.stdin.read()
"""
)

PROBE = (
    _COMMON
    + """
targets = json.loads(sys.argv[1])
reached = []
def attempt(target):
    if "%" in target[0]: link_local("eth0")
    if answers(target[0], target[1]): reached.append(target)
threads = [threading.Thread(target=attempt, args=(t,)) for t in targets]
for t in threads: t.start()
for t in threads: t.join()
print(json.dumps(reached))
"""
)

Target = tuple[str, int]


@dataclass(frozen=True, slots=True)
class GuardStatus:
    """Whether the host is out of reach, with a sentence; unproved is the zero value."""

    is_proved: bool = False
    detail: str = "the guard has not been proved yet"
    remedy: str | None = None
    """What the operator can do, where waiting will not do; None otherwise."""


@dataclass(frozen=True, slots=True)
class ProofPlan:
    """Whom the probe tries: the host and what lies behind it must not answer, the controls must."""

    host: tuple[Target, ...]
    behind: tuple[Target, ...]
    controls: tuple[Target, ...]

    def argv(self) -> list[str]:
        """The command of the container that tries to reach the host."""
        return ["python3", "-c", PROBE, json.dumps([*self.host, *self.behind, *self.controls])]


def listener_argv(bridge: str, behind: Sequence[Target]) -> list[str]:
    """The listener's command: it also says which of `behind` answer the host."""
    return ["python3", "-c", LISTENER, bridge, json.dumps(behind)]


def behind_the_host(record: Mapping[str, Any], but: Container[str], port: int) -> tuple[Target, ...]:
    """Where a container (its record) can answer on its networks other than these.

    On the network of a sandbox that runs somebody listens already, and may end at any moment.
    """
    ends = record["NetworkSettings"]["Networks"]
    return tuple(
        (str(end["IPAddress"]), port) for name, end in ends.items() if name not in but and end["IPAddress"]
    )


def neighbour_argv() -> list[str]:
    """The command of the container that the probing one must be able to reach."""
    return ["python3", "-c", NEIGHBOUR]


def plan(
    listener: str, neighbour: str, *, slot: Slot, proxy_port: int, is_isolated: bool = False
) -> ProofPlan:
    """From what the listener and the neighbour said to what the probe tries.

    `is_isolated` says that the bridge has no address of the host's; the host's others are tried all the same.
    Raises ValueError, KeyError or TypeError where nothing could be proved.
    """
    try:
        host, peer = json.loads(listener), json.loads(neighbour)
    except ValueError:
        raise ValueError("the proof's containers said nothing: nothing is proved") from None
    if (slot.gateway not in host["addresses"] and not is_isolated) or not host["addresses"]:
        raise ValueError("the proof's listener is not reachable even from the host: nothing is proved")
    targets = [(str(address), int(host["port"])) for address in host["addresses"]]
    behind = tuple((str(address), int(port)) for address, port in host["behind"])
    if not behind:
        raise ValueError("the host itself does not reach the proxy on its other network: nothing is proved")
    controls = [(slot.sandbox_address, int(peer["port"])), (slot.proxy_address, proxy_port)]
    if host["link_local"]:
        if not peer["link_local"]:
            raise ValueError("the proof's containers have no IPv6 although the host has: nothing is proved")
        targets.append((f"{host['link_local']}%eth0", int(host["port"])))
        controls.append((f"{peer['link_local']}%eth0", int(peer["port"])))
    return ProofPlan(tuple(targets), behind, tuple(controls))


def judge(plan: ProofPlan, output: str) -> GuardStatus:
    """What the probe's output proves; only a working network that reached nothing proves the guard."""
    try:
        reached = {(str(address), int(port)) for address, port in json.loads(output)}
    except (ValueError, TypeError):
        return GuardStatus(detail="the proof's container said nothing: nothing is proved")
    for address, _ in (target for target in plan.host if target in reached):
        return GuardStatus(detail=f"a sandbox reaches the host at {address}: the guard does not hold")
    for address, _ in (target for target in plan.behind if target in reached):
        return GuardStatus(detail=f"a sandbox reaches {address} through the host: the guard does not hold")
    for address, port in (target for target in plan.controls if target not in reached):
        neighbour = f"{address} port {port}"
        return GuardStatus(detail=f"the proof's container did not reach {neighbour}: nothing is proved")
    six = sum(":" in address for address, _ in plan.host)
    tried = f"{len(plan.host) - six} IPv4 and {six} IPv6 addresses"
    return GuardStatus(
        is_proved=True, detail=f"a sandbox reaches none of the host's {tried}, and nothing through it"
    )
