"""The HTTP doors: one small router a door, no business in them."""
