"""Doubles for tests, ours and yours: a clock that is moved by hand, and servers that speak like the real ones."""
