"""Chatwoot: an outgoing message in a conversation, with its choices as an input_select."""

from dataclasses import dataclass, field
from typing import ClassVar

from .base import OutgoingReply
from .credentials import base_url, header_value, in_path
from .http import Answer, Request, as_json
from .layout import Limits, Part
from .pace import Limit
from .sending import Provider
from .verdicts import by_status, known, word


@dataclass(frozen=True, slots=True)
class Chatwoot(Provider):
    """`api` is the installation's address, `account_id` the account of replies that don't say."""

    name: ClassVar[str] = "chatwoot"
    limits: ClassVar[Limits] = Limits(text=4096, card=1024, title=20, payload=256)
    account_limit: ClassVar[Limit] = Limit(0.1, 50)
    pair_limit: ClassVar[Limit] = Limit(1.0, 10)

    api: str
    api_token: str = field(repr=False)
    account_id: str = ""

    def __post_init__(self) -> None:
        base_url("CHATWOOT_BASE_URL", self.api)
        header_value("CHATWOOT_API_TOKEN", self.api_token)

    def request(self, reply: OutgoingReply, part: Part, key: str) -> Request:
        body: dict[str, object] = {"content": part.text, "message_type": "outgoing", "private": False}
        if part.buttons:
            items = [{"title": button.title, "value": button.payload} for button in part.buttons]
            body |= {"content_type": "input_select", "content_attributes": {"items": items}}
        account = in_path(reply.account or self.account_id, "the Chatwoot account")
        conversation = in_path(reply.reply_to, "the Chatwoot conversation")
        url = f"{self.api.rstrip('/')}/api/v1/accounts/{account}/conversations/{conversation}/messages"
        return as_json(url, body, {"api_access_token": self.api_token})

    def reference(self, answer: Answer, key: str) -> str:
        if 200 <= answer.status < 300:
            return known(word(answer.data.get("id")), self.name, answer)
        raise by_status(self.name, answer, None, answer.data.get("error") or answer.data.get("message"))
