"""Tool names as providers accept them (`crm.lookup` becomes `crm_lookup`), and the way back."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable

_ACCEPTED = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_REFUSED = re.compile(r"[^a-zA-Z0-9_-]")


def model_name(name: str) -> str:
    """`name` with what providers refuse replaced, 64 characters at most. Two names may meet: see NameMap."""
    return _REFUSED.sub("_", name)[:64] or "_"


class NameMap:
    """The two-way map between the names of a registry's tools and what models call them.

    A name that providers accept stays as it is. In others characters are replaced; where that meets another
    name, a digest of the real one is added. Order doesn't matter. ValueError on a name given twice.
    """

    def __init__(self, names: Iterable[str]) -> None:
        given = list(names)
        if len(set(given)) != len(given):
            raise ValueError("a tool name is given twice")
        wanted = Counter(model_name(name) for name in given)
        self._to_model = {name: self._chosen(name, wanted) for name in given}
        self._to_tool = {chosen: name for name, chosen in self._to_model.items()}
        if len(self._to_tool) != len(given):
            raise ValueError("two tool names can't be told apart by models")

    def to_model(self, name: str) -> str:
        """What models call the tool `name`; KeyError for one that is not in the registry."""
        return self._to_model[name]

    def to_tool(self, called: str) -> str | None:
        """The tool that a model means by `called`, the name it was given or the real one; else None."""
        return self._to_tool.get(called, called if called in self._to_model else None)

    @staticmethod
    def _chosen(name: str, wanted: Counter[str]) -> str:
        if _ACCEPTED.fullmatch(name):
            return name
        short = model_name(name)
        if wanted[short] == 1 and len(name) <= 64:
            return short
        return f"{short[:55]}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"
