"""The languages the tools speak."""


def language(locale: str) -> str:
    """`es`, `en` or `pt` of a locale such as `es-AR`; English for any other."""
    return locale[:2].lower() if locale[:2].lower() in ("es", "en", "pt") else "en"
