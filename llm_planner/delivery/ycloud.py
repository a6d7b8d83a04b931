"""WhatsApp through YCloud: the Cloud API's messages in an envelope and with errors of its own."""

from dataclasses import dataclass, field
from typing import ClassVar, Final

from . import cloud_api
from .base import OutgoingReply
from .cloud_api import Template
from .credentials import base_url, header_value
from .http import Answer, Request, as_json
from .layout import Limits, Part
from .pace import Limit
from .sending import Provider
from .verdicts import at, by_status, dead, known, number, wait, word

YCLOUD_API: Final = "https://api.ycloud.com/v2"
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

    def request(self, reply: OutgoingReply, part: Part, key: str) -> Request:
        return self._post(reply, cloud_api.content(part), key)

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
        meta_code = number(at(inner, "code")) or number(at(inner, "error", "code"))
        if fault := cloud_api.fault(self.name, meta_code, answer.retry_after_s):
            raise fault
        code = word(at(error, "code"))
        if code in _WAIT:
            raise wait(self.name, code, answer.retry_after_s, "account")
        if code in _DEAD:
            raise dead(self.name, code, _DEAD[code])
        raise by_status(self.name, answer, code or None, at(error, "message"))
