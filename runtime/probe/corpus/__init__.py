"""The corpus: every case, by group. Adding one is one entry in one of these modules (docs/probing.md)."""

from __future__ import annotations

from runtime.probe.corpus import (
    abuse,
    addresses,
    control,
    dns,
    kernel,
    keys,
    lateral,
    names,
    protocols,
    secrets,
)
from runtime.probe.corpus.case import Case

CASES: tuple[Case, ...] = (
    *control.CASES,
    *names.CASES,
    *addresses.CASES,
    *protocols.CASES,
    *dns.CASES,
    *lateral.CASES,
    *kernel.CASES,
    *secrets.CASES,
    *keys.CASES,
    *abuse.CASES,
)
