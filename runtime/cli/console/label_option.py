"""`--label KEY=VALUE`: how labels are given on a command line."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import click

from runtime.errors import InvalidInputError
from runtime.model.run_labels import fault_of

HINT = "as in --label team=search"


def label_option[F: Callable[..., Any]](text: str) -> Callable[[F], F]:
    """The option, whose values `read_labels` takes."""
    return click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help=text)


def read_labels(given: Iterable[str]) -> dict[str, str]:
    """Read the values of the option. Raises InvalidInputError for one that is no label, or given twice."""
    labels: dict[str, str] = {}
    for number, text in enumerate(given, 1):
        key, equals, value = text.partition("=")
        if not equals:
            raise InvalidInputError(f"--label: label {number} is not KEY=VALUE", hint=HINT)
        if key in labels:
            raise InvalidInputError(f"--label: the key of label {number} is given twice", hint=HINT)
        labels[key] = value
    if (fault := fault_of(labels)) is not None:
        raise InvalidInputError(f"--label: {fault}", hint=HINT)
    return labels
