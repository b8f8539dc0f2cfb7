"""A soak of the daemon: runs through few slots, whose every lookup and request counts (docs/endurance.md)."""
