"""Towards the daemon: the control socket, the audit and the relay to the LLM router."""
