"""What runs in the sandbox: sent as the agent's bundle, standard library only, Python >= 3.11."""
