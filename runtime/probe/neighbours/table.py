"""The attacks that neighbours are shown against, and what a neighbour is promised. Pure."""

from __future__ import annotations

from dataclasses import dataclass

RATIO = 3.0
"""How many times its quiet p99 a victim's p99 may be under attack."""
FLOOR_MS = 100.0
"""Below this no p99 is held against an attack: machines are noisy."""
EVERY_S = 0.05
"""How often the victim asks, each of its kinds."""
OUTLIVES_S = 5.0
"""How long a worker may live once its run has ended; the next row waits for four times that."""
MORE_S = 30.0
"""How long a run may go on after the victim's time before its time limit ends it."""
LONG_SECRET, SHORT_SECRET = 16_000, 32
"""Characters of the secrets that an attacker holds."""


@dataclass(frozen=True, slots=True)
class Row:
    """One attack; its act is in `runtime.probe.neighbours.agent.attacks` under the same id."""

    id: str
    title: str
    secrets: tuple[int, ...] = ()
    """Lengths of the secrets that the attacker holds."""


ROWS = (
    Row("nothing", "a neighbour that does nothing"),
    Row("dns_ports", "DNS questions from ever new source ports"),
    Row("dns_resolver", "the same to the engine's resolver"),
    Row("connection_names", "heads that name thousands of headers in Connection"),
    Row("half_open", "connections that begin a head and never end it"),
    Row("failing_handshakes", "TLS handshakes of a client that trusts nobody"),
    Row("websocket_message", "a WebSocket message that never ends"),
    Row("websocket_inflation", "WebSocket frames that inflate a thousandfold"),
    Row("malformed_streams", "HTTP/2 streams with malformed heads"),
    Row("closed_window", "HTTP/2 answers that the client never takes"),
    Row("refused", "refused requests as fast as possible"),
    Row("unread_upload", "an upload that its upstream does not read"),
    Row("newlines", "newlines on stderr, and ten secrets", (SHORT_SECRET,) * 10),
    Row("lone_newlines", "the same by writes of one byte each", (SHORT_SECRET,) * 10),
    Row("result", "a result of 9 MB"),
    Row("pieces", "a body of escapes in one-byte chunks, and a long secret", (LONG_SECRET,)),
)


@dataclass(frozen=True, slots=True)
class Windows:
    """How long each row takes, in seconds."""

    quiet_s: float = 5.0
    attack_s: float = 5.0
    settle_s: float = 1.0
    """After a sandbox's first word, before its quiet window begins: the other one may still be starting."""
    tail_s: float = 2.0
    """How long the victim goes on after the attack's time is up."""

    @property
    def waits_s(self) -> float:
        """From the attacker's first word to its attack."""
        return self.settle_s + self.quiet_s

    @property
    def victim_s(self) -> float:
        """How long the victim asks: the attacker may have started after it."""
        return 2 * self.settle_s + self.quiet_s + self.attack_s + self.tail_s
