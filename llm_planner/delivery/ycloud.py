"""WhatsApp and SMS through YCloud: the Cloud API's messages in an envelope and with errors of its own."""

from dataclasses import dataclass, field
from typing import ClassVar, Final

from . import cloud_api
from .base import OutgoingReply, Traits
from .cloud_api import Template
from .credentials import base_url, header_value
from .http import Answer, Request, as_json
from .layout import Limits, Part
from .pace import Limit
from .sending import Provider
from .verdicts import at, by_status, dead, known, wait, word

YCLOUD_API: Final = "https://api.ycloud.com/v2"
SMS: Final = "sms:"
"""How the address of somebody who wrote by SMS begins."""
_SMS: Final = Limits(text=1600)
_SMS_PAIR: Final = Limit(1.0, 10)
_WAIT: Final = frozenset(["ACCOUNT_RATE_LIMITED", "SENDER_RATE_LIMITED", "TOO_MANY_REQUESTS"])
_DEAD: Final = {
    "UNAUTHORIZED": "the API key is wrong",
    "BALANCE_INSUFFICIENT": "the account's balance is used up",
    "RECIPIENT_UNSUBSCRIBED": "the user has unsubscribed",
    "RECIPIENT_IN_BLOCK_LIST": "the user is on the block list",
    "CONTENT_PROHIBITED": "the content is not allowed",
}


@dataclass(frozen=True, slots=True)
class YCloud(Provider):
    """`sender` is the number that replies leave from when they don't say."""

    name: ClassVar[str] = "ycloud"
    limits: ClassVar[Limits] = cloud_api.LIMITS
    account_limit: ClassVar[Limit] = Limit(1 / 200, 200)
    pair_limit: ClassVar[Limit] = cloud_api.PAIR

    api_key: str = field(repr=False)
    sender: str
    fallback: Template | None = None
    api: str = YCLOUD_API

    def __post_init__(self) -> None:
        header_value("YCLOUD_API_KEY", self.api_key)
        base_url("YCloud's address", self.api)

    @property
    def traits(self) -> Traits:
        return Traits(reports=True, windowed=True, templated=self.fallback is not None)

    def windowed(self, reply: OutgoingReply) -> bool:
        return not _by_sms(reply)

    def limits_for(self, reply: OutgoingReply) -> Limits:
        return _SMS if _by_sms(reply) else self.limits

    def pair_limit_for(self, reply: OutgoingReply) -> Limit:
        return _SMS_PAIR if _by_sms(reply) else self.pair_limit

    def request(self, reply: OutgoingReply, part: Part, key: str) -> Request:
        if not _by_sms(reply):
            return self._post(reply, cloud_api.content(part), key)
        to = reply.reply_to.removeprefix(SMS)
        body = {"to": to, "text": part.text, "senderId": reply.account or self.sender}
        return as_json(f"{self.api.rstrip('/')}/sms", body, {"X-API-Key": self.api_key})

    def template(self, reply: OutgoingReply, part: Part, key: str) -> Request | None:
        content = cloud_api.in_template(part, self.fallback)
        return None if content is None else self._post(reply, content, key)

    def _post(self, reply: OutgoingReply, content: dict[str, object], key: str) -> Request:
        body: dict[str, object] = {
            "from": reply.account or self.sender,
            **cloud_api.addressed(reply),
            **content,
            "externalId": key,
        }
        url = f"{self.api.rstrip('/')}/whatsapp/messages"
        return as_json(url, body, {"X-API-Key": self.api_key})

    def reference(self, answer: Answer, key: str) -> str:
        if 200 <= answer.status < 300:
            return known(word(answer.data.get("id")), self.name, answer)
        error = answer.data.get("error")
        inner = at(error, "whatsappApiError")
        meta_code = _number(at(inner, "code")) or _number(at(inner, "error", "code"))
        if fault := cloud_api.fault(self.name, meta_code, answer.retry_after_s):
            raise fault
        code = word(at(error, "code"))
        if code in _WAIT:
            raise wait(self.name, code, answer.retry_after_s, "account")
        if code in _DEAD:
            raise dead(self.name, code, _DEAD[code])
        raise by_status(self.name, answer, code or None, at(error, "message"))


def _by_sms(reply: OutgoingReply) -> bool:
    return reply.reply_to.startswith(SMS)


def _number(value: object) -> int | None:
    """A code of Meta's, which is handed on as a number or as text."""
    text = word(value)
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else None
