"""Path rules: which globs are sound, what they match, and the paths that no glob is asked about."""

from __future__ import annotations

import re

_AMBIGUOUS = re.compile(
    r"""
    (^|/)\.{1,2}(/|$)            # dot segments
    | //                         # some servers merge them
    | [\\;#]                     # separators to some, path parameters or a fragment to others
    | [^\x21-\x7e]               # control characters, spaces, bytes that are not ASCII
    | %(25)*(2e|2f|5c|3b|23|3f|00)  # the same in escapes, decoded once or many times
    | %(?![0-9a-f]{2})           # no escape at all
    """,
    re.IGNORECASE | re.VERBOSE,
)


def is_ambiguous_path(path: str) -> bool:
    """Whether servers would normalise this path in different ways: refused where a rule is about paths."""
    return _AMBIGUOUS.search(path) is not None


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
