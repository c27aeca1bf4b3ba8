"""Configuration: the typed tree, overrides, classes by name, and TOML text."""
