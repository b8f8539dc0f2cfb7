"""runtime.network.rules: input and forwarding of every slot's bridge are closed, for both families."""

from __future__ import annotations

from pathlib import Path

from runtime.network.rules import TABLE, rules


def test_rules_close_input_and_forwarding_for_both_families():
    """`inet` is IPv4 and IPv6; input from a sandbox and forwarding to and from one are dropped."""
    text = rules(2)
    assert "table inet orbguard" in text
    assert 'iifname "orb*" counter drop' in text.partition("chain input")[2].partition("chain forward")[0]
    forward = text.partition("chain forward")[2]
    assert 'iifname "orb*" counter drop' in forward
    assert 'oifname "orb*" counter drop' in forward


def test_rules_let_only_a_bridge_talk_within_itself():
    """br_netfilter sends a bridge's own frames through the forward hook: each bridge is paired with itself."""
    text = rules(2)
    assert 'elements = { "orb0" . "orb0", "orb1" . "orb1" }' in text
    forward = text.partition("chain forward")[2]
    assert forward.index("@same_bridge accept") < forward.index("drop")


def test_rules_replace_the_old_table_in_one_step():
    """Loading twice works, and there is no moment without rules."""
    lines = rules(1).splitlines()
    assert lines[:2] == ["table inet orbguard", "delete table inet orbguard"]


def test_the_page_names_the_command_that_removes_the_table():
    """It stays after the last daemon, and who wants it gone must not have to guess its name."""
    page = (Path(__file__).parents[4] / "docs/operations.md").read_text()

    assert f"`nft delete table inet {TABLE}`" in page
