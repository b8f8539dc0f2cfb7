"""Requests that no client sends: thousands of them, from a seed, for every route that the API describes."""
