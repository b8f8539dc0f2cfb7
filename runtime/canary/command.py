"""The command line of a canary: `--control /dir/control.sock --ca /dir/ca.pem --https 127.0.0.1:8443 ...`."""

from __future__ import annotations

import argparse
import asyncio
import json
from pathlib import Path

from runtime.canary.server import Endpoint, Listeners, Simulator
from runtime.canary.upstreams.application import build_app


def serve() -> None:
    """Read the command line and serve until told to stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--control", type=Path, required=True, help="unix socket of the control endpoint")
    parser.add_argument("--ca", type=Path, required=True, help="file the CA's certificate is written to")
    for kind in ("https", "http", "dns", "canary", "udp-canary"):
        parser.add_argument(f"--{kind}", type=_endpoint, action="append", default=[], metavar="ADDRESS:PORT")
    parser.add_argument("--watch", metavar="INTERFACE", help="record every packet that arrives there")
    parser.add_argument("--zone", type=json.loads, default={}, help='JSON: {"ok.test": [["203.0.113.10"]]}')
    given = parser.parse_args()
    listeners = Listeners(
        control=given.control,
        ca=given.ca,
        https=tuple(given.https),
        http=tuple(given.http),
        dns=tuple(given.dns),
        canaries=tuple(given.canary),
        udp_canaries=tuple(given.udp_canary),
        watch=given.watch,
        zone=given.zone,
    )
    asyncio.run(Simulator(listeners, build_app).run())


def _endpoint(text: str) -> Endpoint:
    address, _, port = text.rpartition(":")
    return address.strip("[]"), int(port)
