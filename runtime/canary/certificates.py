"""A CA of its own, made at start, and one certificate per name asked for by SNI.

Three kinds of name get a certificate that a client must refuse: `expired.*`, `wrong-name.*` and
`self-signed.*`. Keys live in memory, but for the moment in which OpenSSL reads them from a file.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import ssl
import tempfile
from collections.abc import Callable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NO_NAME = "no-sni.invalid"


class Authority:
    """A certificate authority that the canaries' servers have their certificates from."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("Orchbox test upstreams CA")
        self._certificate = _self_signed(self._name, self._key)
        self._contexts: dict[str, ssl.SSLContext] = {}

    @property
    def pem(self) -> str:
        """The authority's certificate, for clients to trust."""
        return self._certificate.public_bytes(serialization.Encoding.PEM).decode()

    def server_context(self, on_hello: Callable[[ssl.SSLObject, str | None], None]) -> ssl.SSLContext:
        """A context that reports each ClientHello and answers with the certificate of its SNI."""

        def choose(connection: ssl.SSLObject, sni: str | None, _: ssl.SSLContext) -> None:
            on_hello(connection, sni)
            if sni:
                connection.context = self._context(sni.lower())

        context = self._new_context(NO_NAME)
        context.sni_callback = choose
        return context

    def _context(self, name: str) -> ssl.SSLContext:
        if name not in self._contexts:
            self._contexts[name] = self._new_context(name)
        return self._contexts[name]

    def _new_context(self, name: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_alpn_protocols(["http/1.1"])
        key = ec.generate_private_key(ec.SECP256R1())
        chain = self._issue(name, key).public_bytes(serialization.Encoding.PEM)
        form = serialization.PrivateFormat.PKCS8
        secret = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
        descriptor, path = tempfile.mkstemp()
        try:
            with os.fdopen(descriptor, "wb") as out:
                out.write(secret + chain)
            context.load_cert_chain(path)
        finally:
            Path(path).unlink()
        return context

    def _issue(self, name: str, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
        kind = name.partition(".")[0]
        if kind == "self-signed":
            return _self_signed(_name(name), key, alternatives=[_alternative(name)])
        shown = "another.invalid" if kind == "wrong-name" else name
        until = -dt.timedelta(days=1) if kind == "expired" else dt.timedelta(days=2)
        builder = (
            _builder(_name(shown), self._name, key.public_key(), until)
            .add_extension(x509.SubjectAlternativeName([_alternative(shown)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(_signer(self._key), critical=False)
        )
        return builder.sign(self._key, hashes.SHA256())


def _signer(key: ec.EllipticCurvePrivateKey) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())


def _self_signed(
    name: x509.Name, key: ec.EllipticCurvePrivateKey, *, alternatives: list[x509.GeneralName] | None = None
) -> x509.Certificate:
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    builder = (
        _builder(name, name, key.public_key(), dt.timedelta(days=2))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    return builder.sign(key, hashes.SHA256())


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, until: dt.timedelta
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=3))
        .not_valid_after(now + until)
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
