"""A simulator of HashiCorp Vault's transit engine: encrypt and decrypt over https, for one token."""

from __future__ import annotations

import base64
import binascii
import http.server
import json
import os
import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from runtime.canary.certificates import Authority

TOKEN = "hvs.the-only-token"


class Transit:
    """The server; `calls` are what it was asked, `keys` its named keys, `is_sealed` makes it refuse all."""

    def __init__(self) -> None:
        self.keys = {"orchbox": [AESGCM.generate_key(256)]}
        self.calls: list[str] = []
        self.is_sealed = False
        self._authority = Authority()

    def __enter__(self) -> Self:
        """Listen on a port that the system chose."""
        simulator = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                token = self.headers.get("X-Vault-Token", "")
                status, answer = simulator.answer(self.path, token, body)
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                """Nothing on stderr."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = self._authority.server_context(lambda *_: None)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        folder = Path(tempfile.mkdtemp(prefix="orchbox-transit-"))
        self.ca_path = folder / "ca.pem"
        self.ca_path.write_text(self._authority.pem)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()
        self.ca_path.unlink()
        self.ca_path.parent.rmdir()

    def stop(self) -> None:
        """No longer answer."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def uri(self, key: str = "orchbox") -> str:
        """Of a key, as ORCHBOX_VAULT_KEY takes it."""
        return f"hcvault://localhost:{self._server.server_port}/transit/keys/{key}"

    def rotate(self) -> None:
        """A new version of the key, as `vault write -f transit/keys/orchbox/rotate` makes."""
        self.keys["orchbox"].append(AESGCM.generate_key(256))

    def answer(self, path: str, token: str, body: dict[str, str]) -> tuple[int, dict[str, object]]:
        """Status and body, with the real one's error texts."""
        self.calls.append(path)
        if self.is_sealed:
            return 503, {"errors": ["Vault is sealed"]}
        if token != TOKEN:
            return 403, {"errors": ["permission denied"]}
        _, _, mount, action, name = path.split("/")
        if mount != "transit" or name not in self.keys:
            return 400, {"errors": ["encryption key not found"]}
        try:
            return 200, {"data": getattr(self, f"_{action}")(self.keys[name], body)}
        except (InvalidTag, ValueError, IndexError, binascii.Error):
            return 400, {"errors": ["invalid ciphertext: unable to decrypt"]}

    def _encrypt(self, versions: list[bytes], body: dict[str, str]) -> dict[str, str]:
        nonce = os.urandom(12)
        sealed = nonce + AESGCM(versions[-1]).encrypt(nonce, base64.b64decode(body["plaintext"]), None)
        return {"ciphertext": f"vault:v{len(versions)}:{base64.b64encode(sealed).decode()}"}

    def _decrypt(self, versions: list[bytes], body: dict[str, str]) -> dict[str, str]:
        _, version, text = body["ciphertext"].split(":")
        sealed = base64.b64decode(text, validate=True)
        opened = AESGCM(versions[int(version[1:]) - 1]).decrypt(sealed[:12], sealed[12:], None)
        return {"plaintext": base64.b64encode(opened).decode()}
