"""The secrets API from the caller's side."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from runtime.client.connection import Client
from runtime.model.secret import Secret

OWN_WORKSPACE = "-"
"""In the place of a workspace: the one that the caller is bound to, or `default`."""


class SecretsClient:
    """One workspace's secrets. Every method raises DaemonUnreachableError and ApiError."""

    def __init__(self, client: Client, workspace: str) -> None:
        self._client = client
        self._path = f"/v1/workspaces/{_segment(workspace)}/secrets"

    def set(self, name: str, value: Secret, description: str | None) -> dict[str, Any]:
        """Create a secret, or replace the value of one that is there."""
        body: dict[str, Any] = {"name": name, "value": value.reveal(), "secret_type": "custom"}
        if description is not None:
            body["description"] = description
        return self._client.call("PUT", self._path, json=body)

    def entries(self) -> list[dict[str, Any]]:
        """List a workspace's secrets: names and descriptions, never a value."""
        return list(self._client.call("GET", self._path)["secrets"])

    def delete(self, name: str) -> dict[str, Any]:
        """Delete a secret by its name or id."""
        return self._client.call("DELETE", f"{self._path}/{_segment(name)}")

    def audit(self, limit: int) -> list[dict[str, Any]]:
        """List who did what with a workspace's secrets, the newest first."""
        return list(self._client.call("GET", f"{self._path}/audit", params={"limit": limit})["audit"])


def _segment(text: str) -> str:
    """Whatever the caller typed stays one segment of the path."""
    return quote(text, safe="") or "-"
