"""What a case's arguments may name: `{proxy}`, `{gateway}`, `{self}`, `{auth}` and the facts given."""

from __future__ import annotations

import base64
import gzip
import os
import re
import socket
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit


class Places:
    """Fills placeholders; anything else in braces stays as it is."""

    def __init__(self, facts: dict[str, str]) -> None:
        parts = urlsplit(os.environ["HTTPS_PROXY"])
        token = unquote(parts.password or "")
        self._values = {
            **facts,
            "proxy": parts.hostname or "",
            "gateway": gateway(),
            "auth": base64.b64encode(f"probe:{token}".encode()).decode(),
            "explain": base64.b64encode(f"explain:{token}".encode()).decode(),
            "self": own_address(),
            **spellings("planted", facts.get("planted", "")),
            **spellings("key", os.environ.get("PROBE_KEY", "")),
        }

    def fill(self, value: Any) -> Any:
        """The same shape with every string filled."""
        if isinstance(value, str):
            filled = re.sub(r"\{([a-z0-9_]+)\}", lambda m: self._values.get(m[1], m[0]), value)
            return re.sub(r"\{chunk:(.*?)\}(?=\{chunk:|0\r\n\r\n$)", _chunk, filled, flags=re.DOTALL)
        if isinstance(value, list):
            return [self.fill(item) for item in value]
        if isinstance(value, dict):
            return {key: self.fill(item) for key, item in value.items()}
        return value


def spellings(name: str, value: str) -> dict[str, str]:
    """A secret in the ways in which one may send it; latin-1 text."""
    raw, half = value.encode(), len(value) // 2
    return {
        name: value,
        f"{name}_base64": base64.b64encode(b"x" + raw).decode(),
        f"{name}_end": value[half:],
        f"{name}_gzip": gzip.compress(raw, mtime=0).decode("latin-1"),
        f"{name}_hex": raw.hex(),
        f"{name}_percent": "".join(f"%{byte:02x}" for byte in raw),
        f"{name}_start": value[:half],
    }


def _chunk(match: re.Match[str]) -> str:
    return f"{len(match[1]):x}\r\n{match[1]}\r\n"


def gateway() -> str:
    """The first address of this network, where a bridge has its host."""
    for line in Path("/proc/net/route").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[7], 16):  # not the default route; the kernel prints in the machine's byte order
            return socket.inet_ntoa((socket.ntohl(int(fields[1], 16)) + 1).to_bytes(4, "big"))
    raise OSError("no network")


def own_address() -> str:
    """The address of this sandbox."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.connect((gateway(), 9))
        return str(asking.getsockname()[0])
