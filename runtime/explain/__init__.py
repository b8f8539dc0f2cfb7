"""What the egress proxy would say to a request, by its own code: explained before, replayed afterwards."""
