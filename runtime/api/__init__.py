"""The runner API over HTTP: one module a resource, and the bodies that it reads and writes."""
