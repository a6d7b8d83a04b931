"""WhatsApp and SMS through Twilio's Messages resource; buttons where a content template is configured."""

import base64
import json
from dataclasses import dataclass, field
from typing import ClassVar, Final
from urllib.parse import urlencode

from . import cloud_api
from .base import OutgoingReply, Traits
from .credentials import base_url, in_path
from .http import Answer, Request
from .layout import TEMPLATE_TEXT, Limits, Part
from .pace import Limit
from .sending import Provider
from .verdicts import by_status, dead, known, meaning, number, outside_window, retry, wait, word

TWILIO_API: Final = "https://api.twilio.com"
_TEXT: Final = Limits(text=1600)
_WITH_BUTTONS: Final = Limits(text=1600, card=1024, title=20, payload=200)
_SMS_PAIR: Final = Limit(1.0, 10)

_DEAD: Final[dict[int, str]] = {
    20003: "the account SID or the auth token is wrong", 20005: "the account is not active",
    20404: "the account or the number does not exist", 21211: "the recipient is no valid number",
    21408: "this country is not enabled", 21602: "the text is empty", 21603: "the sender is missing",
    21606: "the sender can't write to this number", 21608: "a trial account writes to verified numbers only",
    21610: "the user has opted out (STOP)", 21612: "no way leads from the sender to this number",
    21614: "the recipient is no mobile number", 21617: "the text is too long",
    21656: "the template's variables are not valid",
    21658: "the text is too long", 21659: "the sender is not one of this account",
    21660: "the sender belongs to another account", 21703: "the messaging service has no sender",
    63003: "the recipient can't be reached there", 63007: "there is no such sender",
    63013: "a policy was broken", 63024: "the recipient is not valid there",
    63032: "the user takes part in an experiment",
}  # fmt: skip
_WAIT_ACCOUNT: Final = frozenset([14107, 20429, 30001, 63017])
_RETRY: Final = {20500: "an internal error", 63012: "the channel is not available now"}


@dataclass(frozen=True, slots=True)
class Twilio(Provider):
    """`sender` is a number of ours (`+…`, `whatsapp:+…`) for replies that don't say, or a messaging service
    (`MG…`) for all. `login` is the SID of an API key, and `auth_token` its secret; the account's by default.

    `card_content_sid`: a quick-reply template with {{1}} as its body, {{2}} and {{3}} as the ids of its two
    buttons, confirm and cancel. `window_content_sid`: an approved one with {{1}} in its body, for outside the
    24-hour window.
    """

    name: ClassVar[str] = "twilio"
    limits: ClassVar[Limits] = _TEXT

    account_sid: str
    auth_token: str = field(repr=False)
    sender: str
    login: str = ""
    status_callback: str | None = None
    card_content_sid: str | None = None
    window_content_sid: str | None = None
    api: str = TWILIO_API

    def __post_init__(self) -> None:
        base_url("Twilio's address", self.api)

    @property
    def traits(self) -> Traits:
        return Traits(reports=True, windowed=True, templated=self.window_content_sid is not None)

    def windowed(self, reply: OutgoingReply) -> bool:
        return _on_whatsapp(reply)

    def limits_for(self, reply: OutgoingReply) -> Limits:
        return _WITH_BUTTONS if self.card_content_sid and _on_whatsapp(reply) else _TEXT

    def pair_limit_for(self, reply: OutgoingReply) -> Limit:
        return cloud_api.PAIR if _on_whatsapp(reply) else _SMS_PAIR

    def request(self, reply: OutgoingReply, part: Part, key: str) -> Request:
        payloads = {button.name: button.payload for button in part.buttons}
        if self.card_content_sid and len(payloads) == 2:
            variables = {"1": part.text, "2": payloads["confirm"], "3": payloads["cancel"]}
            return self._post(reply, _content(self.card_content_sid, variables))
        return self._post(reply, [("Body", part.text)])

    def template(self, reply: OutgoingReply, part: Part, key: str) -> Request | None:
        line = " ".join(part.text.split())
        if self.window_content_sid is None or len(line) > TEMPLATE_TEXT:
            return None
        return self._post(reply, _content(self.window_content_sid, {"1": line}))

    def _post(self, reply: OutgoingReply, content: list[tuple[str, str]]) -> Request:
        service = self.sender.startswith("MG")
        sender = ("MessagingServiceSid", self.sender) if service else ("From", reply.account or self.sender)
        form = [("To", reply.reply_to), sender, *content]
        if self.status_callback is not None:
            form.append(("StatusCallback", self.status_callback))
        login = base64.b64encode(f"{self.login or self.account_sid}:{self.auth_token}".encode()).decode()
        account = in_path(self.account_sid, "TWILIO_ACCOUNT_SID")
        return Request(
            f"{self.api.rstrip('/')}/2010-04-01/Accounts/{account}/Messages.json",
            urlencode(form, errors="replace").encode(),
            {"Authorization": f"Basic {login}", "Content-Type": "application/x-www-form-urlencoded"},
        )

    def reference(self, answer: Answer, key: str) -> str:
        if 200 <= answer.status < 300:
            return known(word(answer.data.get("sid")), self.name, answer)
        code = number(answer.data.get("code"))
        if code == 63016:
            raise outside_window(self.name, code)
        if code == 63018:
            raise wait(self.name, code, answer.retry_after_s)
        if code in _WAIT_ACCOUNT:
            raise wait(self.name, code, answer.retry_after_s, "account")
        if words := meaning(_RETRY, code):
            raise retry(self.name, code, words)
        if words := meaning(_DEAD, code):
            raise dead(self.name, code, words)
        raise by_status(self.name, answer, code, answer.data.get("message"))


def _on_whatsapp(reply: OutgoingReply) -> bool:
    return reply.reply_to.startswith("whatsapp:")


def _content(sid: str, variables: dict[str, str]) -> list[tuple[str, str]]:
    return [("ContentSid", sid), ("ContentVariables", json.dumps(variables, ensure_ascii=False))]
