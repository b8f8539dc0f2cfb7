"""Which secrets and models a run gets, and in which form the sandbox holds them."""
