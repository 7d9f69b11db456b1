"""Settings and YAML files: reading them with positions, checking them, and naming every error."""
