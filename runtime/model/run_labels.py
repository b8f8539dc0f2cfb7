"""Labels of a run: what its caller calls it by. Pure.

They are shown, stored and searched as they are, so their rules leave no room for a line break or a NUL.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

MAX_LABELS = 32
MAX_KEY_CHARS = 63
MAX_VALUE_CHARS = 255
_KEY = re.compile(r"[a-z0-9](?:[a-z0-9._/-]*[a-z0-9])?")


def is_label_key(text: str) -> bool:
    """Whether a label may be called so."""
    return len(text) <= MAX_KEY_CHARS and _KEY.fullmatch(text) is not None


def is_label_value(text: str) -> bool:
    """Whether a label may have this value, which may be empty."""
    return len(text) <= MAX_VALUE_CHARS and (not text or text.isprintable())


def fault_of(labels: Mapping[str, str]) -> str | None:
    """What is wrong with them, or None. Neither a key nor a value is repeated: either may be a secret."""
    if len(labels) > MAX_LABELS:
        return f"more than {MAX_LABELS} labels"
    for number, (key, value) in enumerate(labels.items(), 1):
        if not is_label_key(key):
            return (
                f"the key of label {number} is not 1 to {MAX_KEY_CHARS} of a-z, 0-9 and . _ / -,"
                " with a letter or digit at both ends"
            )
        if not is_label_value(value):
            return f"the value of label {number} is not 0 to {MAX_VALUE_CHARS} printable characters"
    return None
