"""Owns the embedded planner: retrieval over examples and argument rules, no model, no key."""

from llm_planner.embedded.cards import Call, Proposal, ToolCard
from llm_planner.embedded.core import EmbeddedCore, utc_today
from llm_planner.embedded.similarity import CharEmbedder, Embedder, HybridEmbedder, load_embedder

__all__ = [
    "Call",
    "CharEmbedder",
    "EmbeddedCore",
    "Embedder",
    "HybridEmbedder",
    "Proposal",
    "ToolCard",
    "load_embedder",
    "utc_today",
]
