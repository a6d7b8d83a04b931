"""Tokens, estimated: no tokenizer is at hand that fits every model."""

from .base import ChatRequest

BYTES_PER_TOKEN = 3
"""Of UTF-8. Latin scripts take three to four, others about three: an estimate errs on the long side."""
_MESSAGE_TOKENS = 4


def estimated_tokens(text: str) -> int:
    """About how many tokens a text has."""
    return -(-len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN)


def estimated_prompt(request: ChatRequest) -> int:
    """About how many tokens a request's messages have."""
    return sum(estimated_tokens(message.content) + _MESSAGE_TOKENS for message in request.messages)
