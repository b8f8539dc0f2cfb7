"""A key of a KMS, by URI, through Tink's registry of KMS clients.

The URI's key wraps a fresh data key, which wraps the vault's key set (Tink's envelope): one call to the KMS
when a daemon first needs the vault, and one for each rotation. Credentials are each client's own:
VAULT_TOKEN and VAULT_CACERT for `hcvault://host:port/mount/keys/name`, the cloud's usual chain for the rest.
"""

from __future__ import annotations

from collections.abc import Callable

import hvac
import tink
from tink import aead
from tink.integration import hcvault

from runtime.errors import VaultKeyError

TIMEOUT_S = 10
_HCVAULT = "hcvault://"


class HcVaultClient(tink.KmsClient):  # type: ignore[misc] # Tink ships no types
    """HashiCorp Vault's transit engine (and OpenBao's), over https only."""

    def does_support(self, key_uri: str) -> bool:
        """Whether the URI is one of ours."""
        return key_uri.startswith(_HCVAULT)

    def get_aead(self, key_uri: str) -> aead.Aead:
        """The key. Raises TinkError for a path that is not `mount/keys/name`."""
        host, _, path = key_uri.removeprefix(_HCVAULT).partition("/")
        client = hvac.Client(url=f"https://{host}", timeout=TIMEOUT_S, allow_redirects=False)
        return hcvault.new_aead(path, client)


def _aws() -> tink.KmsClient:
    from tink.integration import awskms  # noqa: PLC0415 - an extra that not everybody has

    return awskms.AwsKmsClient(None, None)


def _gcp() -> tink.KmsClient:
    from tink.integration import gcpkms  # noqa: PLC0415 - an extra that not everybody has

    return gcpkms.GcpKmsClient(None, None)


_CLIENTS: dict[str, tuple[Callable[[], tink.KmsClient], str]] = {
    "hcvault": (HcVaultClient, "hcvault"),
    "aws-kms": (_aws, "awskms"),
    "gcp-kms": (_gcp, "gcpkms"),
}
"""By URI scheme: the client, and the extra of Tink's that it needs."""


def kms_aead(uri: str) -> aead.Aead:
    """What the URI's key encrypts and decrypts with. Raises VaultKeyError; the KMS is not asked yet."""
    try:
        client = tink.kms_client_from_uri(uri)
    except tink.TinkError:
        client = _register(uri)
    try:
        return aead.KmsEnvelopeAead(aead.aead_key_templates.AES256_GCM, client.get_aead(uri))
    except (tink.TinkError, ValueError):
        raise VaultKeyError(
            f"Failed to use the vault's key: {uri} is no key's URI",
            hint="as in hcvault://host/transit/keys/name",
        ) from None


def _register(uri: str) -> tink.KmsClient:
    make, extra = _CLIENTS[uri.partition(":")[0]]
    try:
        client = make()
    except ImportError:
        raise VaultKeyError(
            f"Failed to use the vault's key: no client for {uri} is installed",
            hint=f"pip install 'tink[{extra}]' into the daemon's environment",
        ) from None
    except Exception as exc:  # noqa: BLE001 - a cloud's client that finds no credentials, in its own words
        raise VaultKeyError(
            f"Failed to use the vault's key: the client for {uri} does not start ({type(exc).__name__})",
            hint="check its credentials in the daemon's environment",
        ) from None
    tink.register_kms_client(client)
    return client
