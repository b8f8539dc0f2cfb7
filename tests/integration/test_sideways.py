"""With more rights than any agent has: what the network itself lets pass out of a sandbox's namespace.

As root inside the namespace of a real sandbox, on a host of the tests' own: IPv6 switched on, routes set at
will. A route by the proxy or the host must lead nowhere; each address is shown to answer elsewhere first.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass

import docker
import pytest

from tests.harness.private_host import PrivateHost
from tests.integration.conftest import Lab
from tests.integration.readiness import until_ready
from tests.integration.test_runs import wait_for

pytestmark = [pytest.mark.docker, pytest.mark.own_engine]

HANG = "import time; time.sleep(300)"
SERVE = (
    "import http.server as h; h.test(h.SimpleHTTPRequestHandler, h.ThreadingHTTPServer, port=9000, bind='::')"
)
TRY = """
import json, socket, sys
from concurrent.futures import ThreadPoolExecutor
def tried(target):
    try:
        with socket.create_connection(target, 2): return True
    except OSError: return False
targets = json.loads(sys.argv[1])
with ThreadPoolExecutor(32) as pool: print(json.dumps([t for t, ok in zip(targets, pool.map(tried, targets)) if ok]))
"""
Target = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Scene:
    """A running sandbox and everything around it that it must not reach."""

    host: PrivateHost
    pid: int
    """Of the sandbox, on the private host."""
    gateway: str
    proxy: str
    proxy_pid: int
    bridge: str
    neighbour: str
    """A container beside the proxy, on the egress network; it sends what is for the sandbox to the proxy."""

    def reached(self, pid: int, targets: list[Target]) -> list[Target]:
        """Which of them answer inside the network namespace of this process."""
        said = self.host.run(f"nsenter -t {pid} -n python3 -c '{TRY}' '{json.dumps(targets)}'")
        return [(address, port) for address, port in json.loads(said)]

    def until_addresses_are_usable(self) -> None:
        """Wait for the end of duplicate address detection in the sandbox, which takes a second or two."""
        until = time.monotonic() + 60
        command = f"nsenter -t {self.pid} -n ip -6 -oneline address show dev eth0 scope link"
        while not (said := self.host.run(command)) or "tentative" in said:
            assert time.monotonic() < until, said
            time.sleep(0.1)

    def of_the_host(self) -> list[Target]:
        """Port 9000 of the host at each of its addresses, link-local ones by way of the sandbox's interface."""
        links = json.loads(self.host.run("ip -json addr"))
        found = []
        for link in links:
            for address in link["addr_info"]:
                if address["scope"] == "global":
                    found.append((address["local"], 9000))
                elif address["family"] == "inet6" and link["ifname"] == self.bridge:
                    found.append((f"{address['local']}%eth0", 9000))
        return found


@pytest.fixture
def scene(private_host: PrivateHost, private_lab: Lab) -> Iterator[Scene]:
    """One running agent; a service on the host, a container with a published port on another network."""
    until_ready(private_lab.folder, is_ready=True)
    client = docker.DockerClient(base_url=private_host.docker_host)
    label = {"label": ["io.orchbox.instance=private", "io.orchbox.role=sandbox"], "status": "running"}
    with closing(client), ThreadPoolExecutor(1) as pool:
        service = client.containers.run(
            "orchbox/daemon:local", name="private-service", entrypoint=["python3", "-c", SERVE],
            network="orchbox-private-egress", ports={"9000/tcp": 9001}, detach=True,
        )  # fmt: skip
        listener = client.containers.run(
            "orchbox/daemon:local", name="private-listener", entrypoint=["python3", "-c", SERVE],
            network_mode="host", detach=True,
        )  # fmt: skip
        running = pool.submit(private_lab.run, HANG)
        try:
            while not (found := client.containers.list(filters=label, ignore_removed=True)):
                assert not running.done(), running.result()
                time.sleep(0.1)
            scene = _scene(private_host, client, found[0])
            served = [("127.0.0.1", 9000), (scene.neighbour, 9000)]
            wait_for(lambda: scene.reached(1, served) == served)
            yield scene
        finally:
            for container in (service, listener):
                container.remove(force=True)
            with suppress(IndexError):
                private_lab.orch(
                    "cancel",
                    client.containers.list(filters=label, ignore_removed=True)[0].labels["io.orchbox.run"],
                )
            running.result(timeout=90)


def _scene(
    host: PrivateHost, client: docker.DockerClient, sandbox: docker.models.containers.Container
) -> Scene:
    (end,) = sandbox.attrs["NetworkSettings"]["Networks"].values()
    network = client.networks.get(end["NetworkID"])
    proxy = client.containers.get("orchbox-private-proxy")
    service = client.containers.get("private-service")
    outside = proxy.attrs["NetworkSettings"]["Networks"]["orchbox-private-egress"]["IPAddress"]
    way_back = f"{end['IPAddress']} via {outside}"
    host.run(f"nsenter -t {service.attrs['State']['Pid']} -n ip route replace {way_back}")
    return Scene(
        host=host,
        pid=sandbox.attrs["State"]["Pid"],
        gateway=network.attrs["IPAM"]["Config"][0]["Gateway"],
        proxy=proxy.attrs["NetworkSettings"]["Networks"][network.name]["IPAddress"],
        proxy_pid=proxy.attrs["State"]["Pid"],
        bridge=network.attrs["Options"]["com.docker.network.bridge.name"],
        neighbour=service.attrs["NetworkSettings"]["Networks"]["orchbox-private-egress"]["IPAddress"],
    )


def test_no_way_leads_past_the_proxy(scene: Scene):
    """Host services, published ports, containers behind the host or the proxy: reached by no route, old or new."""
    scene.host.run(f"nsenter -t {scene.pid} -n sysctl -qw net.ipv6.conf.eth0.disable_ipv6=0")
    scene.until_addresses_are_usable()
    host = scene.of_the_host()
    behind = [(scene.neighbour, 9000), (scene.gateway, 9001), ("10.207.0.1", 9001)]
    assert len(host) >= 4
    assert any(address.startswith("fe80") for address, _ in host)

    # Controls: each answers the host (link-local by its own interface), and the service answers the proxy.
    local = [(address.replace("eth0", scene.bridge), port) for address, port in host]
    assert scene.reached(1, [*local, *behind]) == [*local, *behind]
    assert scene.reached(scene.proxy_pid, [(scene.neighbour, 9000)]) == [(scene.neighbour, 9000)]
    assert scene.reached(scene.pid, [(scene.proxy, 8080)]) == [(scene.proxy, 8080)]

    assert scene.reached(scene.pid, [*host, *behind]) == []
    for router in (scene.proxy, scene.gateway):
        scene.host.run(f"nsenter -t {scene.pid} -n ip route replace default via {router}")
        assert scene.reached(scene.pid, [*host, *behind]) == []


def test_the_proxy_forwards_nothing(scene: Scene):
    """It is between the two networks, and no router: shown by making it one for a moment.

    Where br_netfilter is on, the engine drops foreign addresses within an internal bridge already (20.10);
    it is off here, as on a host without that module, so that the proxy's own setting is what is tried.
    """
    scene.host.run(f"nsenter -t {scene.pid} -n ip route replace {scene.neighbour} via {scene.proxy}")
    forward = f"nsenter -t {scene.proxy_pid} -n sysctl -qw net.ipv4.ip_forward="
    netfilter = "[ ! -e /proc/sys/net/bridge ] || sysctl -qw net.bridge.bridge-nf-call-iptables="
    target = [(scene.neighbour, 9000)]
    assert scene.reached(scene.pid, target) == []
    scene.host.run(f"{netfilter}0")
    try:
        assert scene.reached(scene.pid, target) == []
        scene.host.run(f"{forward}1")
        assert scene.reached(scene.pid, target) == target
    finally:
        scene.host.run(f"{forward}0; {netfilter}1")
    assert scene.reached(scene.pid, target) == []


def test_the_proxy_listens_on_its_four_ports_only(scene: Scene):
    """On a sandbox's side: 53, 80, 443 and 8080, of all there are."""
    listening = scene.host.run(f"nsenter -t {scene.proxy_pid} -n ss -Hltn")
    ports = sorted({int(line.split()[3].rpartition(":")[2]) for line in listening.splitlines()})
    outside = [(scene.proxy, port) for port in (*range(1, 1025), 8080, 8081, *ports)]
    assert sorted({p for _, p in scene.reached(scene.pid, outside)}) == [53, 80, 443, 8080]


def test_the_same_attempts_succeed_without_the_guard(private_host: PrivateHost, scene: Scene):
    """On an internal network that the guard does not name, the host answers: the attempts can succeed."""
    with closing(docker.DockerClient(base_url=private_host.docker_host)) as client:
        network = client.networks.create(
            "orchbox-private-open", internal=True, options={"com.docker.network.bridge.name": "xrb0"}
        )
        try:
            container = client.containers.run(
                "orchbox/daemon:local", name="private-open", entrypoint=["sleep", "60"],
                network=network.name, detach=True,
            )  # fmt: skip
            try:
                container.reload()
                network.reload()
                gateway = network.attrs["IPAM"]["Config"][0]["Gateway"]
                targets = [(gateway, 9000), ("10.207.0.1", 9000), (scene.gateway, 9000)]
                assert scene.reached(container.attrs["State"]["Pid"], targets) == targets
            finally:
                container.remove(force=True)
        finally:
            network.remove()
