"""What the page audit says."""

TEXTS: dict[str, tuple[str, str, str]] = {}
