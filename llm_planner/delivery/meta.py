"""WhatsApp through Meta's Cloud API, and through 360dialog, which speaks it at its own address."""

from dataclasses import dataclass, field
from typing import ClassVar, Final

from . import cloud_api
from .base import OutgoingReply, Traits
from .cloud_api import Template
from .credentials import base_url, header_value, in_path
from .http import Answer, Request, as_json
from .layout import Limits, Part
from .pace import Limit
from .sending import Provider
from .verdicts import at, by_status, known, number

META_API: Final = "https://graph.facebook.com/v25.0"
DIALOG360_API: Final = "https://waba-v2.360dialog.io"


class _CloudApi(Provider):
    """What both have in common."""

    limits: ClassVar[Limits] = cloud_api.LIMITS
    pair_limit: ClassVar[Limit] = cloud_api.PAIR
    fallback: Template | None

    @property
    def traits(self) -> Traits:
        return Traits(reports=True, windowed=True, templated=self.fallback is not None)

    def post(self, reply: OutgoingReply, content: dict[str, object], key: str) -> Request:
        """The POST of one message."""
        raise NotImplementedError

    def request(self, reply: OutgoingReply, part: Part, key: str) -> Request:
        return self.post(reply, cloud_api.content(part), key)

    def template(self, reply: OutgoingReply, part: Part, key: str) -> Request | None:
        content = cloud_api.in_template(part, self.fallback)
        return None if content is None else self.post(reply, content, key)

    def reference(self, answer: Answer, key: str) -> str:
        if 200 <= answer.status < 300:
            return known(cloud_api.first_id(answer.data.get("messages")), self.name, answer)
        code = number(at(answer.data, "error", "code"))
        fault = cloud_api.fault(self.name, code, answer.retry_after_s)
        raise fault or by_status(self.name, answer, code, at(answer.data, "error", "message"))


def _message(reply: OutgoingReply, content: dict[str, object], key: str) -> dict[str, object]:
    """`key` comes back in the message's status updates."""
    return {
        "messaging_product": "whatsapp",
        **cloud_api.addressed(reply),
        **content,
        "biz_opaque_callback_data": key,
    }


@dataclass(frozen=True, slots=True)
class Meta(_CloudApi):
    """`phone_number_id` is what replies leave from when they don't say."""

    name: ClassVar[str] = "meta"

    access_token: str = field(repr=False)
    phone_number_id: str
    fallback: Template | None = None
    api: str = META_API

    def __post_init__(self) -> None:
        header_value("WHATSAPP_ACCESS_TOKEN", self.access_token)
        base_url("the Cloud API's address", self.api)

    def post(self, reply: OutgoingReply, content: dict[str, object], key: str) -> Request:
        number_id = in_path(reply.account or self.phone_number_id, "the phone number id")
        headers = {"Authorization": f"Bearer {self.access_token}"}
        return as_json(f"{self.api.rstrip('/')}/{number_id}/messages", _message(reply, content, key), headers)


@dataclass(frozen=True, slots=True)
class Dialog360(_CloudApi):
    """The key belongs to one phone number."""

    name: ClassVar[str] = "360dialog"

    api_key: str = field(repr=False)
    fallback: Template | None = None
    api: str = DIALOG360_API

    def __post_init__(self) -> None:
        header_value("the 360dialog API key", self.api_key)
        base_url("360dialog's address", self.api)

    def post(self, reply: OutgoingReply, content: dict[str, object], key: str) -> Request:
        url = f"{self.api.rstrip('/')}/messages"
        return as_json(url, _message(reply, content, key), {"D360-API-KEY": self.api_key})
