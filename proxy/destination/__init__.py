"""From the claims that a request makes about its destination to the one address that may be dialled."""
