"""The HTTP contract, route by route."""
