"""What the daemon and the proxy exchange: grants, the policy as JSON, messages, decision lines. Pure."""
