"""What the page doubts says."""

TEXTS: dict[str, tuple[str, str, str]] = {}
