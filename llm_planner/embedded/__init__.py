"""Owns the embedded planner: retrieval over examples, argument rules, and a small model that copies; no key."""

from .cards import Call, Proposal, ToolCard
from .catalogue import Catalogue, Nearest
from .copying import Copier
from .core import EmbeddedCore
from .similarity import CharEmbedder, Embedder, HybridEmbedder, load_embedder
from .small_model import SmallModel, find_weights

__all__ = [
    "Call",
    "Catalogue",
    "CharEmbedder",
    "Copier",
    "EmbeddedCore",
    "Embedder",
    "HybridEmbedder",
    "Nearest",
    "Proposal",
    "SmallModel",
    "ToolCard",
    "find_weights",
    "load_embedder",
]
