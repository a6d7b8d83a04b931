"""Bytes from providers to messages, pure: one module a provider; base, verifying and reading are shared."""

from .base import (
    Attachment,
    BadSignature,
    Channel,
    Delivery,
    HandshakeRefused,
    Ignored,
    Incoming,
    Malformed,
    NotReady,
    Rejected,
    Reply,
    StatusUpdate,
    WebhookRequest,
)
from .bird import BirdChannel
from .chatwoot import ChatwootChannel
from .d360 import D360Channel
from .generic import GenericChannel, HmacHeaders
from .messagebird import MessageBirdChannel
from .meta import MetaChannel
from .n8n import N8nChannel
from .slack import SlackChannel
from .standard import StandardChannel
from .telegram import TelegramChannel
from .twilio import TwilioChannel
from .ycloud import YCloudChannel

__all__ = [
    "Attachment",
    "BadSignature",
    "BirdChannel",
    "Channel",
    "ChatwootChannel",
    "D360Channel",
    "Delivery",
    "GenericChannel",
    "HandshakeRefused",
    "HmacHeaders",
    "Ignored",
    "Incoming",
    "Malformed",
    "MessageBirdChannel",
    "MetaChannel",
    "N8nChannel",
    "NotReady",
    "Rejected",
    "Reply",
    "SlackChannel",
    "StandardChannel",
    "StatusUpdate",
    "TelegramChannel",
    "TwilioChannel",
    "WebhookRequest",
    "YCloudChannel",
]
