"""runtime.egress.ca: a fresh authority for each daemon, whose key no text form shows."""

from __future__ import annotations

import datetime as dt

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from runtime.egress.ca import CA_LIFETIME, make_ca


def test_it_may_sign_leaves_and_nothing_below_them():
    """A CA (RFC 5280 section 4.2.1.9) of path length 0 on P-256, valid from now for its lifetime."""
    made = make_ca()
    cert = x509.load_pem_x509_certificate(made.cert_pem.encode())
    constraints = cert.extensions.get_extension_for_class(x509.BasicConstraints)
    usage = cert.extensions.get_extension_for_class(x509.KeyUsage)
    key = cert.public_key()
    now = dt.datetime.now(dt.UTC)

    assert (constraints.value.ca, constraints.value.path_length, constraints.critical) == (True, 0, True)
    assert (usage.value.key_cert_sign, usage.value.key_encipherment) == (True, False)
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert key.curve.name == "secp256r1"
    assert cert.not_valid_before_utc < now < cert.not_valid_after_utc <= now + CA_LIFETIME


def test_its_key_belongs_to_its_certificate():
    """The proxy signs with this key what the sandboxes check against this certificate."""
    made = make_ca()
    key = serialization.load_pem_private_key(made.key_pem.encode(), password=None)
    cert = x509.load_pem_x509_certificate(made.cert_pem.encode())

    assert key.public_key() == cert.public_key()


def test_each_daemon_has_its_own():
    """No daemon could sign for another's sandboxes."""
    assert make_ca().key_pem != make_ca().key_pem


def test_no_text_form_shows_the_key():
    """It may end up in a log line, as any value may."""
    made = make_ca()

    assert (repr(made), str(made)) == ("InterceptionCa(***)", "InterceptionCa(***)")
