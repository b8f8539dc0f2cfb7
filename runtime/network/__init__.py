"""A network for each sandbox (slots), and the host guard: rules, proof and watch."""
