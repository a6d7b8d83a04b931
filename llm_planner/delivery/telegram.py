"""Telegram's Bot API: plain text, inline buttons, and an answer to the button that was pressed."""

import re
from dataclasses import dataclass, field
from typing import ClassVar, Final

from ..turn.outbox import Refused
from .base import OutgoingReply
from .credentials import base_url
from .http import Answer, Request, as_json
from .layout import Limits, Part
from .pace import Limit
from .sending import Provider
from .text import utf16
from .verdicts import at, by_status, dead, known, number, unreadable, wait, word

TELEGRAM_API: Final = "https://api.telegram.org"
_TOKEN: Final = re.compile(r"[0-9]{1,20}:[A-Za-z0-9_-]{10,200}")
_CHAT: Final = re.compile(r"-?[0-9]{1,20}|@[A-Za-z0-9_]{1,64}")
_GROUP_LIMIT: Final = Limit(3.0, 20)


@dataclass(frozen=True, slots=True)
class Telegram(Provider):
    """The token stands in every address: none of them is ever shown."""

    name: ClassVar[str] = "telegram"
    limits: ClassVar[Limits] = Limits(text=4096, card=4096, title=64, payload=64, weigh=utf16)
    account_limit: ClassVar[Limit] = Limit(1 / 30, 30)
    pair_limit: ClassVar[Limit] = Limit(1.0, 1)

    bot_token: str = field(repr=False)
    api: str = TELEGRAM_API

    def __post_init__(self) -> None:
        base_url("Telegram's address", self.api)
        if not _TOKEN.fullmatch(self.bot_token):
            raise ValueError("TELEGRAM_BOT_TOKEN: is digits, a colon and letters")

    def pair_limit_for(self, reply: OutgoingReply) -> Limit:
        return _GROUP_LIMIT if reply.reply_to.startswith("-") else self.pair_limit

    def prelude(self, reply: OutgoingReply) -> Request | None:
        if reply.callback_id is None:
            return None
        return self._call("answerCallbackQuery", {"callback_query_id": reply.callback_id})

    def request(self, reply: OutgoingReply, part: Part, key: str) -> Request:
        if not _CHAT.fullmatch(reply.reply_to):
            raise Refused("telegram: the recipient is no chat id", final=True)
        body: dict[str, object] = {
            "chat_id": reply.reply_to,
            "text": part.text,
            "link_preview_options": {"is_disabled": True},
        }
        if reply.thread is not None and reply.thread.isascii() and reply.thread.isdigit():
            body["message_thread_id"] = int(reply.thread)
        if part.buttons:
            row = [{"text": button.title, "callback_data": button.payload} for button in part.buttons]
            body["reply_markup"] = {"inline_keyboard": [row]}
        return self._call("sendMessage", body)

    def _call(self, method: str, body: dict[str, object]) -> Request:
        return as_json(f"{self.api.rstrip('/')}/bot{self.bot_token}/{method}", body, {})

    def reference(self, answer: Answer, key: str) -> str:
        data = answer.data
        if data.get("ok") is True:
            return known(word(at(data, "result", "message_id")), self.name, answer)
        if 200 <= answer.status < 300:
            raise unreadable(self.name, answer.status)
        seconds = number(at(data, "parameters", "retry_after"))
        if answer.status == 429 or seconds is not None:
            raise wait(self.name, 429, answer.retry_after_s if seconds is None else float(seconds))
        words = word(data.get("description"))
        if answer.status in (401, 404) and "chat" not in words:
            raise dead(self.name, answer.status, "the bot's token is wrong")
        if answer.status == 403:
            raise dead(self.name, 403, "the user blocked the bot, or it was removed from the chat")
        raise by_status(self.name, answer, answer.status, words)
