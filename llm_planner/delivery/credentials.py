"""Checks of what the settings give to a provider; nothing here repeats a value."""

import re
from typing import Final
from urllib.parse import quote, urlsplit

from ..turn.outbox import Refused

_ID: Final = re.compile(r"[A-Za-z0-9._:+-]{1,128}")


def header_value(name: str, value: str) -> str:
    """A secret that a header can hold. ValueError, which names the setting, else."""
    if not value or not (value.isascii() and value.isprintable()) or " " in value:
        raise ValueError(f"{name}: is printable ASCII without spaces")
    return value


def base_url(name: str, url: str) -> str:
    """The address without a closing slash. ValueError unless it is http(s) and has no user or query."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and parts.hostname and url.isascii() and url.isprintable()
    except ValueError:
        good = False
    if not good or " " in url or "@" in url or "?" in url or "#" in url:
        raise ValueError(f"{name}: is an address such as https://api.example.com")
    return url.rstrip("/")


def in_path(value: str, what: str) -> str:
    """An id as a segment of a path. Raises Refused (final) where it is none."""
    if not _ID.fullmatch(value) or not value.strip("."):
        raise Refused(f"{what} is no id", final=True)
    return quote(value, safe="")
