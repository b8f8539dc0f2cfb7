"""The container engine behind one protocol; `docker` is the only importer of the Docker SDK."""
