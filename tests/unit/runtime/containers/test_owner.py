"""runtime.containers.owner."""

from __future__ import annotations

import pytest

from runtime.containers.owner import Life, is_alive, life_of, this_process


def test_an_owner_is_told_from_a_later_process() -> None:
    """A process owns what it labelled; another start time under the same number does not."""
    mine = this_process()
    pid, _, boot = mine.split(":")
    assert is_alive(mine)
    assert not is_alive(f"{pid}:1:{boot}")
    assert not is_alive("rubbish")


@pytest.mark.parametrize(
    ("named", "life"),
    [
        ("{pid}:{start}:{boot}/{space}", Life.ALIVE),
        ("{pid}:1:{boot}/{space}", Life.DEAD),
        ("99999999:1:{boot}/{space}", Life.DEAD),
        ("{pid}:{start}:another-boot/{space}", Life.DEAD),
        ("{pid}:{start}:another-boot", Life.DEAD),
        ("{pid}:{start}:{boot}/1", Life.UNKNOWN),
        ("{pid}:{start}:{boot}", Life.UNKNOWN),
        ("", Life.UNKNOWN),
        ("rubbish", Life.UNKNOWN),
        ("x:1:2/3", Life.UNKNOWN),
    ],
)
def test_dead_is_said_of_what_is_surely_dead(named: str, life: Life) -> None:
    """A process of another pid namespace, or one that left no whole name, may live."""
    pid, start, rest = this_process().split(":", 2)
    boot, space = rest.split("/")

    assert life_of(named.format(pid=pid, start=start, boot=boot, space=space)) is life
