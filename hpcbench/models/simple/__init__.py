"""Simple recurrent cells, without gates."""
