"""mitmproxy's hooks: each gathers facts, asks the pure parts, and enforces the answer."""
