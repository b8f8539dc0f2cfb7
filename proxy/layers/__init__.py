"""mitmproxy's protocol layers, guarded: what speaks on a connection, and how much of it is read."""
