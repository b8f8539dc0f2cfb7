"""A sandbox has nobody to ask but the sink, past the engine (CVE-2024-29018; attacks.md P-03, P-04, L-17).

On a host of the tests' own, whose resolvers are on its loopback: the case in which an engine asks them from
the host's own namespace, past every network of the container's.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import docker
import pytest

from tests.harness.private_host import PrivateHost
from tests.integration.conftest import Lab

pytestmark = [pytest.mark.docker, pytest.mark.own_engine]

ENGINE = "127.0.0.11"
ASK = """
import json, socket, struct, sys
TYPES = {"A": 1, "AAAA": 28, "TXT": 16, "NULL": 10, "ANY": 255, "HTTPS": 65, "PTR": 12}
def ask(name, kind, klass, transport, patience_s, server="127.0.0.11"):
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    query = struct.pack("!6H", 7, 0x0100, 1, 0, 0, 0) + labels + b"\\0" + struct.pack("!HH", TYPES[kind], klass)
    try:
        if transport == "udp":
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            s.settimeout(patience_s)
            s.connect((server, 53))
            s.send(query)
            reply = s.recv(4096)
        else:
            s = socket.create_connection((server, 53), patience_s)
            s.sendall(struct.pack("!H", len(query)) + query)
            reply = s.recv(4096)[2:]
        return {"rcode": reply[3] & 15, "answers": struct.unpack_from("!H", reply, 6)[0], "end": list(reply[-4:])}
    except OSError as error:
        return {"rcode": type(error).__name__, "answers": 0, "end": []}
"""
TYPES = ("A", "AAAA", "TXT", "NULL", "ANY", "HTTPS")
SWEEP = (
    ASK
    + f"""
from concurrent.futures import ThreadPoolExecutor
given = [(f"{{t}}-{{w}}.leak.example".lower(), t, 1, w) for t in {TYPES!r} for w in ("udp", "tcp")]
given += [("version.bind", "TXT", 3, w) for w in ("udp", "tcp")]
given += [(f"class{{k}}.leak.example", t, k, w) for k in (3, 4, 254, 255) for t in ("A", "TXT") for w in ("udp", "tcp")]
given += [("host.docker.internal", "A", 1, "udp"), ("1.0.207.10.in-addr.arpa", "PTR", 1, "udp")]
given += [("vm", "A", 1, "udp"), ("ok.test", "TXT", 1, "udp"), ("allowed", "A", 1, "udp")]
names = {{"allowed": "ok.test"}}
conf = open("/etc/resolv.conf").read()
[server] = [line.split()[1] for line in conf.splitlines() if line.startswith("nameserver")]
def sweep(server):
    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(lambda g: ask(names.get(g[0], g[0]), *g[1:], 30, server), given))
    return [[*g, s] for g, s in zip(given, said)]
engine = [ask("ok.test", "A", 1, w, 5, "{ENGINE}")["rcode"] for w in ("udp", "tcp")]
has_engine = engine != ["ConnectionRefusedError"] * 2
print(json.dumps({{"server": server, "sink": sweep(server), "engine": sweep("{ENGINE}") if has_engine else engine}}))
"""
)


@pytest.fixture
def client(private_host: PrivateHost) -> Iterator[docker.DockerClient]:
    """The private engine."""
    with closing(docker.DockerClient(base_url=private_host.docker_host)) as client:
        yield client


def is_closed(rows: list[list[Any]]) -> bool:
    """Whether every name was refused but the last one, which is allowed: it has the proxy's address."""
    *refused, allowed = rows
    assert len(refused) == 2 * len(TYPES) + 2 + 16 + 4
    leaks = [row for row in refused if row[2] == 1 and row[0].endswith(".leak.example")]
    return (
        not any(row[-1]["answers"] for row in refused)
        and all(row[-1]["rcode"] == 3 for row in leaks)
        and (allowed[-1]["answers"], allowed[-1]["end"][:2]) == (1, [10, 233])
    )


def test_no_question_of_a_sandbox_reaches_the_host_s_resolvers(
    private_host: PrivateHost, private_lab: Lab, client: docker.DockerClient
):
    """Every type, both transports, other classes, CHAOS: the sink says no, and the host is never asked.

    Before version 26 the engine has no resolver in a sandbox; a later one has the sink to ask only.
    """
    private_host.canary.reset()

    done = private_lab.run(SWEEP)

    assert done.code == 0, done.out + done.err
    said = done.json["result"]
    assert said["server"].startswith("10.233.")
    assert is_closed(said["sink"])
    if int(client.version()["Version"].partition(".")[0]) < 26:
        assert said["engine"] == ["ConnectionRefusedError"] * 2
    else:
        assert is_closed(said["engine"])
    assert private_host.canary.record().dns == []


def reaches(
    private_host: PrivateHost, client: docker.DockerClient, *, is_internal: bool, dns: list[str]
) -> bool:
    """Whether a name that a plain container asks for arrives at the host's resolvers."""
    network = client.networks.create("orchbox-private-names", internal=is_internal)
    try:
        private_host.canary.reset()
        patience_s = 3 if is_internal else 30  # a question that leads nowhere is waited for in vain
        code = ASK + f"print(json.dumps(ask('plain.leak.example', 'A', 1, 'udp', {patience_s})))"
        said = client.containers.run(
            "orchbox/daemon:local", entrypoint=["python3", "-c", code], network=network.name, dns=dns,
            user="65534", remove=True,
        )  # fmt: skip
    finally:
        network.remove()
    has_arrived = [q.name for q in private_host.canary.record().dns] == ["plain.leak.example"]
    assert bool(json.loads(said)["answers"]) is has_arrived
    return has_arrived


def test_a_resolver_on_the_host_s_loopback_is_asked_without_ours(
    private_host: PrivateHost, client: docker.DockerClient
):
    """The test can fail: an ordinary container's question arrives, and on 20.10 an internal one's (the CVE)."""
    assert reaches(private_host, client, is_internal=False, dns=[])
    if client.version()["Version"].startswith("20.10."):
        assert reaches(private_host, client, is_internal=True, dns=[])


@pytest.mark.parametrize(
    "dns",
    [["10.207.99.2"], ["127.0.0.53"], ["10.207.99.2", "127.0.0.53"], ["203.0.113.53"], ["10.207.0.1"]],
    ids=",".join,
)
def test_a_named_resolver_is_asked_from_the_container_s_own_network(
    private_host: PrivateHost, client: docker.DockerClient, dns: list[str]
):
    """What carries it is that `Dns` is set at all: then the engine never asks from the host's namespace."""
    assert not reaches(private_host, client, is_internal=True, dns=dns)
