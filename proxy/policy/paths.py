"""Path rules: which globs are sound, what they match, and the paths that no glob is asked about."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import unquote_to_bytes

_PATH = re.compile(
    r"""
    /(?:
        [A-Za-z0-9\-._~!$&'()*+,=:@/]  # RFC 3986 section 3.3, without `;`
      | [\[\]|]                        # what browsers leave as it is
      | %(?:2[0-246-9A-D] | 3[0-9ACDE] | 4[0-9A-F] | 5[0-9ABDEF] | 6[0-9A-F] | 7[0-9A-E])
      | %[89A-F][0-9A-F]               # of UTF-8, see `_decoded`
    )*
    """,
    re.IGNORECASE | re.VERBOSE,
)
"""What is escaped separates nothing in any server: no dot, slash, backslash, semicolon, `?`, `#` or `%`."""
_FOLDED_TO = frozenset("./\\;%?#")
_SEPARATORS = frozenset("\u2044\u2215\u2216\u29f5\u29f8\u29f9\u00a5\u20a9")
"""Slashes that no normal form folds, and the currency signs of code pages where they are the backslash."""
_NO_SIGN = frozenset({"Cc", "Cs", "Cn", "Zl", "Zp"})


def is_ambiguous_path(path: str) -> bool:
    """Whether two servers could read this path in different ways: refused where a rule is about paths.

    What passes is a list: the characters of a path, escapes that separate nothing, and UTF-8 in its one
    spelling. All else is refused, known trick or not: escaped separators and percent signs, control
    characters, overlong UTF-8, signs that a server may fold to a dot or a slash, and a segment that is
    nothing but dots, blanks and what cannot be seen.
    """
    text = _decoded(path) if _PATH.fullmatch(path) else None
    if text is None:
        return True
    segments = text.removesuffix("/").split("/")[1:]
    return any(_is_nothing(segment) for segment in segments)


def _decoded(path: str) -> str | None:
    """The path as every server reads it; None for bytes or signs that have a second reading."""
    try:
        text = unquote_to_bytes(path).decode()
    except UnicodeDecodeError:
        return None
    is_plain = text.isascii() or not any(_is_strange(sign) for sign in text if not sign.isascii())
    return text if is_plain else None


def _is_strange(sign: str) -> bool:
    """Whether a server that folds signs to ASCII could make a separator of this one, or drop it."""
    if sign in _SEPARATORS or unicodedata.category(sign) in _NO_SIGN:
        return True
    return not _FOLDED_TO.isdisjoint(unicodedata.normalize("NFKC", sign))


def _is_nothing(segment: str) -> bool:
    """Whether a segment is empty, or no more than dots to a server that trims it."""
    if segment[:1].isalnum():
        return False
    return all(unicodedata.category(sign)[0] in "CZ" for sign in segment.replace(".", ""))


def is_allowed_path(globs: tuple[str, ...], path: str) -> bool:
    """Whether a path, read in one way only, fits one of a rule's globs."""
    return not is_ambiguous_path(path) and any(is_path_match(glob, path) for glob in globs)


def check_path_glob(glob: str) -> str:
    """Give back a rule's path glob. Raises ValueError, saying what is wrong, for one that cannot match."""
    if not glob.startswith("/"):
        raise ValueError("a path starts with /, as in /v1/*")
    if "?" in glob:
        raise ValueError("a path rule is about the path without its query; only * is a wildcard")
    if is_ambiguous_path(glob):
        raise ValueError("a path in a spelling that is always refused (., .., //, ;, \\, %2f and the like)")
    return glob


def is_path_match(glob: str, path: str) -> bool:
    """Whether the whole path fits the glob; `*` stands for any run of characters, `/` included.

    Linear in the path for every `*`, with no backtracking: the path is the sandbox's to choose.
    """
    first, *rest = glob.split("*")
    if not rest:
        return path == glob
    *middle, last = rest
    if not path.startswith(first):
        return False
    at = len(first)
    for part in middle:
        found = path.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return len(path) - at >= len(last) and path.endswith(last)
