"""The turn: what happens to one message, a file a stage."""
