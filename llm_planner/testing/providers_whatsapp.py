"""Fake WhatsApp providers: Meta's Cloud API, 360dialog and YCloud, which share its messages, and Twilio."""

import base64
import json
import re
from collections.abc import Mapping
from typing import Any, ClassVar

from aiohttp import web

from .providers_base import Asked, FakeProvider, Refusal, Sent

_LONGEST_TEXT = 4096
_LONGEST_CARD = 1024
_LONGEST_TITLE = 20
_LONGEST_ID = 256
_MOST_BUTTONS = 3


def _cloud_problem(body: Mapping[str, Any]) -> str | None:
    """What is wrong with a Cloud API message."""
    if not (body.get("to") or body.get("recipient")):
        return "to or recipient is required"
    kind = body.get("type")
    if kind == "text":
        text = body["text"]["body"]
        return None if 0 < len(text) <= _LONGEST_TEXT else "text.body: 1 to 4096 characters"
    if kind == "template":
        values = [value["text"] for part in body["template"]["components"] for value in part["parameters"]]
        bad = any(re.search(r"[\n\t]| {5}", value) or len(value) > _LONGEST_CARD for value in values)
        return "template parameters hold no line ends" if bad else None
    return _card_problem(body["interactive"]) if kind == "interactive" else "type is not supported"


def _card_problem(card: Mapping[str, Any]) -> str | None:
    buttons = [button["reply"] for button in card["action"]["buttons"]]
    titles = [button["title"] for button in buttons]
    if not 0 < len(card["body"]["text"]) <= _LONGEST_CARD:
        return "interactive.body.text: 1 to 1024 characters"
    if not 1 <= len(buttons) <= _MOST_BUTTONS or len(set(titles)) != len(titles):
        return "1 to 3 buttons with titles of their own"
    if not all(0 < len(title) <= _LONGEST_TITLE for title in titles):
        return "button titles: 1 to 20 characters"
    if not all(0 < len(one["id"]) <= _LONGEST_ID and one["id"] == one["id"].strip() for one in buttons):
        return "button ids: 1 to 256 characters, no spaces around"
    return None


def _cloud_sent(body: Mapping[str, Any], reference: str) -> Sent:
    to, kind = str(body.get("to") or body.get("recipient")), body["type"]
    if kind == "text":
        return Sent(to, body["text"]["body"], reference, body=body)
    if kind == "template":
        return Sent(to, body["template"]["components"][0]["parameters"][0]["text"], reference, body=body)
    card = body["interactive"]
    buttons = tuple((one["reply"]["title"], one["reply"]["id"]) for one in card["action"]["buttons"])
    return Sent(to, card["body"]["text"], reference, buttons, body)


class FakeMeta(FakeProvider):
    """`POST /{phone number id}/messages` with a Bearer token. `window_open = False`: templates alone pass."""

    base = "/v25.0"
    header: ClassVar[str] = "authorization"
    prefix: ClassVar[str] = "Bearer "
    path: ClassVar[str] = r"/v25\.0/[0-9]+/messages"

    def __init__(self, credential: str = "fake-meta-access-token") -> None:
        super().__init__()
        self.credential = credential
        self.window_open = True

    def reference(self, number: int) -> str:
        return f"wamid.{number:04}"

    def check(self, asked: Asked) -> None:
        if not re.fullmatch(self.path, asked.path):
            raise Refusal(web.Response(status=404))
        if asked.headers.get(self.header) != self.prefix + self.credential:
            raise Refusal(self._error(401, 190, "Error validating access token"))

    def read(self, asked: Asked, reference: str) -> Sent | None:
        if asked.body.get("messaging_product") != "whatsapp":
            raise Refusal(self._error(400, 100, "messaging_product is required"))
        problem = _cloud_problem(asked.body)
        if problem is not None:
            raise Refusal(self._error(400, 131009, problem))
        if not self.window_open and asked.body["type"] != "template":
            raise Refusal(self.refused(131047))
        return _cloud_sent(asked.body, reference)

    def taken(self, sent: Sent) -> web.Response:
        contact = {"input": sent.to, "wa_id": sent.to}
        messages = [{"id": sent.reference}]
        return web.json_response(
            {"messaging_product": "whatsapp", "contacts": [contact], "messages": messages}
        )

    def refused(self, code: int | str) -> web.Response:
        status = {4: 400, 190: 401, 131000: 500, 131016: 500, 1: 500, 2: 503}.get(int(code), 400)
        return self._error(status, int(code), f"(#{code}) an error of this kind")

    def throttled(self, retry_after_s: int | None) -> web.Response:
        headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
        return self._error(429, 130429, "Rate limit hit", headers)

    @staticmethod
    def _error(status: int, code: int, words: str, headers: Mapping[str, str] | None = None) -> web.Response:
        error = {"message": words, "type": "OAuthException", "code": code, "fbtrace_id": "Afake"}
        return web.json_response({"error": error}, status=status, headers=headers)


class Fake360Dialog(FakeMeta):
    """The same at `POST /messages`, with a key of its own."""

    base = ""
    header = "d360-api-key"
    prefix = ""
    path = "/messages"


class FakeYCloud(FakeProvider):
    """`POST /v2/whatsapp/messages` and `/v2/sms` with X-API-Key. `window_open = False`: on WhatsApp only
    templates are taken."""

    base = "/v2"

    def __init__(self, credential: str = "fake-ycloud-api-key") -> None:
        super().__init__()
        self.credential = credential
        self.window_open = True

    def reference(self, number: int) -> str:
        return f"{number:024x}"

    def check(self, asked: Asked) -> None:
        if asked.path not in ("/v2/whatsapp/messages", "/v2/sms"):
            raise Refusal(self._error(404, "NOT_FOUND"))
        if asked.headers.get("x-api-key") != self.credential:
            raise Refusal(self._error(401, "UNAUTHORIZED"))

    def read(self, asked: Asked, reference: str) -> Sent | None:
        if asked.path == "/v2/sms":
            return self._sms(asked.body, reference)
        if not asked.body.get("from"):
            raise Refusal(self._error(400, "PARAM_MISSING"))
        if _cloud_problem(asked.body) is not None:
            raise Refusal(self._error(400, "PARAM_INVALID"))
        if not self.window_open and asked.body["type"] != "template":
            raise Refusal(self.refused(131047))
        return _cloud_sent(asked.body, reference)

    def _sms(self, body: Mapping[str, Any], reference: str) -> Sent:
        if not re.fullmatch(r"\+[0-9]{6,15}", str(body.get("to", ""))) or not body.get("text"):
            raise Refusal(self._error(400, "PARAM_INVALID"))
        return Sent(f"sms:{body['to']}", body["text"], reference, body=body)

    def taken(self, sent: Sent) -> web.Response:
        answer = {"id": sent.reference, "status": "accepted", "externalId": sent.body.get("externalId")}
        return web.json_response(answer)

    def refused(self, code: int | str) -> web.Response:
        if isinstance(code, int):
            inner = {"code": code, "message": "an error of Meta's"}
            return self._error(400, "WHATSAPP_ERROR", inner=inner)
        return self._error(401 if code == "UNAUTHORIZED" else 403, code)

    def throttled(self, retry_after_s: int | None) -> web.Response:
        headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
        return self._error(429, "ACCOUNT_RATE_LIMITED", headers=headers)

    @staticmethod
    def _error(
        status: int,
        code: str,
        headers: Mapping[str, str] | None = None,
        inner: Mapping[str, Any] | None = None,
    ) -> web.Response:
        error: dict[str, Any] = {
            "status": status,
            "code": code,
            "message": code.lower(),
            "requestId": "fake",
            "whatsappApiError": inner,
        }
        return web.json_response({"error": error}, status=status, headers=headers)


class FakeTwilio(FakeProvider):
    """`POST /2010-04-01/Accounts/{sid}/Messages.json` with Basic auth, for WhatsApp and SMS.

    `contents` holds the content templates by SID: "card" (quick reply: {{1}} body, {{2}}, {{3}} ids of the
    buttons) or "window" (approved). `window_open = False`: on WhatsApp only "window" templates are taken.
    """

    def __init__(self, sid: str = "AC" + "0f" * 16, credential: str = "fake-twilio-auth-token") -> None:
        super().__init__()
        self.sid = sid
        self.credential = credential
        self.contents: dict[str, str] = {}
        self.window_open = True

    def reference(self, number: int) -> str:
        return f"SM{number:032x}"

    def check(self, asked: Asked) -> None:
        login = base64.b64encode(f"{self.sid}:{self.credential}".encode()).decode()
        if asked.headers.get("authorization") != f"Basic {login}":
            raise Refusal(self._error(401, 20003, "Authenticate"))
        if asked.path != f"/2010-04-01/Accounts/{self.sid}/Messages.json":
            raise Refusal(self._error(404, 20404, "The requested resource was not found"))

    def read(self, asked: Asked, reference: str) -> Sent | None:
        body = asked.body
        to, content = str(body.get("To", "")), body.get("ContentSid")
        if not re.fullmatch(r"(whatsapp:)?\+[0-9]{6,15}", to):
            raise Refusal(self._error(400, 21211, f"The 'To' number {to} is not a valid phone number."))
        if not (body.get("From") or body.get("MessagingServiceSid")):
            raise Refusal(self._error(400, 21603, "A 'From' phone number is required"))
        kind = self.contents.get(content) if content else None
        if not self.window_open and to.startswith("whatsapp:") and kind != "window":
            raise Refusal(self.refused(63016))
        if content:
            return self._templated(kind, body, reference)
        if not 0 < len(body.get("Body", "")) <= 1600:
            raise Refusal(self._error(400, 21617, "The message body exceeds the 1600 character limit"))
        return Sent(to, body["Body"], reference, body=body)

    def _templated(self, kind: str | None, body: Mapping[str, Any], reference: str) -> Sent:
        values = json.loads(body.get("ContentVariables", "{}"))
        if kind is None or not 0 < len(values.get("1", "")) <= _LONGEST_CARD:
            raise Refusal(self._error(400, 21656, "The ContentVariables parameter is invalid"))
        if kind == "window":
            return Sent(body["To"], values["1"], reference, body=body)
        if not all(0 < len(values.get(name, "")) <= 200 for name in ("2", "3")):
            raise Refusal(self._error(400, 21656, "The ContentVariables parameter is invalid"))
        buttons = (("Confirmar", values["2"]), ("Cancelar", values["3"]))
        return Sent(body["To"], values["1"], reference, buttons, body)

    def taken(self, sent: Sent) -> web.Response:
        answer = {"sid": sent.reference, "status": "queued", "to": sent.to, "error_code": None}
        return web.json_response(answer, status=201)

    def refused(self, code: int | str) -> web.Response:
        status = {20003: 401, 20429: 429, 20500: 500}.get(int(code), 400)
        return self._error(status, int(code), "an error of this kind")

    def throttled(self, retry_after_s: int | None) -> web.Response:
        headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
        return self._error(429, 20429, "Too Many Requests", headers)

    @staticmethod
    def _error(status: int, code: int, words: str, headers: Mapping[str, str] | None = None) -> web.Response:
        more = f"https://www.twilio.com/docs/errors/{code}"
        error = {"code": code, "message": words, "more_info": more, "status": status}
        return web.json_response(error, status=status, headers=headers)
