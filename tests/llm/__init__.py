"""The LLM router against simulated providers, in this process, over real TLS on loopback."""
