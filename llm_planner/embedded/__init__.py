"""Owns the embedded planner: retrieval over examples and argument rules, no model, no key."""

from .cards import Call, Proposal, ToolCard
from .catalogue import Catalogue, Nearest
from .core import EmbeddedCore
from .similarity import CharEmbedder, Embedder, HybridEmbedder, load_embedder

__all__ = [
    "Call",
    "Catalogue",
    "CharEmbedder",
    "EmbeddedCore",
    "Embedder",
    "HybridEmbedder",
    "Nearest",
    "Proposal",
    "ToolCard",
    "load_embedder",
]
