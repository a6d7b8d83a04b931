"""What the page deliveries says."""

TEXTS: dict[str, tuple[str, str, str]] = {}
