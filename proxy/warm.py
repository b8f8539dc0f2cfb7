"""What each worker would otherwise make for itself, made once in the parent: its forks share it."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import ec

from proxy.policy.reasons import ReasonCode
from proxy.secrets.forms import SecretForms, make_search


def warm_up() -> None:
    """Use each library once whose first use takes memory: OpenSSL makes tables of 2 MiB.

    The key and the value are thrown away, and nobody trusts either. No thread, connection or file is left.
    OpenSSL's generator of random numbers begins anew in each process that is forked (RAND(7)).
    """
    ec.generate_private_key(ec.SECP256R1())
    forms = SecretForms.of("", "a value that is no secret", ReasonCode.SECRET_LEAK)
    make_search([] if forms is None else [forms]).spans(b"text")
