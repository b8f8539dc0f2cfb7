"""The canary network on a real engine: it sees what is sent to it, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import struct
import subprocess
import sys
import time
from collections.abc import Iterator

import docker
import httpx
import pytest

from tests.harness import CanaryNet, HarnessError, HostListener, UplinkWatch
from tests.harness.canary_net import DNS, LABEL, METADATA, PUBLIC, SIMULATORS
from tests.harness.simulator import REPOSITORY

pytestmark = pytest.mark.docker


def _connect(address: str, port: int) -> bytes:
    with socket.create_connection((address, port), timeout=3) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
        return connection.recv(64)


def _query(name: str) -> bytes:
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    packet = struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", 1, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(3)
        asking.sendto(packet, (DNS, 53))
        return asking.recv(512)


@pytest.mark.parametrize(("address", "port"), [(PUBLIC, 443), (PUBLIC, 2375), (METADATA, 80)])
def test_a_canary_answers_and_counts(canary_net: CanaryNet, address: str, port: int) -> None:
    """A connection to a canary succeeds, and is counted once by its address and port."""
    assert b"200 OK" in _connect(address, port)
    assert len(canary_net.record().accepts_to(address, port)) == 1


def test_a_closed_port_is_counted_as_a_packet(canary_net: CanaryNet) -> None:
    """An attempt on a port where nothing listens is still seen."""
    with pytest.raises(ConnectionRefusedError):
        _connect(PUBLIC, 9999)
    packet = canary_net.record().packets_to(PUBLIC)[0]
    assert (packet.protocol, packet.port) == ("tcp", 9999)


def test_an_address_that_nobody_has_is_counted(canary_net: CanaryNet) -> None:
    """What is sent to any documentation address of the network lands here and nowhere else."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sending:
        sending.sendto(b"out", ("203.0.113.200", 4444))
    assert [p.port for p in canary_net.record().packets_to("203.0.113.200")] == [4444]


def test_a_query_is_answered_and_recorded(canary_net: CanaryNet) -> None:
    """The DNS server gives a zone name's address and writes the question down."""
    assert _query("evil.test").endswith(socket.inet_aton(PUBLIC))
    assert [(q.type, q.transport) for q in canary_net.record().queries_for("evil.test")] == [("A", "udp")]


def test_https_with_a_pin_reaches_the_simulator(canary_net: CanaryNet) -> None:
    """A client that trusts the CA reaches a simulated host, and its Host, SNI and key are recorded."""
    context = ssl.create_default_context(cadata=canary_net.ca_pem)
    transport = httpx.HTTPTransport(verify=context)
    with httpx.Client(transport=transport, trust_env=False) as client:
        headers = {"host": "api.openai.com", "authorization": "Bearer k"}
        extensions = {"sni_hostname": "api.openai.com"}
        url = f"https://{SIMULATORS}/v1/models"
        reply = client.get(url, headers=headers, extensions=extensions)
    assert reply.status_code == 200
    seen = canary_net.record().requests_to("api.openai.com")[0]
    assert (seen.sni, seen.address, seen.credentials) == (
        "api.openai.com",
        SIMULATORS,
        {"authorization": "Bearer k"},
    )


def test_a_container_on_a_bridge_reaches_it(canary_net: CanaryNet) -> None:
    """What a container on an ordinary bridge sends out is seen too: the canaries stand where the net is."""
    client = docker.from_env()
    script = f"import socket; print(socket.create_connection(('{PUBLIC}', 80), 3))"
    image = canary_net._image
    client.containers.run(
        image, ["-c", script], entrypoint=["python3"], remove=True, labels={LABEL + ".test": "1"}
    )
    client.close()
    assert len(canary_net.record().accepts_to(PUBLIC, 80)) == 1


def test_an_intruder_outside_any_sandbox_is_caught(
    canary_net: CanaryNet,
    host_listener: HostListener,
) -> None:
    """The demo's intruder does get out where nothing holds it, says so, and is seen at every canary."""
    given = {"marker": "m1", "public_address": PUBLIC, "dns_address": DNS, "host_port": host_listener.port}
    client = docker.from_env()
    output = client.containers.run(
        canary_net._image,
        ["-c", f"echo '{json.dumps(given)}' | python3 /intruder/main.py 2>/dev/null"],
        entrypoint=["sh"],
        environment={"HTTPS_PROXY": f"http://{PUBLIC}:8080", "PYTHONDONTWRITEBYTECODE": "1"},
        volumes={str(REPOSITORY / "examples" / "intruder"): {"bind": "/intruder", "mode": "ro"}},
        dns=[DNS],
        remove=True,
        labels={f"{LABEL}.test": "1"},
    )
    client.close()
    out = {line["attempt"] for line in json.loads(output) if line["got_out"]}
    assert {
        f"socket to {PUBLIC}:443 (public)",
        f"socket to {METADATA}:80 (metadata)",
        "http://m1.evil.test/ through the proxy",
        "DNS tunnel by getaddrinfo",
        f"DNS tunnel by UDP to {DNS}",
    } <= out
    assert any(f":{host_listener.port} (host)" in name for name in out)
    record = canary_net.record()
    assert record.queries_for("tunnel.evil.test")
    assert {a.address for a in record.accepts} == {PUBLIC, METADATA, DNS}
    assert host_listener.peers


def test_the_uplink_watch_sees_its_marker(host_listener: HostListener) -> None:
    """A packet with the marker on a watched interface is sighted; one without it is not."""
    with UplinkWatch("the-marker", (), interfaces=frozenset({"lo"})) as watch:
        for payload in (b"harmless", b"xx the-marker xx"):
            with socket.create_connection(("127.0.0.1", host_listener.port), timeout=3) as connection:
                connection.sendall(payload)
                connection.recv(100)
        until = time.monotonic() + 3
        while not watch.sightings and time.monotonic() < until:
            time.sleep(0.02)
    assert set(watch.sightings) == {"lo: a packet with the marker, to 127.0.0.1"}


def test_a_second_one_is_refused(canary_net: CanaryNet) -> None:
    """Two canary networks never fight over the same addresses."""
    with pytest.raises(HarnessError, match="one at a time"), CanaryNet(image=canary_net._image):
        pass


@pytest.fixture
def no_session(canary_session: CanaryNet) -> Iterator[str]:
    """The session's network gives way to one that a test brings up itself. Gives its image."""
    canary_session.close()
    yield canary_session._image
    canary_session.__enter__()


def test_nothing_remains(no_session: str) -> None:
    """After the end there is no container, link or route of ours."""
    with CanaryNet(image=no_session):
        assert "203.0.113.0/24" in _output("ip", "route")
    _assert_nothing_left()


def test_it_needs_nothing_but_the_docker_api(no_session: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without root it is wired by a helper container, and cleaned up by one."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with CanaryNet(image=no_session) as net:
        assert _connect(PUBLIC, 80).startswith(b"HTTP/1.1 200")
        assert net.record().accepts_to(PUBLIC, 80)
    _assert_nothing_left()


def test_what_a_dead_run_left_is_removed(no_session: str) -> None:
    """A killed process leaves its network behind; the next start removes it."""
    program = (
        f"from tests.harness import CanaryNet; CanaryNet(image={no_session!r}).__enter__(); input('up ')"
    )
    command = [sys.executable, "-c", program]
    held = subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with held:
        assert held.stdout is not None
        assert held.stdout.read(3) == b"up "
        held.send_signal(signal.SIGKILL)
        held.wait()
    assert "203.0.113.0/24" in _output("ip", "route")
    with CanaryNet(image=no_session):
        pass
    _assert_nothing_left()


def test_a_claimed_address_is_refused(no_session: str) -> None:
    """It does not start where the host has a route of its own to a target, and names that route."""
    _output("ip", "route", "add", "blackhole", "203.0.113.77/32")
    try:
        with pytest.raises(HarnessError, match=r"203\.0\.113\.77"), CanaryNet(image=no_session):
            pass
    finally:
        _output("ip", "route", "del", "blackhole", "203.0.113.77/32")
    _assert_nothing_left()


def _assert_nothing_left() -> None:
    client = docker.from_env()
    left = client.containers.list(all=True, filters={"label": LABEL}, ignore_removed=True)
    client.close()
    assert left == []
    assert "canh" not in _output("ip", "link")
    assert "203.0.113" not in _output("ip", "route") + _output("ip", "addr")


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
