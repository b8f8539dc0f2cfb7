"""Simulated upstreams: APIs, package registries, a git host. They record what reached them."""
