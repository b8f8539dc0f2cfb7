"""The host's links and routes, through iproute2: as root directly, else in a one-shot helper container."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from typing import Any

import docker

from runtime.canary import wiring
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
    """What on the host already claims one of these networks."""
    return wiring.conflicts(
        _json(run, "ip -j -4 addr"), _json(run, "ip -j -4 route show table all"), networks
    )


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


def _json(run: Run, command: str) -> list[dict[str, Any]]:
    return json.loads(run(command) or "[]")
