"""A group of commands that are imported when they are called: `orch runs` does not pay for `orch probe`."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import ClassVar, NamedTuple

import click


class Place(NamedTuple):
    """Where a command is, and what the list of commands says of it."""

    module: str
    attribute: str
    help: str
    """The first sentence of the command's own help, so that a list needs no import."""

    def load(self) -> click.Command:
        """Import the command."""
        command: click.Command = getattr(import_module(self.module), self.attribute)
        return command


class LazyGroup(click.Group):
    """Its commands are `places`, by name."""

    places: ClassVar[Mapping[str, Place]]

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """All names, sorted as click sorts them."""
        return sorted(self.places)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - as above
        """Import one command; None where there is none of that name."""
        place = self.places.get(cmd_name)
        return place.load() if place else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Lay the list of commands out as click does, from what `places` says."""
        told = {name: click.Command(name, help=place.help) for name, place in self.places.items()}
        click.Group(commands=told).format_commands(ctx, formatter)
