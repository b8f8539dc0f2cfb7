"""`~/.orchagent/installed.json`: which prompts were exported where, and the digest of what was written.

The file and its fields are the platform's, so that both CLIs can keep it; `source`, the agent's directory, is
ours. Entries and fields that we do not know stay as they are.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from runtime.errors import InvalidInputError
from runtime.install.exports import MAX_BYTES, Export, replace_file
from runtime.install.formats import ADAPTER_VERSION
from runtime.plain_file import read_text

LOCAL_VERSION = "local"
"""A directory has no version; the registry numbers its own."""


class Installed:
    """What `orch install` has written and where, as the record on disk says it."""

    def __init__(self, home: Path) -> None:
        self._path = home / ".orchagent/installed.json"
        self._document = self._read()

    @property
    def entries(self) -> list[dict[str, Any]]:
        """All of them, the platform's own too."""
        return list(self._document["installed"])

    def digest_of(self, export: Export) -> str | None:
        """What we wrote there last, by its digest."""
        found = next((entry for entry in self.entries if _is_of(entry, export)), None)
        return str(found["contentHash"]) if found and "contentHash" in found else None

    def add(self, export: Export, source: Path) -> None:
        """Record what was written. Raises InvalidInputError where the file cannot be."""
        entry = {
            "agent": export.reference,
            "version": LOCAL_VERSION,
            "format": export.format.id,
            "scope": export.scope,
            "path": str(export.path),
            "installedAt": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "adapterVersion": ADAPTER_VERSION,
            "contentHash": export.digest,
            "source": str(source),
        }
        others = [kept for kept in self.entries if not _is_of(kept, export)]
        self._document = {**self._document, "installed": [*others, entry]}
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(self._path, json.dumps(self._document, indent=2) + "\n", mode=0o600)
        except OSError as exc:
            raise InvalidInputError(f"{self._path}: {exc.strerror}", hint="make it writable") from None

    def _read(self) -> dict[str, Any]:
        text = read_text(self._path, max_bytes=MAX_BYTES, remedy="make it a file that can be read")
        if text is None:
            return {"version": 1, "installed": []}
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            document = None
        is_record = isinstance(document, dict) and isinstance(document.get("installed"), list)
        if not is_record or not all(isinstance(entry, dict) for entry in document["installed"]):
            raise InvalidInputError(f"{self._path}: no record of installed agents", hint="move it away")
        return dict(document)


def _is_of(entry: dict[str, Any], export: Export) -> bool:
    keys = (entry.get("agent"), entry.get("format"), entry.get("path"))
    return keys == (export.reference, export.format.id, str(export.path))
