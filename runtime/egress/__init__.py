"""The daemon's end of the proxy: its process, its link, its certificate authority and its grants."""
