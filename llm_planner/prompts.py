"""Prompts: files with a name and a hash, and slots that are filled by name."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from .errors import StartError

_SLOT = re.compile(r"\{\{ *([a-z_]+) *\}\}")


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt file. `hash` is the SHA-256 of its text, hex: it stands in the audit beside each call."""

    name: str
    text: str
    hash: str

    def render(self, **slots: str) -> str:
        """The text with each `{{slot}}` filled; what fills a slot is never searched for slots."""
        return _SLOT.sub(lambda found: slots[found.group(1)], self.text)


def load_prompt(folder: Path, name: str, slots: frozenset[str]) -> Prompt:
    """Read `folder/name.md`. Raises StartError when it is missing or names a slot that nothing fills."""
    path = folder / f"{name}.md"
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StartError(f"prompt {path}: {error}") from error
    unknown = set(_SLOT.findall(text)) - slots
    if unknown:
        raise StartError(
            f"prompt {path}: nothing fills {', '.join(sorted(unknown))}; it may use {', '.join(sorted(slots))}"
        )
    return Prompt(name, text, hashlib.sha256(text.encode()).hexdigest())
