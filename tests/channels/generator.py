"""Our own webhook vectors: authentic requests, made with the reference libraries and with plain hmac, and what
forgers make of them. `python -m tests.channels.generator` writes them to vectors.json.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

from .reference import MAKERS

FILE = Path(__file__).with_name("vectors.json")

NOW = 1_795_305_600
URL = "https://agent.example.com/provider/inbound"
SECRET = "a-secret-for-the-tests-0001"
OLD = "a-secret-for-the-tests-0000"
STANDARD_SECRET = "whsec_" + base64.b64encode(SECRET.encode()).decode()
STANDARD_OLD = "whsec_" + base64.b64encode(OLD.encode()).decode()
FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True)
class Case:
    """An authentic request. `headers` makes them for a secret, a body, a time and a URL.

    `lists` is true where the header may hold several signatures, spaces between.
    """

    provider: str
    body: bytes
    headers: Callable[[str, bytes, str, str], dict[str, str]]
    expected: dict[str, Any]
    signature: str
    timestamp: str | None = None
    signs_body: bool = True
    secret: str = SECRET
    old: str = OLD
    url: str = URL
    tag: str = ""
    lists: bool = False

    def vector(self, name: str, valid: bool, **changes: Any) -> dict[str, Any]:
        """The case as a vector; `changes` may be body, headers (a dict or a list), now, secrets…"""
        body = changes.pop("body", self.body)
        headers = changes.pop("headers", None)
        if headers is None:
            headers = self.headers(self.secret, self.body, str(NOW), self.url)
        listed = headers if isinstance(headers, list) else list(headers.items())
        found: dict[str, Any] = {
            "provider": self.provider,
            "name": f"{self.tag}{name}",
            "scheme": "ours",
            "valid": valid,
            "method": "POST",
            "url": self.url,
            "headers": {},
            "headers_list": listed,
            "body_b64": base64.b64encode(body).decode(),
            "secrets": [self.secret],
            "now": NOW,
            "tolerance_sec": 1 if self.provider == "messagebird" else 300,
        }
        return found | (self.expected if valid else {}) | changes


def mac(secret: str | bytes, content: bytes, digest: str = "sha256") -> bytes:
    key = secret.encode() if isinstance(secret, str) else secret
    return hmac.new(key, content, digest).digest()


def b64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def timed(prefix: str) -> Callable[[str, bytes, str, str], dict[str, str]]:
    def headers(secret: str, body: bytes, at: str, url: str) -> dict[str, str]:
        value = "sha256=" + mac(secret, f"{at}.".encode() + body).hex()
        return {f"X-{prefix}-Timestamp": at, f"X-{prefix}-Signature": value}

    return headers


def ycloud_headers(secret: str, body: bytes, at: str, url: str) -> dict[str, str]:
    return {"YCloud-Signature": f"t={at},s={mac(secret, f'{at}.'.encode() + body).hex()}"}


def slack_headers(secret: str, body: bytes, at: str, url: str) -> dict[str, str]:
    value = "v0=" + mac(secret, f"v0:{at}:".encode() + body).hex()
    kind = "application/json" if body.startswith(b"{") else FORM
    return {"X-Slack-Request-Timestamp": at, "X-Slack-Signature": value, "Content-Type": kind}


def standard_headers(family: str) -> Callable[[str, bytes, str, str], dict[str, str]]:
    def headers(secret: str, body: bytes, at: str, url: str) -> dict[str, str]:
        key = base64.b64decode(secret.removeprefix("whsec_"))
        value = "v1," + b64(mac(key, f"msg_1.{at}.".encode() + body))
        return {f"{family}-id": "msg_1", f"{family}-timestamp": at, f"{family}-signature": value}

    return headers


def bird_headers(secret: str, body: bytes, at: str, url: str) -> dict[str, str]:
    value = b64(mac(secret, f"{at}\n{url}\n".encode() + hashlib.sha256(body).digest()))
    return {"messagebird-request-timestamp": at, "messagebird-signature": value}


def meta_headers(secret: str, body: bytes, at: str, url: str) -> dict[str, str]:
    return {"X-Hub-Signature-256": "sha256=" + mac(secret, body).hex()}


def twilio_headers(secret: str, body: bytes, at: str, url: str) -> dict[str, str]:
    kind, tail = "application/json", ""
    if not body.startswith(b"{"):
        pairs = parse_qsl(body.decode(), keep_blank_values=True)
        kind, tail = FORM, "".join(name + value for name, value in sorted(set(pairs)))
    value = b64(mac(secret, (url + tail).encode(), "sha1"))
    return {"X-Twilio-Signature": value, "Content-Type": kind + "; charset=UTF-8"}


def plain(name: str) -> Callable[[str, bytes, str, str], dict[str, str]]:
    return lambda secret, body, at, url: {name: secret}


def jwt(claims: dict[str, Any], secret: str, algorithm: str = "HS256") -> str:
    def part(value: bytes) -> bytes:
        return base64.urlsafe_b64encode(value).rstrip(b"=")

    head = part(json.dumps({"alg": algorithm, "typ": "JWT"}).encode())
    signed = head + b"." + part(json.dumps(claims).encode())
    digest = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}.get(algorithm)
    return (signed + b"." + (part(mac(secret, signed, digest)) if digest else b"")).decode()


def claims_for(body: bytes, at: int, url: str) -> dict[str, Any]:
    claims = {"iss": "MessageBird", "nbf": at, "exp": at + 60, "jti": "one-token"}
    claims["url_hash"] = hashlib.sha256(url.encode()).hexdigest()
    return claims | ({"payload_hash": hashlib.sha256(body).hexdigest()} if body else {})


def messagebird_headers(secret: str, body: bytes, at: str, url: str) -> dict[str, str]:
    return {"MessageBird-Signature-JWT": jwt(claims_for(body, int(at), url), secret)}


def cloud(*messages: dict[str, Any], **value: Any) -> dict[str, Any]:
    """A Cloud API body with these messages."""
    inner = {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "15550001111", "phone_number_id": "777"},
        "contacts": [{"profile": {"name": "Ana"}, "wa_id": "5215500000001", "user_id": "MX.100"}],
        "messages": list(messages),
    } | value
    change = {"field": "messages", "value": inner}
    return {"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [change]}]}


def wa_text(number: int = 1, /, **more: Any) -> dict[str, Any]:
    base = {"from": "5215500000001", "from_user_id": "MX.100", "id": f"wamid.{number}", "timestamp": "1"}
    return base | {"type": "text", "text": {"body": f"¿hola {number}?"}} | more


def interactive_body() -> dict[str, Any]:
    reply = {"id": "confirm:K7QF2M9X", "title": "Confirmar"}
    return wa_text(7, type="interactive", interactive={"type": "button_reply", "button_reply": reply})


def dumps(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


OURS = dumps({"message_id": "m-1", "from": "ana", "text": "¿qué tal?"})
OURS_SAY = {"event": "text", "message_id": "m-1", "sender": "ana", "text": "¿qué tal?"}
TWILIO_FORM = urlencode(
    {"MessageSid": "SM1", "From": "whatsapp:+52155", "To": "whatsapp:+1415", "Body": " sí ", "FromZip": ""}
).encode()
TWILIO_JSON = dumps({"MessageSid": "SM2", "From": "+1", "To": "+2", "Body": "ñ"})
TWILIO_JSON_URL = f"{URL}?bodySHA256={hashlib.sha256(TWILIO_JSON).hexdigest()}"
YCLOUD = dumps(
    {
        "id": "evt_1",
        "type": "whatsapp.inbound_message.received",
        "whatsappInboundMessage": {
            "id": "x",
            "from": "+52155",
            "fromUserId": "MX.7",
            "to": "+1415",
            "type": "text",
            "text": {"body": "hola"},
        },
    }
)
STANDARD = dumps({"type": "message.received", "data": {"from": "ana", "text": "hola ñ"}})
TELEGRAM = dumps(
    {
        "update_id": 9,
        "message": {
            "message_id": 1,
            "from": {"id": 5, "is_bot": False, "first_name": "Ana"},
            "chat": {"id": 5, "type": "private"},
            "text": "hola",
        },
    }
)
SLACK = dumps(
    {
        "type": "event_callback",
        "team_id": "T1",
        "event_id": "Ev1",
        "event": {"type": "message", "channel_type": "im", "channel": "D1", "user": "U1", "text": "hola"},
    }
)
SLACK_PRESS = urlencode(
    {
        "payload": json.dumps(
            {
                "type": "block_actions",
                "user": {"id": "U1"},
                "team": {"id": "T1"},
                "trigger_id": "1.2",
                "channel": {"id": "D1"},
                "actions": [{"action_id": "a", "value": "confirm:K7QF2M9X", "text": {"text": "Confirmar"}}],
            }
        )
    }
).encode()
CHATWOOT = dumps(
    {
        "event": "message_created",
        "id": 31,
        "content": "hola",
        "message_type": "incoming",
        "private": False,
        "sender": {"id": 8, "name": "Ana", "phone_number": "+52155", "type": "contact"},
        "conversation": {"id": 42},
        "account": {"id": 1},
    }
)
BIRD = dumps(
    {
        "event": "whatsapp.inbound",
        "payload": {
            "id": "b-1",
            "channelId": "c-1",
            "body": {"type": "text", "text": {"text": "hola"}},
            "sender": {"contact": {"identifierValue": "+52155"}},
        },
    }
)
MESSAGEBIRD = dumps(
    {
        "type": "message.created",
        "conversation": {"id": "conv"},
        "contact": {"id": "con", "displayName": "Ana"},
        "message": {
            "id": "mb-1",
            "channelId": "ch",
            "direction": "received",
            "type": "text",
            "from": "+52155",
            "content": {"text": "hola"},
        },
    }
)
META = dumps(cloud(wa_text()))
META_SAYS = {"event": "text", "message_id": "wamid.1", "sender": "5215500000001", "text": "¿hola 1?"}


def says(message_id: str, sender: str, text: str = "hola", event: str = "text") -> dict[str, Any]:
    return {"event": event, "message_id": message_id, "sender": sender, "text": text}


TOKEN = "X-Telegram-Bot-Api-Secret-Token"
CASES = [
    Case(
        "generic",
        OURS,
        timed("Provider"),
        OURS_SAY,
        "X-Provider-Signature",
        "X-Provider-Timestamp",
        lists=True,
    ),
    Case(
        "n8n", OURS, timed("Provider"), OURS_SAY, "X-Provider-Signature", "X-Provider-Timestamp", lists=True
    ),
    Case("n8n", OURS, plain("X-N8N-Secret"), OURS_SAY, "X-N8N-Secret", signs_body=False, tag="static_"),
    Case("twilio", TWILIO_FORM, twilio_headers, says("SM1", "whatsapp:+52155", " sí "), "X-Twilio-Signature"),
    Case(
        "twilio",
        TWILIO_JSON,
        twilio_headers,
        says("SM2", "+1", "ñ"),
        "X-Twilio-Signature",
        url=TWILIO_JSON_URL,
        tag="json_",
    ),
    Case("meta", META, meta_headers, META_SAYS, "X-Hub-Signature-256"),
    Case("ycloud", YCLOUD, ycloud_headers, says("evt_1", "+52155"), "YCloud-Signature", "YCloud-Signature"),
    Case(
        "standard",
        STANDARD,
        standard_headers("webhook"),
        says("msg_1", "ana", "hola ñ"),
        "webhook-signature",
        "webhook-timestamp",
        secret=STANDARD_SECRET,
        old=STANDARD_OLD,
        lists=True,
    ),
    Case(
        "svix",
        STANDARD,
        standard_headers("svix"),
        says("msg_1", "ana", "hola ñ"),
        "svix-signature",
        "svix-timestamp",
        secret=STANDARD_SECRET,
        old=STANDARD_OLD,
        lists=True,
    ),
    Case("telegram", TELEGRAM, plain(TOKEN), says("9", "5"), TOKEN, signs_body=False),
    Case("slack", SLACK, slack_headers, says("Ev1", "U1"), "X-Slack-Signature", "X-Slack-Request-Timestamp"),
    Case(
        "slack",
        SLACK_PRESS,
        slack_headers,
        says("1.2", "U1", "Confirmar", "button_reply") | {"reply_id": "confirm:K7QF2M9X"},
        "X-Slack-Signature",
        "X-Slack-Request-Timestamp",
        tag="press_",
    ),
    Case(
        "chatwoot",
        CHATWOOT,
        timed("Chatwoot"),
        says("31", "+52155"),
        "X-Chatwoot-Signature",
        "X-Chatwoot-Timestamp",
    ),
    Case("360dialog", META, plain("X-Callback-Token"), META_SAYS, "X-Callback-Token", signs_body=False),
    Case(
        "bird",
        BIRD,
        bird_headers,
        says("b-1", "+52155"),
        "messagebird-signature",
        "messagebird-request-timestamp",
    ),
    Case(
        "messagebird", MESSAGEBIRD, messagebird_headers, says("mb-1", "+52155"), "MessageBird-Signature-JWT"
    ),
]


def vectors() -> Iterator[dict[str, Any]]:
    """Every authentic case, and each forgery that fits its scheme."""
    for case in CASES:
        yield from _authentic(case)
        yield from _forged(case)
        if case.timestamp:
            yield from _about_time(case)
        if case.signs_body:
            yield case.vector("tampered_body", False, body=case.body + b" ")


def _authentic(case: Case) -> Iterator[dict[str, Any]]:
    yield case.vector("valid", True)
    if case.provider in MAKERS:
        package, make = MAKERS[case.provider]
        made = make(case.secret, case.body, NOW, case.url)
        yield case.vector(f"valid_by_{package}", True, headers=made, verified_by=package)
    yield case.vector("valid_while_rotating", True, secrets=[case.old, case.secret])
    headers = case.headers(case.secret, case.body, str(NOW), case.url)
    yield case.vector(
        "valid_whatever_the_header_case", True, headers={k.upper(): v for k, v in headers.items()}
    )


def _forged(case: Case) -> Iterator[dict[str, Any]]:
    headers = case.headers(case.secret, case.body, str(NOW), case.url)
    good = headers[case.signature]
    others = {name: value for name, value in headers.items() if name != case.signature}
    yield case.vector("signature_missing", False, headers=others)
    for name, value in {
        "signature_empty": "",
        "signature_cut": good[:-1],
        "signature_longer": good + "0",
        "signature_é": "é" + good,
        **({} if case.lists else {"signature_with_space": " " + good}),
        "signature_repeated_inside": f"{good}{good}",
        "signature_text": "x",
    }.items():
        yield case.vector(name, False, headers={**others, case.signature: value})
    twice = [*headers.items(), (case.signature.lower(), good)]
    yield case.vector("signature_twice", False, headers=twice)
    yield case.vector("other_secret", False, secrets=[case.old])
    yield case.vector("no_secret", False, secrets=[])
    yield case.vector("blank_secret", False, secrets=["", "  "])
    empty = case.headers("", case.body, str(NOW), case.url)
    yield case.vector("signed_with_the_empty_secret", False, headers=empty, secrets=[""])


def _about_time(case: Case) -> Iterator[dict[str, Any]]:
    for shift in (-300, 300):
        headers = case.headers(case.secret, case.body, str(NOW + shift), case.url)
        yield case.vector(f"valid_at_the_edge_{shift}", True, headers=headers)
    for shift in (-301, 301, -(10**6)):
        headers = case.headers(case.secret, case.body, str(NOW + shift), case.url)
        yield case.vector(f"time_{shift}", False, headers=headers)
    for name, text in {
        "arabic": "".join(chr(0x660 + int(digit)) for digit in str(NOW)),
        "float": f"{NOW}.0",
        "plus": f"+{NOW}",
        "underscore": f"{NOW // 10}_{NOW % 10}",
        "nan": "nan",
        "empty": "",
        "milliseconds": f"{NOW}000",
        "newline": f"{NOW}\n",
        "huge": "9" * 500,
    }.items():
        headers = case.headers(case.secret, case.body, text, case.url)
        yield case.vector(f"time_{name}", False, headers=headers)
    if case.timestamp and case.timestamp != case.signature:
        headers = case.headers(case.secret, case.body, str(NOW), case.url)
        swapped = {**headers, case.timestamp: str(NOW - 1)}
        yield case.vector("time_swapped_after_signing", False, headers=swapped)


def written() -> str:
    """The file: one vector a line, so that a change shows as the lines it changes."""
    lines = [json.dumps(vector, ensure_ascii=False, sort_keys=True) for vector in vectors()]
    return "[\n" + ",\n".join(lines) + "\n]\n"


if __name__ == "__main__":
    FILE.write_text(written(), "utf-8")
