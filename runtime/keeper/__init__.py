"""A process for each run: it owns the sandbox's container, streams and journal, and outlives the daemon."""
