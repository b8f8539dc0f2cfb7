"""TLS towards sandboxes with the daemon's CA, held in memory; towards upstreams always verified."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from mitmproxy import certs
from mitmproxy.addons.tlsconfig import TlsConfig
from mitmproxy.proxy import commands, layer
from mitmproxy.proxy.layers.tls import ClientTLSLayer
from OpenSSL import SSL

from proxy.layers.http1 import CloseAfterAnswer


class MemoryTlsConfig(TlsConfig):
    """TlsConfig without its files: until the daemon hands over a CA, no sandbox gets a certificate."""

    request = None  # type: ignore[assignment]  # upstream's answers for any host, at the path of a CRL of its CA
    quic_start_client = quic_start_server = None  # type: ignore[assignment]  # no QUIC here

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


class ClosingClientTls(ClientTLSLayer):
    """Tells the client that the answer before the close is whole (close_notify, RFC 8446 section 6.1).

    mitmproxy 12.2 never does. To OpenSSL 3 the end of the connection then is an error, which apt shows
    instead of the refusal that it has just read. What is cut off still ends without it, so that nobody
    takes it for whole.
    """

    def send_data(self, data: bytes) -> layer.CommandGenerator[None]:
        """TLSLayer.send_data; a session that the client has broken is closed, and takes nothing more.

        mitmproxy 12.2 goes on after a record that cannot be read, and raises at the next answer.
        """
        try:
            yield from super().send_data(data)
        except SSL.Error:
            yield commands.CloseConnection(self.tunnel_connection)

    def send_close(self, command: commands.CloseConnection) -> layer.CommandGenerator[None]:
        """Close the connection behind a close_notify, so that the client knows the answer is whole."""
        if isinstance(command, CloseAfterAnswer):
            with contextlib.suppress(SSL.Error):  # the client may have broken the session
                self.tls.shutdown()
            yield from self.tls_interact()
        yield from super().send_close(command)
