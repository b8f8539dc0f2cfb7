"""Addresses (attacks.md section 2): no private, special or unlisted one, however it is spelled or found."""

from __future__ import annotations

from runtime.probe.corpus.build import FIX_ADDRESS, FIX_AGREE, PROXY, connect, refused, sent, tcp
from runtime.probe.corpus.case import Case, Refused, Works

_LITERAL = refused("ip_literal")
_EITHER = refused("ip_literal", "bad_host", "bad_request")
_METADATA = refused("metadata_address")

ANSWERS: dict[str, list[str]] = {
    "a01-loopback": ["127.0.0.1"],
    "a01-private": ["10.0.0.0/8"],
    "a01-private-b": ["172.16.0.0/12"],
    "a01-private-c": ["192.168.0.0/16"],
    "a01-cgnat": ["100.64.0.0/10"],
    "a01-linklocal": ["169.254.1.1"],
    "a01-benchmark": ["198.18.0.1"],
    "a01-reserved": ["240.0.0.1"],
    "a01-broadcast": ["255.255.255.255"],
    "a01-multicast": ["224.0.0.1"],
    "a01-unspecified": ["0.0.0.0"],  # noqa: S104 - an answer that must be refused
    "a01-documentation": ["{public}"],
    "a04-metadata": ["169.254.169.254"],
    "a04-wireserver": ["168.63.129.16"],
    "a04-oracle": ["192.0.0.192"],
    "a04-alibaba": ["100.100.100.200"],
    "a11-mixed": ["{upstream}", "127.0.0.1"],
}
"""Names below *.wild.test, which the policy allows, and what the probe's name server says of them.

A network stands for an address in it that this host does not use: it is led to a canary. What stands in braces is
the canaries' own, in the range that the probe chose.
"""

_TITLES = {"{public}": "a documentation address", "{upstream}": "an upstream's"}

REBINDING = "a12-rebind"
FAILING = {"a18-nxdomain": "NXDOMAIN", "a18-servfail": "SERVFAIL", "a18-empty": ""}


def _reason(address: str) -> Refused:
    metadata = {"169.254.169.254", "168.63.129.16", "192.0.0.192", "100.100.100.200"}
    return refused("metadata_address" if address in metadata else "private_address", "dns_rebind")


def _answers() -> list[Case]:
    made = []
    for name, answers in ANSWERS.items():
        row = name.partition("-")[0].upper()
        row = f"{row[0]}-{row[1:]}-{name.partition('-')[2]}"
        title = f"an allowed name whose address is {' or '.join(_TITLES.get(a, a) for a in answers)}"
        made.append(_named(row, title, f"{name}.wild.test", _reason(answers[-1])))
    for name in FAILING:
        row = f"A-18-{name.partition('-')[2]}"
        title = f"an allowed name without an answer ({name.partition('-')[2]})"
        made.append(_named(row, title, f"{name}.wild.test", refused("dns_failure")))
    return made


def _named(id_: str, title: str, host: str, expect: Refused) -> Case:
    head = f"CONNECT {host}:443 HTTP/1.1\r\nHost: {host}\r\n{{AUTH}}\r\n"
    return sent(id_, title, head, expect, group="addresses", fix=FIX_ADDRESS, wait_s=10)


def _spelled(id_: str, title: str, authority: str, expect: Refused = _EITHER) -> Case:
    case = connect(id_, title, authority, expect, fix=FIX_ADDRESS)
    return Case(case.id, "addresses", case.title, case.action, case.args, case.expect, case.fix)


_REBOUND = "a12-rebind.wild.test"

CASES: tuple[Case, ...] = (
    *_answers(),
    Case("A-12", "addresses", "an allowed name whose second answer is another address", "exchange",
         {"to": PROXY, "steps": [["connect", f"{_REBOUND}:443", "{auth}"], ["tls", {"sni": _REBOUND}],
                                 ["send", f"GET /echo/{{m}} HTTP/1.1\r\nHost: {_REBOUND}\r\nConnection: close\r\n\r\n"]]}, Works(), FIX_ADDRESS),
    _spelled("N-42", "a public address", "{ip}:443", _LITERAL),
    _spelled("A-04a", "the metadata address", "169.254.169.254:80", _METADATA),
    _spelled("A-04b", "a metadata address in IPv6", "[fd00:ec2::254]:80", _METADATA),
    _spelled("A-04c", "a provider's public metadata address", "168.63.129.16:80", _METADATA),
    _spelled("A-05a", "loopback, short", "127.1:443"),
    _spelled("A-05b", "loopback as a number", "2130706433:443"),
    _spelled("A-05c", "loopback in hexadecimal", "0x7f000001:443"),
    _spelled("A-05d", "loopback in octal", "0177.0.0.1:443"),
    _spelled("A-05e", "the metadata address as a number", "2852039166:80"),
    _spelled("A-05f", "the metadata address in octal", "0251.0376.0251.0376:80"),
    _spelled("A-05g", "the metadata address, three parts", "169.254.43518:80"),
    _spelled("A-05h", "zero", "0:443"),
    _spelled("A-06", "circled digits", "\xe2\x91\xa0\xe2\x91\xa1\xe2\x91\xa6.0.0.1:443"),
    _spelled("A-07a", "IPv4 in IPv6", "[::ffff:169.254.169.254]:80", _METADATA),
    _spelled("A-07b", "loopback in IPv6", "[::1]:443"),
    _spelled("A-07c", "loopback in IPv6 with a zone", "[::1%lo]:443"),
    _spelled("A-03a", "IPv4 in NAT64", "[64:ff9b::a9fe:a9fe]:80", _METADATA),
    _spelled("A-03b", "IPv4 in 6to4", "[2002:7f00:1::]:443"),
    _spelled("A-08a", "an octet too large", "256.0.0.1:443"),
    _spelled("A-08b", "a number too large", "4294967297:443"),
    _spelled("A-08c", "five octets", "1.2.3.4.5:443"),
    _spelled("A-09a", "localhost", "localhost:443", refused("denied_rule")),
    _spelled("A-09b", "the engine's name for the host", "host.docker.internal:443", refused("denied_rule")),
    _spelled("A-09c", "a provider's metadata name", "metadata.google.internal:80", refused("denied_rule")),
    _spelled("A-09d", "a name of one label", "metadata:80", refused("denied_rule")),
    _spelled("A-20a", "the proxy itself by its address", "{proxy}:8080", _LITERAL),
    sent("A-20b", "the proxy itself by a request", "GET http://{proxy}:8080/ HTTP/1.1\r\nHost: {proxy}:8080\r\n{AUTH}\r\n",
         _LITERAL, group="addresses", fix=FIX_ADDRESS),
    Case("A-16a", "addresses", "a redirect to the metadata address, followed by the client", "fetch",
         {"url": "http://ok.test/redirect?to=http://169.254.169.254/{m}"}, refused("metadata_address", upstream=1), FIX_AGREE),
    Case("A-16b", "addresses", "a redirect to an unlisted host, followed by the client", "fetch",
         {"url": "https://ok.test/redirect?to=https://{m}.evil.test/"}, refused("not_allowed_host", upstream=1), FIX_AGREE),
    sent("A-21", "a header that names another proxy",
         "GET http://{m}.evil.test/ HTTP/1.1\r\nHost: {m}.evil.test\r\nX-Upstream-Https-Proxy: http://{public}\r\n{AUTH}\r\n",
         refused("not_allowed_host"), group="addresses"),
    tcp("P-01a", "straight to a public address, port 443", "{ip}", 443, group="addresses"),
    tcp("A-04d", "straight to the metadata address", "169.254.169.254", 80, group="addresses"),
)  # fmt: skip
