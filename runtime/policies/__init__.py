"""YAML policy files to the policy core's values, strictly, with file and line in every error."""
