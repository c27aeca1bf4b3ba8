"""The typed configuration tree: TOML in, canonical JSON and a content hash out."""
