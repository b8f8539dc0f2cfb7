"""Asks the container's name servers for IPv4 addresses, over UDP and without a thread.

The system's resolver takes a thread for each name that is asked for, and there are about six of them: names
that never answer would keep all others waiting. Here a lookup is a socket. It asks again each second, since
resolvers drop bursts, and keeps an answer for its time (30 s at most) so that there are fewer of them.
"""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from proxy.destination.dns_message import Answer, BadAnswerError, encode_question, read_answer

ASK_AGAIN_S = 1.0
MAX_ASKS = 5
MAX_KEPT_S = 30.0
MAX_KEPT = 512
"""Names whose answers are kept."""
NO_SUCH_NAME = "no such name"
"""The text of the error where a server says that there is none, and not that it failed."""
_NO_ERROR, _NO_SUCH_NAME = 0, 3
_PORT = 53

type Server = tuple[str, int]


class Resolver:
    """A Lookup that asks these servers."""

    def __init__(
        self, servers: Sequence[Server], hosts: Mapping[str, list[str]], clock: Callable[[], float]
    ) -> None:
        """`hosts` are names that are not asked for; `clock` is monotonic, in seconds."""
        self._servers = servers
        self._hosts = hosts
        self._clock = clock
        self._kept: OrderedDict[str, tuple[float, list[str]]] = OrderedDict()

    async def __call__(self, host: str) -> list[str]:
        """The addresses of a name, no search domain tried. Raises OSError where there are none."""
        if host in self._hosts:
            return self._hosts[host]
        until, addresses = self._kept.get(host, (0.0, []))
        if self._clock() < until:
            return addresses
        answer = await self._ask(host)
        if answer.code != _NO_ERROR or not answer.addresses:
            raise OSError(NO_SUCH_NAME if answer.code in {_NO_ERROR, _NO_SUCH_NAME} else "no answer")
        self._kept[host] = (self._clock() + min(answer.ttl_s, MAX_KEPT_S), answer.addresses)
        self._kept.move_to_end(host)
        if len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)
        return answer.addresses

    async def _ask(self, host: str) -> Answer:
        question = encode_question(host, secrets.randbelow(1 << 16))
        listening = _Listener(question)
        transports: dict[Server, asyncio.DatagramTransport] = {}
        try:
            for turn in range(MAX_ASKS):
                server = self._servers[turn % len(self._servers)]
                if server not in transports:
                    loop = asyncio.get_running_loop()
                    transports[server], _ = await loop.create_datagram_endpoint(
                        lambda: listening, remote_addr=server
                    )
                transports[server].sendto(question)
                answer = await listening.wait(ASK_AGAIN_S)
                if answer is not None and answer.is_cut_off:
                    return await _ask_by_stream(server, question)
                if answer is not None and answer.code in {_NO_ERROR, _NO_SUCH_NAME}:
                    return answer
                if answer is not None:  # it says that it failed
                    await asyncio.sleep(ASK_AGAIN_S / 4)
        finally:
            for transport in transports.values():
                transport.close()
        raise OSError("no answer")


class _Listener(asyncio.DatagramProtocol):
    """Takes the first answer to the question; sockets are connected, so only the servers' datagrams come."""

    def __init__(self, question: bytes) -> None:
        self._question = question
        self._came = asyncio.Event()
        self._answer: Answer | None = None

    def datagram_received(self, data: bytes, _addr: object) -> None:
        try:
            self._answer = read_answer(data, self._question)
        except BadAnswerError:
            return
        self._came.set()

    def error_received(self, exc: Exception) -> None:
        """Nobody listens there (yet); it is asked again."""

    async def wait(self, timeout_s: float) -> Answer | None:
        """What came by now, or else within the time; a second answer is waited for anew."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._came.wait()
        except TimeoutError:
            return None
        self._came.clear()
        return self._answer


async def _ask_by_stream(server: Server, question: bytes) -> Answer:
    """For an answer that no datagram has room for (RFC 1035 section 4.2.2). Raises OSError."""
    reader, writer = await asyncio.open_connection(*server)
    try:
        writer.write(len(question).to_bytes(2) + question)
        size = int.from_bytes(await reader.readexactly(2))
        return read_answer(await reader.readexactly(size), question)
    except (asyncio.IncompleteReadError, BadAnswerError) as exc:
        raise OSError("no answer") from exc
    finally:
        writer.close()


def servers_of(text: str) -> list[Server]:
    """The name servers of a resolv.conf."""
    servers = []
    for line in text.splitlines():
        match line.split():
            case ["nameserver", address, *_] if _is_ipv4(address):
                servers.append((address, _PORT))
    return servers or [("127.0.0.1", _PORT)]  # resolv.conf(5)


def hosts_of(text: str) -> dict[str, list[str]]:
    """The IPv4 addresses of a hosts file, by name."""
    hosts: dict[str, list[str]] = {}
    for line in text.splitlines():
        match line.partition("#")[0].split():
            case [address, *names] if _is_ipv4(address):
                for name in names:
                    hosts.setdefault(name.lower(), []).append(address)
    return hosts


def resolver_of_this_host(clock: Callable[[], float]) -> Resolver:
    """A resolver that asks whom the system's would ask."""
    texts = [path.read_text() if path.exists() else "" for path in (_RESOLV_CONF, _HOSTS)]
    return Resolver(servers_of(texts[0]), hosts_of(texts[1]), clock)


_RESOLV_CONF, _HOSTS = Path("/etc/resolv.conf"), Path("/etc/hosts")


def _is_ipv4(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).version == 4
    except ValueError:
        return False
