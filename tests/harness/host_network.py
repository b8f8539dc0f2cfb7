"""The host's links and routes, through iproute2: as root directly, else in a one-shot helper container."""

from __future__ import annotations

import ipaddress
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from typing import Any

import docker

from tests.harness.errors import HarnessError

Run = Callable[[str], str]
"""Runs a shell script in the host's network and process namespaces and gives its output."""


def local_run(script: str) -> str:
    """Run a script here, as root."""
    done = subprocess.run(["sh", "-ec", script], capture_output=True, text=True, check=False)
    if done.returncode:
        raise HarnessError(f"a network command failed: {done.stderr.strip()}")
    return done.stdout


def helper_run(client: docker.DockerClient, image: str, labels: dict[str, str]) -> Run:
    """A runner that needs nothing but the Docker API."""

    def run(script: str) -> str:
        container = client.containers.create(
            image,
            command=["-ec", script],
            entrypoint=["sh"],
            user="0",
            cap_add=["NET_ADMIN", "SYS_ADMIN", "SYS_PTRACE"],  # links; nsenter into the canary's network
            network_mode="host",
            pid_mode="host",
            labels=labels,
        )
        try:
            container.start()
            status = container.wait(timeout=60)["StatusCode"]
            output = container.logs(stdout=True, stderr=bool(status)).decode()
        finally:
            container.remove(force=True)
        if status:
            raise HarnessError(f"a network command failed: {output.strip()}")
        return output

    return run


def best_run(client: docker.DockerClient, image: str, labels: dict[str, str]) -> Run:
    """Directly where we may, else through a helper container."""
    if os.geteuid() == 0 and shutil.which("ip") and shutil.which("nsenter"):
        return local_run
    return helper_run(client, image, labels)


def conflicts(run: Run, networks: Sequence[str]) -> list[str]:
    """What on the host already claims one of these networks: its own addresses and non-default routes."""
    wanted = [ipaddress.ip_network(network) for network in networks]
    found = []
    for link in _json(run, "ip -j -4 addr"):
        for entry in link.get("addr_info", []):
            held = ipaddress.ip_network(f"{entry['local']}/{entry['prefixlen']}", strict=False)
            if any(held.overlaps(network) for network in wanted):
                found.append(f"address {entry['local']}/{entry['prefixlen']} on {link['ifname']}")
    for route in _json(run, "ip -j -4 route show table all"):
        if route["dst"] == "default" or route.get("table") == "local":
            continue
        held = ipaddress.ip_network(route["dst"], strict=False)
        if held.prefixlen and any(held.overlaps(network) for network in wanted):
            found.append(f"route {route['dst']} dev {route.get('dev', '-')}")
    return found


def device_of(run: Run, address: str) -> str:
    """The interface the host would send a packet for `address` out of."""
    return str(_json(run, f"ip -j -4 route get {address}")[0]["dev"])


def has_link(run: Run, name: str) -> bool:
    """Whether a link of this name exists."""
    return any(link["ifname"] == name for link in _json(run, "ip -j link"))


def default_interfaces() -> frozenset[str]:
    """The interfaces of the default routes, read without iproute2."""
    with open("/proc/net/route", encoding="ascii") as table:  # noqa: PTH123  a kernel file
        rows = [line.split() for line in table][1:]
    return frozenset(row[0] for row in rows if row[1] == "00000000")


def wire_script(
    *, link: str, pid: int, gateway: str, addresses: Sequence[str], networks: Sequence[str]
) -> str:
    """The commands that join a process's network namespace to the host and route `networks` to it."""
    inside = f"nsenter -t {pid} -n ip"
    peer = "canary0"
    return "\n".join(
        [
            f"ip link add {link} type veth peer name {peer} netns {pid}",
            f"ip link set dev {link} addrgenmode none",
            f"ip link set dev {link} up",
            f"ip addr add {gateway}/32 dev {link}",
            f"{inside} link set dev lo up",
            f"{inside} link set dev {peer} addrgenmode none",
            f"{inside} link set dev {peer} up",
            *(f"{inside} addr add {address}/32 dev {peer}" for address in addresses),
            f"{inside} route add {gateway} dev {peer} src {addresses[0]}",
            f"{inside} route add default via {gateway}",
            # By way of a neighbour that answers: an address that nobody has must still be delivered.
            f"ip route add {addresses[0]}/32 dev {link} src {gateway}",
            *(f"ip route add {network} via {addresses[0]} dev {link} src {gateway}" for network in networks),
        ]
    )


def _json(run: Run, command: str) -> list[dict[str, Any]]:
    return json.loads(run(command) or "[]")
