"""What stands behind a path's `?`: nothing that the route does not know, and nothing twice.

A filter that is misspelt would otherwise be no filter, and show more than was asked for.
"""

from __future__ import annotations

import re

from fastapi import Request
from fastapi.routing import APIRoute

from runtime.errors import InvalidInputError
from runtime.model.run_labels import MAX_KEY_CHARS, MAX_LABELS, MAX_VALUE_CHARS, is_label_key, is_label_value

LABEL = "label."
_NAME = re.compile(r"[A-Za-z0-9_.\-]{1,64}")


async def strict_query(request: Request) -> None:
    """Raise InvalidInputError naming a parameter that the route does not take, or that stands there twice."""
    route = request.scope["route"]
    if not isinstance(route, APIRoute):
        return
    known = {field.alias for field in route.dependant.query_params}
    takes_labels = any(each.call is query_labels for each in route.dependant.dependencies)
    seen: set[str] = set()
    for name, _ in request.query_params.multi_items():
        shown = name if _NAME.fullmatch(name) else "a parameter"
        if name not in known and not (takes_labels and name.startswith(LABEL)):
            taken = ", ".join(sorted(known) + [f"{LABEL}KEY"] * takes_labels) or "none"
            raise InvalidInputError(
                f"{shown}: this route has no such query parameter", hint=f"it takes {taken}", param=shown
            )
        if name in seen:
            raise InvalidInputError(f"{shown}: given twice", hint=f"give {shown} once", param=shown)
        seen.add(name)


async def query_labels(request: Request) -> dict[str, str]:
    """The `label.KEY=VALUE` parameters. Raises InvalidInputError for a key or value that no label has."""
    found = {
        name.removeprefix(LABEL): value
        for name, value in request.query_params.items()
        if name.startswith(LABEL)
    }
    for key, value in found.items():
        if not is_label_key(key):
            hint = f"1 to {MAX_KEY_CHARS} of a-z, 0-9 and . _ / -"
            raise InvalidInputError(f"{LABEL}KEY: no key of a label", hint=hint, param=LABEL + "KEY")
        if not is_label_value(value):
            hint = f"0 to {MAX_VALUE_CHARS} printable characters"
            raise InvalidInputError(f"{LABEL}{key}: no value of a label", hint=hint, param=LABEL + key)
    if len(found) > MAX_LABELS:
        raise InvalidInputError(f"{LABEL}KEY: more than {MAX_LABELS}", param=LABEL + "KEY")
    return found
