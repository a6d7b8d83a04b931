"""Slack's chat.postMessage: a section with escaped text, buttons in an actions block."""

from dataclasses import dataclass, field
from typing import ClassVar, Final

from ..turn.outbox import Ambiguous
from .base import OutgoingReply
from .credentials import base_url, header_value
from .http import Answer, Request, as_json
from .layout import Limits, Part
from .pace import Limit
from .sending import Provider
from .verdicts import by_status, dead, retry, told, unreadable, wait, word

SLACK_API: Final = "https://slack.com/api"
_ESCAPED: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_ESCAPES: Final = str.maketrans(_ESCAPED)
_WAIT: Final = frozenset(["ratelimited", "rate_limited", "message_limit_exceeded"])
_RETRY: Final = frozenset(["service_unavailable", "request_timeout", "team_added_to_org", "accesslimited"])
_UNKNOWN: Final = frozenset(["fatal_error", "internal_error"])
"""Slack says of these that some of the operation may have succeeded."""
_DEAD: Final = {
    "invalid_auth": "the bot's token is wrong", "not_authed": "the bot's token is missing",
    "token_revoked": "the bot's token was revoked", "token_expired": "the bot's token has expired",
    "account_inactive": "the bot or its workspace was removed", "missing_scope": "the token lacks chat:write",
    "channel_not_found": "there is no such conversation", "not_in_channel": "the bot is not in it",
    "is_archived": "the conversation is archived", "msg_too_long": "the text is too long",
    "invalid_blocks": "the blocks are not valid", "restricted_action": "the workspace forbids it",
}  # fmt: skip


def escaped(text: str) -> str:
    """Text in which Slack sees no link, mention or command."""
    return text.translate(_ESCAPES)


def _weight(char: str) -> int:
    return len(_ESCAPED.get(char, char))


@dataclass(frozen=True, slots=True)
class Slack(Provider):
    name: ClassVar[str] = "slack"
    limits: ClassVar[Limits] = Limits(text=3000, card=3000, title=75, payload=2000, weigh=_weight)
    account_limit: ClassVar[Limit] = Limit(0.2, 50)
    pair_limit: ClassVar[Limit] = Limit(1.0, 4)

    bot_token: str = field(repr=False)
    api: str = SLACK_API

    def __post_init__(self) -> None:
        header_value("SLACK_BOT_TOKEN", self.bot_token)
        base_url("Slack's address", self.api)

    def request(self, reply: OutgoingReply, part: Part, key: str) -> Request:
        text = escaped(part.text)
        section: dict[str, object] = {
            "type": "section",
            "text": {"type": "mrkdwn", "text": text, "verbatim": True},
        }
        blocks = [section]
        if part.buttons:
            buttons = [
                {
                    "type": "button",
                    "action_id": button.name,
                    "value": button.payload,
                    "text": {"type": "plain_text", "text": button.title, "emoji": False},
                }
                for button in part.buttons
            ]
            blocks.append({"type": "actions", "elements": buttons})
        body: dict[str, object] = {
            "channel": reply.reply_to,
            "text": text,
            "blocks": blocks,
            "unfurl_links": False,
            "unfurl_media": False,
        }
        if reply.thread is not None:
            body["thread_ts"] = reply.thread
        headers = {"Authorization": f"Bearer {self.bot_token}"}
        return as_json(f"{self.api.rstrip('/')}/chat.postMessage", body, headers)

    def reference(self, answer: Answer, key: str) -> str:
        data, error = answer.data, word(answer.data.get("error"))
        if data.get("ok") is True and word(data.get("ts")):
            return word(data.get("ts"))
        if answer.status == 429 or error in _WAIT:
            raise wait(self.name, error or answer.status, answer.retry_after_s)
        if error in _UNKNOWN:
            raise Ambiguous(f"slack {error}: some of it may have been done")
        if error in _RETRY:
            raise retry(self.name, error, "not available now")
        if error:
            raise dead(self.name, told(error), _DEAD.get(error, "not taken"))
        if 200 <= answer.status < 300:
            raise unreadable(self.name, answer.status)
        raise by_status(self.name, answer)
