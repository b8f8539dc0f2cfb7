"""Strict YAML that knows its lines: plain data in, every place in the file remembered.

A policy is read by people before it is read by us, so whatever YAML means only to those who know it well
is refused: aliases, duplicate keys, keys without a value, octal and sexagesimal numbers, `yes` for true.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import yaml

Place = tuple[str | int, ...]
"""Keys and list indexes from the top of the document: ("egress", "allow", 0, "host")."""

MAX_NUMBER_CHARS = 40
"""Python reads no more than 4,300 digits, and nothing here counts so far."""
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]*)")
_FRACTION = re.compile(r"-?(0|[1-9][0-9]*)\.[0-9]+")
_TAG = "tag:yaml.org,2002:"


class YamlError(ValueError):
    """The text is not the YAML we read; the message says what and how to write it."""

    def __init__(self, line: int, field: str, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.field = field


@dataclass(frozen=True, slots=True)
class Document:
    """The data of one document, and the line (from 1) on which each part of it begins."""

    data: object
    lines: Mapping[Place, int]

    def line_of(self, place: Place) -> int:
        """The line of that place, or of what holds it."""
        while place not in self.lines:
            place = place[:-1]
        return self.lines[place]


def field_name(place: Place) -> str:
    """How a message names a place.

    >>> field_name(("egress", "allow", 0, "host"))
    'egress.allow[0].host'
    """
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return text.removeprefix(".")


def read_yaml(text: str) -> Document:
    """Read exactly one document. Raises YamlError."""
    lines: dict[Place, int] = {}
    try:
        node = yaml.compose(text, Loader=_NoAliasLoader)
        if node is None:
            raise YamlError(1, "", "the file is empty: start with version: 1")
        return Document(_plain(node, (), node.start_mark.line + 1, lines), lines)
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        problem = f"{exc.context or ''} {exc.problem or ''}".strip()
        remedy = ": quote a text that begins with *" if exc.context == "while scanning an alias" else ""
        raise YamlError(mark.line + 1 if mark else 1, "", f"not YAML: {problem}{remedy}") from None
    except (yaml.YAMLError, RecursionError):
        raise YamlError(1, "", "not YAML: a character or a nesting that is not allowed") from None


class _NoAliasLoader(yaml.SafeLoader):
    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(None, None, "an alias is not read here: write it out", mark)
        return super().compose_node(parent, index)


def _plain(node: yaml.Node, place: Place, line: int, lines: dict[Place, int]) -> object:
    lines[place] = line
    if isinstance(node, yaml.MappingNode):
        return {
            key: _plain(value, (*place, key), key_line, lines)
            for key, key_line, value in _entries(node, place)
        }
    if isinstance(node, yaml.SequenceNode):
        return [
            _plain(item, (*place, index), item.start_mark.line + 1, lines)
            for index, item in enumerate(node.value)
        ]
    return _scalar(node, place, line)


def _entries(node: yaml.MappingNode, place: Place) -> Iterator[tuple[str, int, yaml.Node]]:
    seen: set[Hashable] = set()
    for key, value in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode) or key.tag != _TAG + "str":
            raise YamlError(line, field_name(place), "a key that is not a text: quote it")
        if key.value in seen:
            raise YamlError(line, field_name((*place, key.value)), "the key stands here twice: remove one")
        seen.add(key.value)
        yield key.value, line, value


def _scalar(node: yaml.Node, place: Place, line: int) -> object:
    kind, text = node.tag.removeprefix(_TAG), node.value
    if kind == "str":
        return text
    if kind in {"int", "float"} and len(text) > MAX_NUMBER_CHARS:
        raise YamlError(line, field_name(place), f"a number of {len(text)} characters: quote a text")
    if kind == "int" and _DECIMAL.fullmatch(text):
        return int(text)
    if kind == "float" and _FRACTION.fullmatch(text):
        return Decimal(text)  # as it is written, not the nearest binary fraction
    if kind == "bool" and text in {"true", "false"}:
        return text == "true"
    if kind == "null":
        raise YamlError(line, field_name(place), "has no value: give it one or remove it")
    raise YamlError(
        line, field_name(place), f"{text!r} could be read in two ways: quote a text, write numbers in decimal"
    )
