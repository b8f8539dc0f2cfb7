"""A run's life: the service, its driver, its journal and its record."""
