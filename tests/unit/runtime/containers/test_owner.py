"""runtime.containers.owner."""

from __future__ import annotations

from runtime.containers.owner import is_alive, this_process


def test_an_owner_is_told_from_a_later_process() -> None:
    """A process owns what it labelled; another start time under the same number does not."""
    mine = this_process()
    pid, _, boot = mine.split(":")
    assert is_alive(mine)
    assert not is_alive(f"{pid}:1:{boot}")
    assert not is_alive("rubbish")
