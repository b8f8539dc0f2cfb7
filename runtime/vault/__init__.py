"""The vault: secrets of workspaces, encrypted with keys that the database does not hold in the clear.

Two layers (ADR 8). The *key* is outside the database: a file, an environment variable or a KMS. It wraps
the *key set*, which is in the database and encrypts every row, each bound to its workspace and name.

    source, key_file, kms   where the key is                   keyset   Tink, pure
    tables, rows            SQL, no cryptography               entry    what may be in it, pure
    service                 Vault: the only way in and out

No interface gives a value back but `Vault.read`, for a run; it writes down who read it first.
"""
