"""Generating a dataset: ranks share its members, advance them and write them."""
