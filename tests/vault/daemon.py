"""A process that works on a vault as a daemon does: `python -m tests.vault.daemon write|rotate|prepare ...`.

It prints one line for each thing that it was told is done, so that a test may kill it at any time.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

from runtime.model.secret import Secret
from runtime.vault.service import Vault
from tests.vault.places import ME, Place

ROOT = Path(__file__).resolve().parents[2]


def start(place: Place, *work: str) -> subprocess.Popen[str]:
    """In a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.vault.daemon", str(place.folder), place.url or "-", *work],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def value_of(name: str) -> str:
    """What `write` sets a name to."""
    return f"value of {name}"


async def _write(vault: Vault, first: str, count: str) -> None:
    for number in range(int(first), int(first) + int(count)):
        name = f"KEY_{number}"
        await vault.put("default", name, Secret(value_of(name)), who=ME)
        print(name, flush=True)


async def _rotate(vault: Vault, count: str) -> None:
    for _ in range(int(count)):
        print(await vault.rotate(who=ME), flush=True)


async def _prepare(vault: Vault) -> None:
    await vault.prepare()
    print("open", flush=True)


async def _main(folder: str, url: str, work: str, *arguments: str) -> None:
    place = Place(Path(folder), None if url == "-" else url, bytes)
    try:
        await {"write": _write, "rotate": _rotate, "prepare": _prepare}[work](place.vault(), *arguments)
    finally:
        await place.close()


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
