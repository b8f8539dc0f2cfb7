"""Audits for tests: written as the daemon does, judged as `orch audit verify` does."""

from __future__ import annotations

from collections.abc import Collection

from runtime.audit.chain import Head
from runtime.audit.checkpoint import read_public, read_text
from runtime.audit.files import AuditFolder
from runtime.audit.log import AuditLog
from runtime.audit.verify import Verdict, verify

WHO = "an installation"


async def written(folder: AuditFolder, count: int, *, close: bool = True) -> AuditLog:
    """So many lines more, each in a batch of its own."""
    log = AuditLog.open(folder, WHO, clock=lambda: 1.5)
    for number in range(count):
        await log.add("api.call", who="uid:0", data={"n": number})
    if close:
        await log.close()
    return log


def judged(folder: AuditFolder, kept: Collection[Head] | None = None) -> Verdict:
    """By the head that is there, unless another one is known; one that is not whole is no head."""
    key = read_public(folder.public)
    heads = [read_text(folder.head.read_text(), WHO, key)] if kept is None else kept
    return verify(folder.lines(), WHO, key, kept=heads)
