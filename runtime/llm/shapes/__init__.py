"""The wire shapes of the providers, and the bridge between them."""
