"""runtime.probe.neighbours.table: every attack of the table can be made."""

from __future__ import annotations

from runtime.probe.neighbours.agent.attacks import ATTACKS
from runtime.probe.neighbours.table import ROWS, Windows


def test_every_row_has_its_act_and_every_act_its_row():
    """The table says what the program in the sandbox can do."""
    assert {row.id for row in ROWS} == ATTACKS.keys()


def test_every_attack_is_bounded_in_count():
    """Beside its time."""
    assert all(0 < attack.most <= 32 << 20 and 0 < attack.at_once <= 8 for attack in ATTACKS.values())


def test_the_victim_lasts_longer_than_the_attack():
    """Whichever of the two sandboxes starts first, by up to a second."""
    windows = Windows(quiet_s=2.0, attack_s=3.0)

    assert windows.victim_s >= windows.waits_s + windows.attack_s + 1.0
