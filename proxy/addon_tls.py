"""TLS towards sandboxes with the daemon's CA, held in memory; towards upstreams always verified."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from mitmproxy import certs
from mitmproxy.addons.tlsconfig import TlsConfig


class MemoryTlsConfig(TlsConfig):
    """TlsConfig without its files: until the daemon hands over a CA, no sandbox gets a certificate."""

    def set_ca(self, cert_pem: str, key_pem: str) -> None:
        """Issue leaf certificates from this CA. Raises ValueError where the PEM is no such thing."""
        key: Any = load_pem_private_key(key_pem.encode(), password=None)
        cert = certs.Cert(x509.load_pem_x509_certificate(cert_pem.encode()))
        with tempfile.TemporaryDirectory() as folder:  # mitmproxy reads DH parameters from a file only
            dhparams = certs.CertStore.load_dhparam(Path(folder) / "dhparam.pem")
        self.certstore = certs.CertStore(
            default_privatekey=key,
            default_ca=cert,
            default_chain_file=None,
            default_crl=b"",
            dhparams=dhparams,
        )

    def running(self) -> None:
        """Upstream's version would create a CA on disk."""

    def configure(self, updated: set[str]) -> None:
        """Upstream's version would create a CA on disk; the versions it warns about are asserted safe."""
