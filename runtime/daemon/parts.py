"""What of a daemon its metrics are read from."""

from __future__ import annotations

from dataclasses import dataclass

from runtime.database.connection import Database
from runtime.egress.port import LinkPort
from runtime.keeper.nursery import Nursery
from runtime.network.guard import HostGuard
from runtime.network.slots import NetworkSlots
from runtime.runs.service import RunService
from runtime.vault.service import Vault


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts that count."""

    service: RunService
    slots: NetworkSlots
    keepers: Nursery
    link: LinkPort
    guard: HostGuard
    vault: Vault
    database: Database
