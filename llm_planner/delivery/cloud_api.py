"""WhatsApp messages as Meta's Cloud API has them, which others speak too: limits, shapes and error codes."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ..turn.outbox import Refused
from .base import OutgoingReply
from .layout import TEMPLATE_TEXT, Limits, Part
from .pace import Limit
from .verdicts import Fault, dead, meaning, outside_window, retry, wait

LIMITS: Final = Limits(text=4096, card=1024, title=20, payload=256)
PAIR: Final = Limit(6.0, 45)
"""To one user a message every 6 seconds; a burst of 45 is lent and paid back at that rate."""
_PAIR_WAIT_S: Final = 30.0
_SPAM_WAIT_S: Final = 3600.0

_USER_ID: Final = re.compile(r"[A-Z]{2}\.[A-Za-z0-9]{1,128}")
_PHONE: Final = re.compile(r"\+?[0-9]{5,20}")
_GROUP: Final = re.compile(r"[A-Za-z0-9+/=_.:@-]{1,256}")

_DEAD: Final[dict[int, str]] = {
    0: "the access token is not valid", 3: "the app may not use this", 10: "the app has no permission",
    33: "this phone number id does not exist", 100: "a parameter is wrong",
    190: "the access token is wrong or expired", 368: "the account is blocked for breaking a policy",
    130472: "the user takes part in an experiment of Meta's", 130497: "not to this country",
    131005: "the access token has no permission", 131008: "a parameter is missing",
    131009: "a parameter's value is not valid", 131021: "sender and recipient are the same",
    131026: "undeliverable: no WhatsApp, an old version, or the terms are not accepted",
    131030: "not on the list of test recipients", 131031: "the account is locked",
    131037: "the number has no approved display name", 131042: "the payment method has a problem",
    131045: "the phone number is not registered", 131049: "not delivered, to keep the user engaged",
    131050: "the user has stopped such messages", 131051: "this message type is not supported",
    131052: "the media could not be had", 131062: "this message needs a phone number",
    132000: "the template has another number of parameters", 132001: "there is no such template",
    132005: "the text is too long for the template", 132007: "the template breaks a policy",
    132012: "the template's parameter has another format", 132015: "the template is paused",
    132016: "the template is disabled", 133010: "the phone number is not registered",
}  # fmt: skip
_RETRY: Final = {
    1: "an unknown error",
    2: "not available now",
    131000: "something went wrong",
    131016: "not available now",
    131057: "in maintenance",
    133004: "not available now",
}
_WAIT: Final = frozenset([4, 80007, 130429, 133016])


@dataclass(frozen=True, slots=True)
class Template:
    """An approved template for outside the 24-hour window; its body's one variable takes our text."""

    name: str
    language: str


def addressed(reply: OutgoingReply) -> dict[str, object]:
    """Who it is for: a phone number, a user id where there is no number, or a group. Raises Refused."""
    to = reply.reply_to
    if _USER_ID.fullmatch(to):
        return {"recipient": to, "recipient_type": "individual"}
    if _PHONE.fullmatch(to):
        return {"to": to, "recipient_type": "individual"}
    if _GROUP.fullmatch(to):
        return {"to": to, "recipient_type": "group"}
    raise Refused("the recipient is neither a phone number, a user id nor a group", final=True)


def content(part: Part) -> dict[str, object]:
    """A text, or a text with reply buttons under it."""
    if not part.buttons:
        return {"type": "text", "text": {"preview_url": False, "body": part.text}}
    buttons = [
        {"type": "reply", "reply": {"id": button.payload, "title": button.title}} for button in part.buttons
    ]
    shown = {"type": "button", "body": {"text": part.text}, "action": {"buttons": buttons}}
    return {"type": "interactive", "interactive": shown}


def in_template(part: Part, template: Template | None) -> dict[str, object] | None:
    """The text as the template's variable, which holds neither line ends nor runs of spaces; None where it
    does not fit whole."""
    line = " ".join(part.text.split())
    if template is None or len(line) > TEMPLATE_TEXT:
        return None
    body = {"type": "body", "parameters": [{"type": "text", "text": line}]}
    shown = {"name": template.name, "language": {"code": template.language}, "components": [body]}
    return {"type": "template", "template": shown}


def fault(name: str, code: int | None, retry_after_s: float | None) -> Fault | None:
    """What Meta's error code means; None for one without a meaning of its own."""
    if code == 131047:
        return outside_window(name, code)
    if code == 131056:
        return wait(name, code, _PAIR_WAIT_S if retry_after_s is None else retry_after_s)
    if code == 131048:
        return wait(name, code, _SPAM_WAIT_S, "account")
    if code in _WAIT:
        return wait(name, code, retry_after_s, "account")
    if words := meaning(_RETRY, code):
        return retry(name, code, words)
    if words := meaning(_DEAD, code):
        return dead(name, code, words)
    if code is not None and 200 <= code <= 299:
        return dead(name, code, "the app has no permission")
    return None


def first_id(messages: object) -> str:
    """The id in `messages[0].id`; "" where there is none."""
    row = messages[0] if isinstance(messages, list) and messages else None
    found = row.get("id") if isinstance(row, Mapping) else None
    return found if isinstance(found, str) else ""
