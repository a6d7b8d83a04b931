"""What the page chat says."""

TEXTS: dict[str, tuple[str, str, str]] = {}
