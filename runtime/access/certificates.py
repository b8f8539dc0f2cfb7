"""The API's own certificate: a CA that signs it and nothing else, since its key is thrown away at once.

    ca.pem      for clients to trust (ORCHBOX_CA); public
    api.pem     the server's certificate; public
    api.key     its key, 0600

They are kept until a month before they expire, or until the API is to listen under a name that is not in
them. A client has to be given the new `ca.pem` then: the daemon's log says so.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VALID = dt.timedelta(days=730)
RENEWED = dt.timedelta(days=30)
"""Before the end."""
_EARLIER = dt.timedelta(hours=1)
"""Clocks differ."""


@dataclass(frozen=True, slots=True)
class Files:
    """The three, in a folder."""

    folder: Path

    @property
    def ca(self) -> Path:
        """What clients trust."""
        return self.folder / "ca.pem"

    @property
    def certificate(self) -> Path:
        """What the server shows."""
        return self.folder / "api.pem"

    @property
    def key(self) -> Path:
        """Its key."""
        return self.folder / "api.key"


def ensure(files: Files, names: Collection[str], *, now: dt.datetime | None = None) -> bool:
    """Have files for these names and addresses; whether new ones were made. Raises OSError."""
    now = now or dt.datetime.now(dt.UTC)
    if _will_do(files, names, now):
        return False
    files.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca = _ca(ca_key, now)
    certificate = _server(ca, ca_key, key, names, now)
    form, pem = serialization.PrivateFormat.PKCS8, serialization.Encoding.PEM
    secret = key.private_bytes(pem, form, serialization.NoEncryption())
    _write(files.key, secret, 0o600)
    _write(files.certificate, certificate.public_bytes(pem), 0o644)
    _write(files.ca, ca.public_bytes(pem), 0o644)  # last: without it the others are made anew
    return True


def _will_do(files: Files, names: Collection[str], now: dt.datetime) -> bool:
    try:
        ca, certificate = (
            x509.load_pem_x509_certificate(path.read_bytes()) for path in (files.ca, files.certificate)
        )
        key = serialization.load_pem_private_key(files.key.read_bytes(), None)
        certificate.verify_directly_issued_by(ca)
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except Exception:  # noqa: BLE001 - whatever is wrong with them, new ones are right
        return False
    is_private = not files.key.stat().st_mode & 0o077
    is_its_key = key.public_key() == certificate.public_key()
    is_lasting = min(ca.not_valid_after_utc, certificate.not_valid_after_utc) - now > RENEWED
    is_valid = max(ca.not_valid_before_utc, certificate.not_valid_before_utc) <= now and is_lasting
    return is_private and is_its_key and is_valid and {_alternative(name) for name in names} <= set(found)


def _ca(key: ec.EllipticCurvePrivateKey, now: dt.datetime) -> x509.Certificate:
    name = _name(f"Orchbox API {now:%Y-%m-%d}")
    return (
        _builder(name, name, key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(is_ca=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _server(
    ca: x509.Certificate,
    ca_key: ec.EllipticCurvePrivateKey,
    key: ec.EllipticCurvePrivateKey,
    names: Collection[str],
    now: dt.datetime,
) -> x509.Certificate:
    signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    server = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    alternatives = x509.SubjectAlternativeName([_alternative(name) for name in sorted(set(names))])
    return (
        _builder(_name("Orchbox API"), ca.subject, key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(is_ca=False), critical=True)
        .add_extension(server, critical=False)
        .add_extension(alternatives, critical=False)
        .add_extension(signer, critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: dt.datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLIER)
        .not_valid_after(now + VALID)
    )


def _usage(*, is_ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_ca,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _write(path: Path, data: bytes, mode: int) -> None:
    """In one step: a reader finds the old file or the new one."""
    other = path.with_name(f".{path.name}.new")
    other.unlink(missing_ok=True)
    descriptor = os.open(other, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    other.replace(path)
