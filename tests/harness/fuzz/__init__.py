"""A fuzz of the proxy's worker: generated attacks beside a witness that must not notice (docs/endurance.md)."""
