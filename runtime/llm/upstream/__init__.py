"""The way out to model providers: SDKs, dials and time limits."""
