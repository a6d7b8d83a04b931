"""What the page health says."""

TEXTS: dict[str, tuple[str, str, str]] = {}
