"""Benchmarks: each prints a table, and the command that made it stands beside the table in the docs."""
