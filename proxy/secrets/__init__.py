"""Secrets on the way through: the broker, the tripwire and the scrubber. No mitmproxy here."""
