"""What the provider tests share: each provider as its users see it, signed requests in, its double's messages out."""

import base64
import hmac
import itertools
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import urlencode

from llm_planner.channels.composing import Stored, compose
from llm_planner.channels.signing import Unsigned, sign
from llm_planner.provider_settings import WEBHOOK_SECRETS
from llm_planner.testing.providers import (
    Fake360Dialog,
    FakeChatwoot,
    FakeMeta,
    FakeProvider,
    FakeReceiver,
    FakeSlack,
    FakeTelegram,
    FakeTwilio,
    FakeYCloud,
    Sent,
)

BASE = "https://agent.example.com"
SECRET = "a-webhook-secret-for-the-tests"
TWILIO_SID = "AC" + "0f" * 16


def mac(content: bytes, digest: str = "sha256", secret: str = SECRET) -> bytes:
    return hmac.new(secret.encode(), content, digest).digest()


@dataclass
class Signed:
    """A webhook request: path below the public address, headers and body."""

    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Person:
    """One user of one provider; writes, presses buttons, and reads what the double took."""

    name: ClassVar[str]
    expected: ClassVar[int] = 200
    reports: ClassVar[bool] = False
    double: FakeProvider
    number: int = 1
    _ids: Any = field(default_factory=lambda: itertools.count(1))

    def settings(self) -> dict[str, Any]:
        raise NotImplementedError

    @property
    def address(self) -> str:
        """What the double sees as the recipient."""
        raise NotImplementedError

    def fresh(self) -> str:
        return f"{self.number:03}{next(self._ids):05}"

    def says(self, text: str, message_id: str | None = None) -> Signed:
        raise NotImplementedError

    def presses(self, payload: str, title: str = "Confirmar", message_id: str | None = None) -> Signed:
        raise NotImplementedError

    def status(self, sent: Sent, state: str, key: str = "", code: str = "131026") -> Signed:
        """A report about a message; `key` is what we gave along, `code` why it failed."""
        raise NotImplementedError

    def sent(self) -> list[Sent]:
        return [item for item in self.double.sent if item.to == self.address]


class TwilioPerson(Person):
    name = "twilio"
    reports = True

    def settings(self) -> dict[str, Any]:
        assert isinstance(self.double, FakeTwilio)
        self.double.contents["HXcard"] = "card"
        return {
            "twilio_auth_token": self.double.credential,
            "twilio_account_sid": self.double.sid,
            "twilio_from": "whatsapp:+14155238886",
            "twilio_card_content_sid": "HXcard",
        }

    @property
    def address(self) -> str:
        return f"whatsapp:+5215550000{self.number:03}"

    def _signed(self, fields: Mapping[str, str]) -> Signed:
        path = "/provider/twilio/inbound"
        tail = "".join(name + value for name, value in sorted(fields.items()))
        value = base64.b64encode(
            mac((BASE + path + tail).encode(), "sha1", vars(self.double)["credential"])
        ).decode()
        kind = "application/x-www-form-urlencoded"
        return Signed(path, {"X-Twilio-Signature": value, "Content-Type": kind}, urlencode(fields).encode())

    def _fields(self, message_id: str | None) -> dict[str, str]:
        assert isinstance(self.double, FakeTwilio)
        return {
            "MessageSid": "SM" + (message_id or self.fresh()).rjust(32, "a"),
            "AccountSid": self.double.sid,
            "From": self.address,
            "To": "whatsapp:+14155238886",
            "NumMedia": "0",
        }

    def says(self, text: str, message_id: str | None = None) -> Signed:
        return self._signed(self._fields(message_id) | {"Body": text})

    def presses(self, payload: str, title: str = "Confirmar", message_id: str | None = None) -> Signed:
        fields = {"Body": title, "ButtonText": title, "ButtonPayload": payload}
        return self._signed(self._fields(message_id) | fields)

    def status(self, sent: Sent, state: str, key: str = "", code: str = "63024") -> Signed:
        assert isinstance(self.double, FakeTwilio)
        more = {"ErrorCode": code} if state == "failed" else {}
        fields = {"MessageSid": sent.reference, "MessageStatus": state, "AccountSid": self.double.sid}
        return self._signed(fields | more)


class MetaPerson(Person):
    name = "meta"
    reports = True

    def settings(self) -> dict[str, Any]:
        return {
            "whatsapp_app_secret": SECRET,
            "whatsapp_verify_token": "a-verify-token-of-ours",
            "whatsapp_access_token": vars(self.double)["credential"],
            "whatsapp_phone_number_id": "777",
        }

    @property
    def address(self) -> str:
        return f"5215550000{self.number:03}"

    def signed(self, *values: Mapping[str, Any]) -> Signed:
        metadata = {"display_phone_number": "15550001111", "phone_number_id": "777"}
        changes = [
            {"field": "messages", "value": {"messaging_product": "whatsapp", "metadata": metadata, **value}}
            for value in values
        ]
        body = {"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": changes}]}
        raw = json.dumps(body).encode()
        header = {"X-Hub-Signature-256": "sha256=" + mac(raw).hex(), "Content-Type": "application/json"}
        return Signed("/provider/meta/inbound", header, raw)

    def message(self, text: str, message_id: str | None = None) -> dict[str, Any]:
        return {
            "from": self.address,
            "id": f"wamid.in.{message_id or self.fresh()}",
            "timestamp": "1",
            "type": "text",
            "text": {"body": text},
        }

    def says(self, text: str, message_id: str | None = None) -> Signed:
        return self.signed({"messages": [self.message(text, message_id)]})

    def presses(self, payload: str, title: str = "Confirmar", message_id: str | None = None) -> Signed:
        message = self.message("", message_id) | {
            "type": "interactive",
            "interactive": {"type": "button_reply", "button_reply": {"id": payload, "title": title}},
            "context": {"from": "15550001111", "id": "wamid.card"},
        }
        del message["text"]
        return self.signed({"messages": [message]})

    def status(self, sent: Sent, state: str, key: str = "", code: str = "131026") -> Signed:
        found: dict[str, Any] = {
            "id": sent.reference,
            "status": state,
            "timestamp": "1",
            "recipient_id": self.address,
        }
        key = key or sent.body.get("biz_opaque_callback_data", "")
        found |= {"biz_opaque_callback_data": key} if key else {}
        found |= {"errors": [{"code": int(code)}]} if state == "failed" else {}
        return self.signed({"statuses": [found]})


class YCloudPerson(Person):
    name = "ycloud"
    reports = True

    def settings(self) -> dict[str, Any]:
        return {
            "ycloud_webhook_secret": SECRET,
            "ycloud_api_key": vars(self.double)["credential"],
            "ycloud_from": "+14155238886",
        }

    @property
    def address(self) -> str:
        return f"+5215550000{self.number:03}"

    def _signed(self, event_id: str, kind: str, more: Mapping[str, Any]) -> Signed:
        raw = json.dumps({"id": event_id, "type": kind, **more}).encode()
        at = str(int(time.time()))
        value = f"t={at},s={mac(f'{at}.'.encode() + raw).hex()}"
        return Signed(
            "/provider/ycloud/inbound", {"YCloud-Signature": value, "Content-Type": "application/json"}, raw
        )

    def _event(self, message_id: str | None, more: Mapping[str, Any]) -> Signed:
        name = message_id or self.fresh()
        message = {"id": f"m{name}", "wamid": f"wamid.{name}", "from": self.address, "to": "+14155238886"}
        inner = {"whatsappInboundMessage": {**message, **more}}
        return self._signed(f"evt_{name}", "whatsapp.inbound_message.received", inner)

    def says(self, text: str, message_id: str | None = None) -> Signed:
        return self._event(message_id, {"type": "text", "text": {"body": text}})

    def presses(self, payload: str, title: str = "Confirmar", message_id: str | None = None) -> Signed:
        chosen = {"type": "button_reply", "button_reply": {"id": payload, "title": title}}
        return self._event(message_id, {"type": "interactive", "interactive": chosen})

    def status(self, sent: Sent, state: str, key: str = "", code: str = "131026") -> Signed:
        message = {
            "id": sent.reference,
            "wamid": f"wamid.of.{sent.reference}",
            "status": state,
            "externalId": key or sent.body.get("externalId"),
            **({"errorCode": code} if state == "failed" else {}),
        }
        return self._signed(f"evt_{self.fresh()}", "whatsapp.message.updated", {"whatsappMessage": message})


class TelegramPerson(Person):
    name = "telegram"

    def settings(self) -> dict[str, Any]:
        return {
            "telegram_webhook_secret_token": SECRET,
            "telegram_bot_token": vars(self.double)["credential"],
        }

    @property
    def address(self) -> str:
        return str(1_000_000 + self.number)

    def _signed(self, more: Mapping[str, Any], message_id: str | None) -> Signed:
        raw = json.dumps({"update_id": int(message_id or self.fresh()), **more}).encode()
        header = {"X-Telegram-Bot-Api-Secret-Token": SECRET, "Content-Type": "application/json"}
        return Signed("/provider/telegram/inbound", header, raw)

    @property
    def _who(self) -> dict[str, Any]:
        chat = {"id": int(self.address), "type": "private"}
        return {"from": {"id": int(self.address), "is_bot": False, "first_name": "Ana"}, "chat": chat}

    def says(self, text: str, message_id: str | None = None) -> Signed:
        return self._signed({"message": {"message_id": 1, "date": 1, "text": text, **self._who}}, message_id)

    def presses(self, payload: str, title: str = "Confirmar", message_id: str | None = None) -> Signed:
        message = {"message_id": 2, "date": 1, "chat": self._who["chat"], "text": "…"}
        query = {"id": "77", "from": self._who["from"], "message": message, "data": payload}
        return self._signed({"callback_query": query}, message_id)


class SlackPerson(Person):
    name = "slack"

    def settings(self) -> dict[str, Any]:
        return {"slack_signing_secret": SECRET, "slack_bot_token": vars(self.double)["credential"]}

    @property
    def address(self) -> str:
        return f"D{self.number:08}"

    def _signed(self, raw: bytes, kind: str) -> Signed:
        at = str(int(time.time()))
        value = "v0=" + mac(f"v0:{at}:".encode() + raw).hex()
        headers = {"X-Slack-Request-Timestamp": at, "X-Slack-Signature": value, "Content-Type": kind}
        return Signed("/provider/slack/inbound", headers, raw)

    def says(self, text: str, message_id: str | None = None) -> Signed:
        event = {
            "type": "message",
            "channel_type": "im",
            "channel": self.address,
            "user": f"U{self.number:08}",
            "text": text,
            "ts": "1.1",
        }
        name = f"Ev{message_id or self.fresh()}"
        body = {"type": "event_callback", "event_id": name, "team_id": "T0001", "event": event}
        return self._signed(json.dumps(body).encode(), "application/json")

    def presses(self, payload: str, title: str = "Confirmar", message_id: str | None = None) -> Signed:
        action = {"action_id": "confirm", "value": payload, "text": {"type": "plain_text", "text": title}}
        body = {
            "type": "block_actions",
            "trigger_id": f"tr{message_id or self.fresh()}",
            "team": {"id": "T0001"},
            "user": {"id": f"U{self.number:08}", "team_id": "T0001"},
            "channel": {"id": self.address},
            "actions": [action],
        }
        raw = urlencode({"payload": json.dumps(body)}).encode()
        return self._signed(raw, "application/x-www-form-urlencoded")


PEOPLE: dict[str, tuple[type[Person], Callable[[], FakeProvider]]] = {
    "twilio": (TwilioPerson, lambda: FakeTwilio(TWILIO_SID)),
    "meta": (MetaPerson, FakeMeta),
    "ycloud": (YCloudPerson, FakeYCloud),
    "telegram": (TelegramPerson, FakeTelegram),
    "slack": (SlackPerson, FakeSlack),
}


class D360Person(MetaPerson):
    """The Cloud API's messages, with a header of ours in place of Meta's signature."""

    name = "360dialog"

    def settings(self) -> dict[str, Any]:
        return {"d360_webhook_secret": SECRET, "d360_api_key": vars(self.double)["credential"]}

    def signed(self, *values: Mapping[str, Any]) -> Signed:
        body = super().signed(*values).body
        header = {"X-Callback-Token": SECRET, "Content-Type": "application/json"}
        return Signed("/provider/360dialog/inbound", header, body)


class OwnPerson(Person):
    """One whose requests our own signer makes; replies go to GENERIC_REPLY_URL."""

    @property
    def secret(self) -> str:
        return SECRET

    def settings(self) -> dict[str, Any]:
        signs = {"standard_webhooks_secret": vars(self.double)["credential"]}
        return signs | {WEBHOOK_SECRETS[self.name]: self.secret, "generic_reply_url": self.double.url}

    @property
    def address(self) -> str:
        return f"user-{self.number}"

    def says(self, text: str, message_id: str | None = None) -> Signed:
        return self._made({}, text, message_id)

    def presses(self, payload: str, title: str = "Confirmar", message_id: str | None = None) -> Signed:
        return self._made({"reply_id": payload}, title, message_id)

    def _made(self, more: Mapping[str, Any], text: str, message_id: str | None) -> Signed:
        name = f"m{message_id or self.fresh()}"
        stored = Stored(name, "1", self.address, "", self.address, None, text)
        return self._signed(self.changed(json.loads(compose(self.name, stored)), more), name)

    def changed(self, body: dict[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
        """The body of a text as that of a pressed button, where `more` has its `reply_id`."""
        return body | more

    def _signed(self, body: Mapping[str, Any], name: str) -> Signed:
        raw = json.dumps(body).encode()
        url = f"{BASE}/provider/{self.name}/inbound"
        target, headers = sign(self.name, Unsigned(self.secret, url, raw, int(time.time()), name))
        return Signed(target.removeprefix(BASE), headers, raw)


class GenericPerson(OwnPerson):
    name = "generic"


class N8nPerson(OwnPerson):
    name = "n8n"


class StandardPerson(OwnPerson):
    name = "standard"

    @property
    def secret(self) -> str:
        return str(vars(self.double)["credential"])

    def changed(self, body: dict[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
        return {**body, "data": {**body["data"], **more}}


class BirdPerson(OwnPerson):
    """Its buttons don't come back: the verb is typed."""

    name = "bird"

    def presses(self, payload: str, title: str = "Confirmar", message_id: str | None = None) -> Signed:
        return self.says(payload.replace(":", " "), message_id)


class MessageBirdPerson(OwnPerson):
    name = "messagebird"

    def changed(self, body: dict[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
        if not more:
            return body
        reply = {"type": "button_reply", "reply": {"id": more["reply_id"], "text": "Confirmar"}}
        message = {**body["message"], "type": "interactive", "content": {"interactive": reply}}
        return {**body, "message": message}


class ChatwootPerson(OwnPerson):
    name = "chatwoot"

    def settings(self) -> dict[str, Any]:
        token = vars(self.double)["credential"]
        own = {"chatwoot_webhook_secret": SECRET, "chatwoot_base_url": self.double.url}
        return own | {"chatwoot_api_token": token}

    @property
    def address(self) -> str:
        return str(40 + self.number)

    def changed(self, body: dict[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
        if not more:
            return body
        values = {"submitted_values": [{"title": "Confirmar", "value": more["reply_id"]}]}
        conversation = {**body["conversation"], "meta": {"sender": body["sender"]}}
        told = {"event": "message_updated", "message_type": "outgoing", "content_type": "input_select"}
        return {**body, **told, "content_attributes": values, "conversation": conversation}


OTHERS: dict[str, tuple[type[Person], Callable[[], FakeProvider]]] = {
    "360dialog": (D360Person, Fake360Dialog),
    "generic": (GenericPerson, FakeReceiver),
    "n8n": (N8nPerson, FakeReceiver),
    "standard": (StandardPerson, FakeReceiver),
    "bird": (BirdPerson, FakeReceiver),
    "messagebird": (MessageBirdPerson, FakeReceiver),
    "chatwoot": (ChatwootPerson, FakeChatwoot),
}


async def deliver(client: Any, signed: Signed) -> tuple[int, bytes, Mapping[str, str]]:
    """POST a webhook request; status, body and headers of the answer."""
    async with client.http.post(client.url + signed.path, data=signed.body, headers=signed.headers) as answer:
        return answer.status, await answer.read(), answer.headers
