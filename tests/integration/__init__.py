"""The integration tier; a package, so that its fixtures end with it."""
