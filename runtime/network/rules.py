"""The host guard's nftables ruleset, and the command that loads it. Pure."""

from __future__ import annotations

from runtime.network.slots import BRIDGE_PREFIX
from runtime.network.watch import DIGEST

TABLE = "orbguard"


INSTALL = f'nft "$0" && {DIGEST} && if [ -e /proc/sys/net/ipv6 ]; then echo ipv6; fi'


def rules(slots: int) -> str:
    """The nftables ruleset, IPv4 and IPv6. Loading it replaces an earlier one in one step.

    Traffic within one bridge crosses the forward hook where br_netfilter is loaded, hence the pairs.
    """
    pairs = ", ".join(f'"{BRIDGE_PREFIX}{n}" . "{BRIDGE_PREFIX}{n}"' for n in range(slots))
    return f"""table inet {TABLE}
delete table inet {TABLE}
table inet {TABLE} {{
  set same_bridge {{ type ifname . ifname; elements = {{ {pairs} }} }}
  chain input {{
    type filter hook input priority -10; policy accept;
    iifname "{BRIDGE_PREFIX}*" counter drop
  }}
  chain forward {{
    type filter hook forward priority -10; policy accept;
    iifname . oifname @same_bridge accept
    iifname "{BRIDGE_PREFIX}*" counter drop
    oifname "{BRIDGE_PREFIX}*" counter drop
  }}
}}
"""
