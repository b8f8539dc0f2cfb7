"""Try to leave the sandbox, by the standard library alone, and say what got out.

Input (stdin), all optional:
    marker            a word put into every attempt, for whoever watches the wires
    unlisted_host     a name that is on no allowlist              (evil.test)
    public_address    an address that stands for the internet     (tried if given)
    dns_address       a name server outside                       (tried if given)
    metadata_address  the cloud's metadata service                (169.254.169.254)
    gateway           the host on the sandbox's own network       (its first address)
    host_addresses    other addresses of the host                 ([])
    host_port         a port on which the host really listens     (tried if given)
Output (stdout): a JSON list of {"attempt", "expected", "got_out", "detail"}.

Run it only where these addresses are yours: `scripts/demo.py` brings up a network that holds them.
"""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import attempts
import own_network


def main() -> int:
    """Make every attempt and print the list. Exit 0 whatever they gave: the caller judges."""
    try:
        given = json.load(sys.stdin)
    except ValueError as error:
        print(json.dumps({"error": f"bad input: {error}"}))
        return 1
    with ThreadPoolExecutor(max_workers=8) as pool:
        found = list(pool.map(attempts.make, plan(given if isinstance(given, dict) else {})))
    for line in found:
        print(
            f"{'GOT OUT' if line['got_out'] else 'held   '}  {line['attempt']}: {line['detail']}",
            file=sys.stderr,
        )
    print(json.dumps(found))
    return 0


def plan(given: dict[str, Any]) -> list[attempts.Attempt]:
    """The attempts for an input."""
    marker = str(given.get("marker", "no-marker"))
    host = str(given.get("unlisted_host", "evil.test"))
    metadata = str(given.get("metadata_address", "169.254.169.254"))
    port = given.get("host_port")
    return [
        *attempts.by_proxy(host, marker=marker),
        *attempts.by_raw_socket(
            given.get("public_address"), ports=(80, 443, 22), what="public", marker=marker
        ),
        *attempts.by_raw_socket(metadata, ports=(80,), what="metadata", marker=marker),
        *attempts.by_proxy_to_address(metadata, port=80, what="metadata", marker=marker),
        *attempts.by_proxy_to_address(given.get("public_address"), port=443, what="public", marker=marker),
        *host_attempts(given, port=port, marker=marker),
        *attempts.by_dns(host, server=given.get("dns_address"), marker=marker),
    ]


def host_attempts(given: dict[str, Any], *, port: Any, marker: str) -> list[attempts.Attempt]:
    """What is tried on the host itself."""
    gateway = given.get("gateway") or own_network.gateway()
    ports = (22, 80, 2375, *((port,) if port else ()))
    tried = attempts.by_raw_socket(gateway, ports=ports, what="host", marker=marker)
    for address in given.get("host_addresses", []):
        tried += attempts.by_raw_socket(address, ports=(port,) if port else (22,), what="host", marker=marker)
    if port:
        tried += attempts.by_proxy_to_address(gateway, port=port, what="host", marker=marker)
    return tried


if __name__ == "__main__":
    sys.exit(main())
