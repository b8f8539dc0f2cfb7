"""The engine's resolver has nobody to ask but the sink (CVE-2024-29018; attacks.md P-03, P-04, L-17).

On a host of the tests' own, whose resolvers are on its loopback: the case in which an engine asks them from
the host's own namespace, past every network of the container's.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing

import docker
import pytest

from tests.harness.private_host import PrivateHost
from tests.integration.conftest import Lab

pytestmark = [pytest.mark.docker, pytest.mark.own_engine]

ASK = """
import json, socket, struct, sys
TYPES = {"A": 1, "AAAA": 28, "TXT": 16, "NULL": 10, "ANY": 255, "HTTPS": 65, "PTR": 12}
def ask(name, kind, klass, transport, patience_s):
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    query = struct.pack("!6H", 7, 0x0100, 1, 0, 0, 0) + labels + b"\\0" + struct.pack("!HH", TYPES[kind], klass)
    try:
        if transport == "udp":
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            s.settimeout(patience_s)
            s.sendto(query, ("127.0.0.11", 53))
            reply = s.recv(4096)
        else:
            s = socket.create_connection(("127.0.0.11", 53), patience_s)
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
with ThreadPoolExecutor(8) as pool:
    said = list(pool.map(lambda g: ask(names.get(g[0], g[0]), *g[1:], 30), given))
print(json.dumps([[*g, s] for g, s in zip(given, said)]))
"""
)


@pytest.fixture
def client(private_host: PrivateHost) -> Iterator[docker.DockerClient]:
    """The private engine."""
    with closing(docker.DockerClient(base_url=private_host.docker_host)) as client:
        yield client


def test_no_question_of_a_sandbox_reaches_the_host_s_resolvers(private_host: PrivateHost, private_lab: Lab):
    """Every type, both transports, other classes, CHAOS: the sink says no, and the host is never asked."""
    private_host.canary.reset()

    done = private_lab.run(SWEEP)

    assert done.code == 0, done.out + done.err
    *refused, allowed = done.json["result"]
    assert len(refused) == 2 * len(TYPES) + 2 + 16 + 4
    assert [row for row in refused if row[-1]["answers"]] == []
    assert [
        row for row in refused if row[2] == 1 and row[0].endswith(".leak.example") and row[-1]["rcode"] != 3
    ] == []
    assert private_host.canary.record().dns == []
    # The control: through the same resolver an allowed name is answered, with the proxy's address.
    assert allowed[-1]["answers"] == 1
    assert allowed[-1]["end"][:2] == [10, 233]


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
