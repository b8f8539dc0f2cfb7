"""The demo: an agent that works and an agent that tries to leave, judged from both sides.

    python scripts/demo.py           simulated OpenAI, behind operator pins; needs no key and no internet
    python scripts/demo.py --live    the real OpenAI API, with OPENAI_API_KEY from the environment

Exits 0 only if the summary came from the text and nothing at all got out. Removes what it made.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import uuid
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

from demo_checks import check_intruder, check_summary  # noqa: E402
from demo_daemon import DemoDaemon, DemoError  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.markup import escape  # noqa: E402
from rich.table import Table  # noqa: E402

from runtime.canary.client import CanaryError  # noqa: E402
from runtime.canary.net.ground import METADATA  # noqa: E402
from runtime.canary.net.host_listener import HostListener  # noqa: E402
from runtime.canary.net.session import CanaryNet  # noqa: E402
from runtime.canary.net.uplink import UplinkWatch  # noqa: E402
from runtime.policies.registries import all_registry_hosts  # noqa: E402

TEXT = ROOT / "examples" / "data" / "lighthouses.txt"
FAKE_KEY = "sk-demo-not-a-real-key-0123456789abcdef"
TOKEN_DELAY_S = 0.02
KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY")


def main() -> int:
    """Run the demo; the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--live", action="store_true", help="ask the real OpenAI API")
    live = parser.parse_args().live
    console = Console(width=None if sys.stdout.isatty() else 160)
    if live and not os.environ.get("OPENAI_API_KEY"):
        console.print("--live needs OPENAI_API_KEY in the environment")
        return 5
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        problems = demo(console, live=live)
    except (DemoError, CanaryError) as error:
        console.print(f"[bold red]the demo could not run:[/] {escape(str(error))}", highlight=False)
        return 1
    for problem in problems:
        console.print(f"[bold red]FAILED[/] {escape(problem)}", highlight=False)
    if not problems:
        console.print("[bold green]PASSED[/] the summary is real, and nothing got out")
    return 1 if problems else 0


def demo(console: Console, *, live: bool) -> list[str]:
    """Both runs; what went wrong."""
    key = os.environ["OPENAI_API_KEY"] if live else FAKE_KEY
    environment = {k: v for k, v in os.environ.items() if k not in KEYS} | {"OPENAI_API_KEY": key}
    console.rule("setting up")
    canaries = CanaryNet(token_delay_s=TOKEN_DELAY_S, avoid=all_registry_hosts())
    with canaries as net, HostListener() as listener, DemoDaemon(ROOT, environment) as daemon:
        if not live:
            site = net.write_site_policy(daemon.directory)
            daemon.environment |= {"ORCHBOX_SITE_POLICY": str(site), "ORCHBOX_PROXY_DNS": net.ground.dns}
        daemon.start()
        problems = summarize(console, daemon, net, live=live)
        problems += intrude(console, daemon, net, listener)
    return problems + daemon.left_behind


def summarize(console: Console, daemon: DemoDaemon, net: CanaryNet, *, live: bool) -> list[str]:
    """The agent that works."""
    console.rule("orch run examples/summarizer examples/data/lighthouses.txt")
    net.reset()
    run = daemon.run("examples/summarizer", str(TEXT))
    show_decisions(console, run.decisions)
    console.print_json(data=run.result)
    return check_summary(
        run,
        TEXT.read_text(),
        record=None if live else net.record(),
        key=FAKE_KEY,
        token_delay_s=TOKEN_DELAY_S,
    )


def intrude(console: Console, daemon: DemoDaemon, net: CanaryNet, listener: HostListener) -> list[str]:
    """The agent that tries to leave."""
    console.rule("orch run examples/intruder")
    marker = "m" + uuid.uuid4().hex[:12]
    document = {
        "marker": marker,
        "public_address": net.ground.public,
        "dns_address": net.ground.dns,
        "metadata_address": METADATA,
        "host_port": listener.port,
        "host_addresses": daemon.bridge_addresses(),
    }
    net.reset()
    with UplinkWatch(marker, net.networks) as uplink:
        run = daemon.run("examples/intruder", data=document)
    record = net.escapes()
    show_decisions(console, run.decisions)
    show_attempts(console, run.result)
    counts = {
        "packets and connections at the canaries": len(record.accepts) + len(record.packets),
        "DNS questions": len(record.dns),
        "connections to the host": len(listener.peers),
        "packets on the uplink": len(uplink.sightings) if uplink.has_watched else "unwatched (needs root)",
    }
    seen = ", ".join(f"{what}: {count}" for what, count in counts.items())
    console.print(f"seen from outside: {seen}", highlight=False)
    return check_intruder(
        run, record=record, host_peers=listener.peers, sightings=uplink.sightings, marker=marker
    )


def show_decisions(console: Console, decisions: list[dict[str, Any]]) -> None:
    """The proxy's own lines."""
    table = Table("verdict", "reason", "by", "method", "host", "port", "path", "rule", title="decisions")
    for line in decisions:
        colour = "green" if line.get("verdict") == "allow" else "red"
        names = ("reason_code", "entry", "method", "host", "port", "path", "rule_id")
        cells = ["" if line.get(name) is None else escape(str(line[name])) for name in names]
        table.add_row(f"[{colour}]{line.get('verdict')}[/]", *cells)
    console.print(table)


def show_attempts(console: Console, attempts: object) -> None:
    """What the intruder says of itself."""
    table = Table("attempt", "expected", "outcome", "detail", title="the intruder's own view")
    for line in attempts if isinstance(attempts, list) else []:
        outcome = "[bold red]GOT OUT[/]" if line["got_out"] else "[green]held[/]"
        table.add_row(line["attempt"], line["expected"], outcome, escape(line["detail"]))
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
