"""DNS over TCP as a mode of mitmproxy's; its own mode for DNS would listen on UDP too.

What comes by UDP is answered by `proxy/hooks/datagrams.py`.
"""

from __future__ import annotations

from mitmproxy.proxy import layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers import DNSLayer
from mitmproxy.proxy.mode_servers import AsyncioServerInstance
from mitmproxy.proxy.mode_specs import TCP, ProxyMode


class NamesMode(ProxyMode):
    """`names@host:port`. To define it is to register it with mitmproxy."""

    description = "names over TCP"
    transport_protocol = TCP

    def __post_init__(self) -> None:
        """There is nothing to say behind the name. Raises ValueError."""
        if self.data:
            raise ValueError("this mode takes no argument")


class NamesInstance(AsyncioServerInstance[NamesMode]):
    """What listens for the mode above."""

    def make_top_layer(self, context: Context) -> layer.Layer:
        """Speak DNS with whoever connects."""
        return DNSLayer(context)
