"""Fake chat providers: Telegram, Slack, Chatwoot, and a receiver of Standard Webhooks."""

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from .providers_base import Asked, FakeProvider, Refusal, Sent


def _units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


class FakeTelegram(FakeProvider):
    """`POST /bot{token}/sendMessage` and `answerCallbackQuery`; `pressed` holds the answered queries."""

    def __init__(self, credential: str = "1234567:fake-telegram-bot-token") -> None:
        super().__init__()
        self.credential = credential
        self.pressed: list[str] = []

    def check(self, asked: Asked) -> None:
        if not asked.path.startswith(f"/bot{self.credential}/"):
            raise Refusal(self._error(401, "Unauthorized"))

    def read(self, asked: Asked, reference: str) -> Sent | None:
        if not asked.path.endswith("/sendMessage"):
            return None
        body, text = asked.body, asked.body.get("text", "")
        if not re.fullmatch(r"-?[0-9]+", str(body.get("chat_id", ""))):
            raise Refusal(self._error(400, "Bad Request: chat not found"))
        if not text.strip():
            raise Refusal(self._error(400, "Bad Request: message text is empty"))
        if _units(text) > 4096:
            raise Refusal(self._error(400, "Bad Request: message is too long"))
        if body.get("parse_mode"):
            raise Refusal(self._error(400, "Bad Request: can't parse entities"))
        rows = body.get("reply_markup", {}).get("inline_keyboard", [])
        buttons = tuple((one["text"], one["callback_data"]) for row in rows for one in row)
        if not all(title and 1 <= len(data.encode()) <= 64 for title, data in buttons):
            raise Refusal(self._error(400, "Bad Request: BUTTON_DATA_INVALID"))
        return Sent(str(body["chat_id"]), text, reference, buttons, body)

    def other(self, asked: Asked) -> web.Response:
        if not asked.path.endswith("/answerCallbackQuery"):
            return self._error(404, "Not Found")
        query = str(asked.body.get("callback_query_id", ""))
        if query == "old":
            return self._error(400, "Bad Request: query is too old and response timeout expired")
        self.pressed.append(query)
        return web.json_response({"ok": True, "result": True})

    def taken(self, sent: Sent) -> web.Response:
        message = {"message_id": int(sent.reference), "chat": {"id": int(sent.to)}, "text": sent.text}
        return web.json_response({"ok": True, "result": message})

    def refused(self, code: int | str) -> web.Response:
        words = {403: "Forbidden: bot was blocked by the user", 401: "Unauthorized"}
        status = int(code)
        return self._error(status, words.get(status, "Bad Request: an error of this kind"))

    def throttled(self, retry_after_s: int | None) -> web.Response:
        more = {} if retry_after_s is None else {"parameters": {"retry_after": retry_after_s}}
        return self._error(429, f"Too Many Requests: retry after {retry_after_s}", more)

    @staticmethod
    def _error(status: int, words: str, more: Mapping[str, Any] | None = None) -> web.Response:
        error = {"ok": False, "error_code": status, "description": words, **(more or {})}
        return web.json_response(error, status=status)


class FakeSlack(FakeProvider):
    """`POST /api/chat.postMessage` with a Bearer token. A sent message's text is what a reader sees."""

    base = "/api"

    def __init__(self, credential: str = "fake-slack-bot-token") -> None:
        super().__init__()
        self.credential = credential

    def reference(self, number: int) -> str:
        return f"1795305600.{number:06}"

    def check(self, asked: Asked) -> None:
        if asked.path != "/api/chat.postMessage":
            raise Refusal(self.refused("unknown_method"))
        if asked.headers.get("authorization") != f"Bearer {self.credential}":
            raise Refusal(self.refused("invalid_auth"))

    def read(self, asked: Asked, reference: str) -> Sent | None:
        body = asked.body
        if not re.fullmatch(r"[CDG][A-Z0-9]+", str(body.get("channel", ""))):
            raise Refusal(self.refused("channel_not_found"))
        if len(body.get("text", "")) > 40_000:
            raise Refusal(self.refused("msg_too_long"))
        section, *others = body["blocks"]
        shown = section["text"]["text"]
        if section["type"] != "section" or not 0 < len(shown) <= 3000:
            raise Refusal(self.refused("invalid_blocks"))
        if section["text"]["type"] == "mrkdwn" and re.search(r"[<>]", shown):
            raise Refusal(self.refused("a_link_or_mention_that_nobody_meant"))
        elements = [one for block in others if block["type"] == "actions" for one in block["elements"]]
        if not self._sound(elements):
            raise Refusal(self.refused("invalid_blocks"))
        buttons = tuple((one["text"]["text"], one["value"]) for one in elements)
        text = shown.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
        return Sent(body["channel"], text, reference, buttons, body)

    @staticmethod
    def _sound(elements: list[Mapping[str, Any]]) -> bool:
        ids = {one["action_id"] for one in elements}
        fit = all(
            0 < len(one["text"]["text"]) <= 75
            and 0 < len(one["value"]) <= 2000
            and len(one["action_id"]) <= 255
            for one in elements
        )
        return fit and len(ids) == len(elements) <= 25

    def taken(self, sent: Sent) -> web.Response:
        return web.json_response({"ok": True, "channel": sent.to, "ts": sent.reference})

    def refused(self, code: int | str) -> web.Response:
        return web.json_response({"ok": False, "error": str(code)})

    def throttled(self, retry_after_s: int | None) -> web.Response:
        headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
        return web.json_response({"ok": False, "error": "ratelimited"}, status=429, headers=headers)


class FakeChatwoot(FakeProvider):
    """`POST /api/v1/accounts/{account}/conversations/{conversation}/messages` with api_access_token."""

    def __init__(self, credential: str = "fake-chatwoot-token") -> None:
        super().__init__()
        self.credential = credential

    def check(self, asked: Asked) -> None:
        if asked.headers.get("api_access_token") != self.credential:
            raise Refusal(web.json_response({"error": "Invalid Access Token"}, status=401))

    def read(self, asked: Asked, reference: str) -> Sent | None:
        found = re.fullmatch(r"/api/v1/accounts/[0-9]+/conversations/([0-9]+)/messages", asked.path)
        body = asked.body
        if found is None:
            raise Refusal(web.json_response({"error": "Resource could not be found"}, status=404))
        if (
            not body.get("content")
            or body.get("message_type") != "outgoing"
            or body.get("private") is not False
        ):
            raise Refusal(web.json_response({"error": "not an outgoing message"}, status=422))
        items = body.get("content_attributes", {}).get("items", [])
        buttons = tuple((item["title"], item["value"]) for item in items)
        return Sent(found.group(1), body["content"], reference, buttons, body)

    def taken(self, sent: Sent) -> web.Response:
        return web.json_response({"id": int(sent.reference), "content": sent.text, "message_type": 1})

    def refused(self, code: int | str) -> web.Response:
        return web.json_response({"error": "an error of this kind"}, status=int(code))

    def throttled(self, retry_after_s: int | None) -> web.Response:
        headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
        return web.Response(status=429, text="Retry later\n", headers=headers)


class FakeReceiver(FakeProvider):
    """Takes signed replies at `/replies`; one that it had before is answered and not kept twice."""

    base = "/replies"

    def __init__(
        self, credential: str = "whsec_" + base64.b64encode(b"a secret of 24 bytes or so").decode()
    ) -> None:
        super().__init__()
        self.credential = credential

    def check(self, asked: Asked) -> None:
        key = base64.b64decode(self.credential.removeprefix("whsec_"))
        named = [asked.headers.get(f"webhook-{name}", "") for name in ("id", "timestamp")]
        signed = ".".join(named).encode() + b"." + asked.raw
        expected = "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
        offered = asked.headers.get("webhook-signature", "").split(" ")
        if not any(hmac.compare_digest(expected.encode(), one.encode()) for one in offered):
            raise Refusal(web.Response(status=401))

    def read(self, asked: Asked, reference: str) -> Sent | None:
        data = asked.body["data"]
        name = asked.headers["webhook-id"]
        if any(sent.reference == name for sent in self.sent):
            raise Refusal(web.Response(status=200))
        buttons = tuple((one["title"], one["payload"]) for one in data["buttons"])
        return Sent(data["reply_to"], data["text"], name, buttons, asked.body)

    def taken(self, sent: Sent) -> web.Response:
        return web.Response(status=202)

    def refused(self, code: int | str) -> web.Response:
        return web.Response(status=int(code))

    def throttled(self, retry_after_s: int | None) -> web.Response:
        headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
        return web.Response(status=429, headers=headers)
