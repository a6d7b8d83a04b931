"""Storage: the tables, the queries, and the one way to run them."""
