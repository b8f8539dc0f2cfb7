"""The canary network on a real engine: it sees what is sent to it, and leaves nothing behind."""

from __future__ import annotations

import json
import signal
import socket
import ssl
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import docker
import httpx
import pytest

from runtime.canary.client import CanaryError
from runtime.canary.net.ground import METADATA
from runtime.canary.net.host_listener import HostListener
from runtime.canary.net.session import CanaryNet
from runtime.canary.net.uplink import UplinkWatch
from runtime.containers import labels
from runtime.containers.seccomp import profile
from tests.harness.simulator import REPOSITORY

pytestmark = pytest.mark.docker

CANARIES = {"label": f"{labels.ROLE}=canary"}
BYSTANDER = "io.orchbox.test.bystander"


def _connect(address: str, port: int) -> bytes:
    with socket.create_connection((address, port), timeout=30) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
        return connection.recv(64)


def _query(name: str, server: str) -> bytes:
    spelled = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    packet = struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 0) + spelled + b"\0" + struct.pack("!HH", 1, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(30)
        asking.sendto(packet, (server, 53))
        return asking.recv(512)


@pytest.mark.parametrize(("name", "port"), [("public", 443), ("public", 2375), (METADATA, 80)])
def test_a_canary_answers_and_counts(canary_net: CanaryNet, name: str, port: int) -> None:
    """A connection to a canary succeeds, and is counted once by its address and port."""
    address = canary_net.ground.public if name == "public" else name
    assert b"200 OK" in _connect(address, port)
    assert len(canary_net.record().accepts_to(address, port)) == 1


def test_a_closed_port_is_counted_as_a_packet(canary_net: CanaryNet) -> None:
    """An attempt on a port where nothing listens is still seen."""
    with pytest.raises(ConnectionRefusedError):
        _connect(canary_net.ground.public, 9999)
    packet = canary_net.record().packets_to(canary_net.ground.public)[0]
    assert (packet.protocol, packet.port) == ("tcp", 9999)


def test_nothing_but_the_canaries_is_led_there(canary_net: CanaryNet) -> None:
    """The host reaches another address of the same range as it would without the canaries."""
    link = _device(canary_net.ground.public)
    others = [str(canary_net.ground.network[n]) for n in (3, 67, 200, 254)]

    assert {_device(address) for address in canary_net.owned} == {link}
    assert link not in {_device(address) for address in others}


def test_a_package_mirror_beside_the_canaries_works_and_does_not_count(canary_net: CanaryNet) -> None:
    """A mirror that the host reaches by a route to the whole range answers meanwhile; no canary sees its packets."""
    mirror = str(canary_net.ground.network[200])
    client = docker.from_env()
    command = f"ip addr add {mirror}/32 dev lo && exec python3 -m http.server 8081 --directory /opt"
    container = client.containers.run(
        canary_net.image, ["-ec", command], entrypoint=["sh"], user="0", cap_add=["NET_ADMIN"], detach=True,
        labels={BYSTANDER: "1"},
    )  # fmt: skip
    route = [str(canary_net.ground.network), "metric", "4000"]
    try:
        container.reload()
        bridge = container.attrs["NetworkSettings"]["IPAddress"]
        _output("ip", "route", "add", *route, "via", bridge)
        reply = _patiently(lambda: httpx.get(f"http://{mirror}:8081/", trust_env=False, timeout=30))
    finally:
        subprocess.run(["ip", "route", "del", *route], check=False)
        container.remove(force=True)
        client.close()

    assert reply.status_code == 200
    assert canary_net.record().packets == []


def test_the_hosts_own_packets_are_told_from_a_containers(canary_net: CanaryNet) -> None:
    """Both reach the same canary; only what came out of a container is an escape."""
    public = canary_net.ground.public
    _connect(public, 80)

    assert len(canary_net.record().accepts_to(public, 80)) == 1
    assert (canary_net.escapes().accepts, canary_net.escapes().packets) == ([], [])

    _from_a_container(canary_net, f"import socket; socket.create_connection(('{public}', 80), 30)")

    assert [a.port for a in canary_net.escapes().accepts_to(public)] == [80]
    assert [p.port for p in canary_net.escapes().packets_to(public)] == [80]


def test_the_canary_runs_under_our_profile(canary_net: CanaryNet) -> None:
    """The engine's own record: our seccomp profile, no new privileges, the packet watch's one capability."""
    client = docker.from_env()
    host = client.containers.get(canary_net.container).attrs["HostConfig"]
    client.close()

    assert host["SecurityOpt"] == ["no-new-privileges:true", f"seccomp={profile()}"]
    assert (host["CapDrop"], host["CapAdd"]) == (["ALL"], ["NET_RAW"])
    assert (host["Privileged"], host["ReadonlyRootfs"], host["NetworkMode"]) == (False, True, "none")


def test_a_query_is_answered_and_recorded(canary_net: CanaryNet) -> None:
    """The DNS server gives a zone name's address and writes the question down."""
    at = canary_net.ground
    assert _query("evil.test", at.dns).endswith(socket.inet_aton(at.public))
    assert [(q.type, q.transport) for q in canary_net.record().queries_for("evil.test")] == [("A", "udp")]


def test_https_with_a_pin_reaches_the_simulator(canary_net: CanaryNet) -> None:
    """A client that trusts the CA reaches a simulated host, and its Host, SNI and key are recorded."""
    context = ssl.create_default_context(cadata=canary_net.ca_pem)
    transport = httpx.HTTPTransport(verify=context)
    with httpx.Client(transport=transport, trust_env=False) as client:
        headers = {"host": "api.openai.com", "authorization": "Bearer k"}
        extensions = {"sni_hostname": "api.openai.com"}
        url = f"https://{canary_net.ground.upstream}/v1/models"
        reply = client.get(url, headers=headers, extensions=extensions)
    assert reply.status_code == 200
    seen = canary_net.record().requests_to("api.openai.com")[0]
    assert (seen.sni, seen.address, seen.credentials) == (
        "api.openai.com",
        canary_net.ground.upstream,
        {"authorization": "Bearer k"},
    )


def test_a_container_on_a_bridge_reaches_it(canary_net: CanaryNet) -> None:
    """What a container on an ordinary bridge sends out is seen too: the canaries stand where the net is."""
    public = canary_net.ground.public
    _from_a_container(canary_net, f"import socket; socket.create_connection(('{public}', 80), 30)")
    assert len(canary_net.record().accepts_to(public, 80)) == 1


def test_an_intruder_outside_any_sandbox_is_caught(
    canary_net: CanaryNet,
    host_listener: HostListener,
) -> None:
    """The demo's intruder does get out where nothing holds it, says so, and is seen at every canary."""
    public, dns = canary_net.ground.public, canary_net.ground.dns
    given = {"marker": "m1", "public_address": public, "dns_address": dns, "host_port": host_listener.port}
    client = docker.from_env()
    output = client.containers.run(
        canary_net.image,
        ["-c", f"echo '{json.dumps(given)}' | python3 /intruder/main.py 2>/dev/null"],
        entrypoint=["sh"],
        environment={"HTTPS_PROXY": f"http://{public}:8080", "PYTHONDONTWRITEBYTECODE": "1"},
        volumes={str(REPOSITORY / "examples" / "intruder"): {"bind": "/intruder", "mode": "ro"}},
        dns=[dns],
        remove=True,
        labels={BYSTANDER: "1"},
    )
    client.close()
    out = {line["attempt"] for line in json.loads(output) if line["got_out"]}
    assert {
        f"socket to {public}:443 (public)",
        f"socket to {METADATA}:80 (metadata)",
        "http://m1.evil.test/ through the proxy",
        "DNS tunnel by getaddrinfo",
        f"DNS tunnel by UDP to {dns}",
    } <= out
    assert any(f":{host_listener.port} (host)" in name for name in out)
    record = canary_net.record()
    assert record.queries_for("tunnel.evil.test")
    assert {a.address for a in record.accepts} == {public, METADATA, dns}
    assert host_listener.peers


def test_the_uplink_watch_sees_its_marker(host_listener: HostListener) -> None:
    """A packet with the marker on a watched interface is sighted; one without it is not."""
    with UplinkWatch("the-marker", (), interfaces=frozenset({"lo"})) as watch:
        for payload in (b"harmless", b"xx the-marker xx"):
            with socket.create_connection(("127.0.0.1", host_listener.port), timeout=30) as connection:
                connection.sendall(payload)
                connection.recv(100)
        until = time.monotonic() + 30
        while not watch.sightings and time.monotonic() < until:
            time.sleep(0.02)
    assert set(watch.sightings) == {"lo: a packet with the marker, to 127.0.0.1"}


def test_a_second_one_is_refused(canary_net: CanaryNet) -> None:
    """Two canary networks never fight over the same addresses."""
    with pytest.raises(CanaryError, match="one at a time"), CanaryNet(image=canary_net.image):
        pass


@pytest.fixture
def no_session(canary_session: CanaryNet) -> Iterator[str]:
    """The session's network gives way to one that a test brings up itself. Gives its image."""
    canary_session.close()
    yield canary_session.image
    canary_session.__enter__()


def test_nothing_remains(no_session: str) -> None:
    """After the end there is no container, link or route of ours."""
    with CanaryNet(image=no_session) as net:
        assert net.ground.public in _output("ip", "route")
    _assert_nothing_left(net)


def test_what_a_dead_run_left_is_removed(no_session: str) -> None:
    """A killed process leaves its network behind; the next start removes it."""
    program = (
        "from runtime.canary.net.session import CanaryNet;"
        f"net = CanaryNet(image={no_session!r}).__enter__(); input('up ')"
    )
    command = [sys.executable, "-c", program]
    held = subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with held:
        assert held.stdout is not None
        assert held.stdout.read(3) == b"up "
        held.send_signal(signal.SIGKILL)
        held.wait()
    assert "dev cnh" in _output("ip", "route")
    with CanaryNet(image=no_session) as net:
        pass
    _assert_nothing_left(net)


def test_a_range_that_the_host_uses_is_not_taken(no_session: str) -> None:
    """Where the host has a route of its own into the range, the canaries take another."""
    with CanaryNet(image=no_session) as first:
        pass
    claimed = f"{first.ground.network[77]}/32"
    _output("ip", "route", "add", "blackhole", claimed)
    try:
        with CanaryNet(image=no_session) as second:
            assert not second.ground.network.overlaps(first.ground.network)
    finally:
        _output("ip", "route", "del", "blackhole", claimed)
    _assert_nothing_left(second)


def test_a_mirrors_range_is_not_taken(no_session: str) -> None:
    """Where a package mirror's name leads into the range, the canaries take another."""
    with CanaryNet(image=no_session) as first:
        pass
    with CanaryNet(image=no_session, avoid=[f"{first.ground.network[9]}:443"]) as second:
        assert not second.ground.network.overlaps(first.ground.network)


def test_a_claimed_metadata_address_is_refused(no_session: str) -> None:
    """It does not start where the host has a route of its own to a target that cannot move, and names that route."""
    _output("ip", "route", "add", "blackhole", f"{METADATA}/32")
    try:
        with pytest.raises(CanaryError, match=r"route 169\.254\.169\.254"), CanaryNet(image=no_session):
            pass
    finally:
        _output("ip", "route", "del", "blackhole", f"{METADATA}/32")


def _assert_nothing_left(net: CanaryNet) -> None:
    client = docker.from_env()
    left = client.containers.list(all=True, filters=CANARIES, ignore_removed=True)
    client.close()
    assert left == []
    assert " cnh" not in _output("ip", "link")
    assert str(net.ground.public) not in _output("ip", "route") + _output("ip", "addr")


def _from_a_container(net: CanaryNet, script: str) -> None:
    """Run Python in an ordinary container on the engine's own bridge."""
    client = docker.from_env()
    client.containers.run(
        net.image, ["-c", script], entrypoint=["python3"], remove=True, labels={BYSTANDER: "1"}
    )
    client.close()


def _device(address: str) -> str:
    """The interface that the host would send by, or nothing where it has no way at all."""
    done = subprocess.run(["ip", "route", "get", address], capture_output=True, text=True, check=False)
    return done.stdout.partition(" dev ")[2].partition(" ")[0]


def _patiently(ask: Callable[[], httpx.Response]) -> httpx.Response:
    until = time.monotonic() + 60
    while True:
        try:
            return ask()
        except httpx.TransportError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
