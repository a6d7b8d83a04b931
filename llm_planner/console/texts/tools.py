"""What the page tools says."""

TEXTS: dict[str, tuple[str, str, str]] = {}
