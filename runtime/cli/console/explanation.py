"""An explanation for a person: a line for the verdict, and one for each thing that it rests on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from runtime.cli.console.output import printable


def print_explanation(data: dict[str, Any]) -> None:
    """Print the document of `runtime.explain.document`."""
    by = f" by {data['rule_id']}" if data["rule_id"] else ""
    because = f" ({data['reason_code']})" if data["reason_code"] else ""
    click.echo(printable(f"{data['verdict']}{by}{because}: {data['detail']}"))
    for line in _lines(data):
        click.echo(printable(f"  {line}"))


def _lines(data: dict[str, Any]) -> Iterator[str]:
    rule = data["rule"]
    if rule and rule["file"]:
        yield f"rule        {rule['file']}:{rule['line']}"
    for rule in data["rules"]:
        if rule["id"] != data["rule_id"] and rule["verdict"] == "allow":
            yield f"other rule  {rule['id']} ({'fits too' if not rule['refuses'] else rule['refuses']})"
    for found in data["addresses"]["found"]:
        dialled = ", dialled" if found["address"] == data["addresses"]["dialled"] else ""
        yield f"address     {found['address']} ({data['addresses']['source']}, {found['class']}{dialled})"
    yield from _secrets(data["credentials"])
    for part in data["refused_parts"]["beside_the_credential"]:
        yield f"refused     {part}"
    for part in data["refused_parts"]["overrides"]:
        yield f"refused     {part['name']} could give another {part['what']}"
    if data["dropped_headers"]:
        yield f"dropped     {', '.join(data['dropped_headers'])}"
    seen = data["agent_sees"]
    if seen is not None:
        yield f"agent sees  {seen['status']} {seen['title']}; asking again {seen['retry']}"
        if seen["operator"]:
            yield f"remedy      {seen['operator']}"


def _secrets(credentials: dict[str, Any]) -> Iterator[str]:
    if credentials["swapped"]:
        yield f"swapped in  {', '.join(credentials['swapped'])}"
    elif credentials["may_be_swapped"]:
        names = ", ".join(credentials["may_be_swapped"])
        yield f"credential  {names} is put in where the request carries its placeholder"
    if credentials["sent_as_they_are"]:
        yield f"may be sent as they are: {', '.join(credentials['sent_as_they_are'])}"
