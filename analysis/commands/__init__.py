"""Commands that read records or data: compare, diff, export, inspect, embed."""
