"""The doubles keep the providers' limits: what a real one would not take, they don't take either."""

import base64
from urllib.parse import urlencode

import pytest

from llm_planner.delivery.http import Request, as_json
from llm_planner.testing.providers import (
    FakeChatwoot,
    FakeMeta,
    FakeSlack,
    FakeTelegram,
    FakeTwilio,
    FakeYCloud,
)

ERRORS = {
    "long text": (131009, "PARAM_INVALID", 400, "invalid_blocks"),
    "long title": (131009, "PARAM_INVALID", None, "invalid_blocks"),
    "long payload": (131009, "PARAM_INVALID", 400, "invalid_blocks"),
    "no recipient": (131009, "PARAM_INVALID", 400, "channel_not_found"),
}
CASES = list(ERRORS)


def shape(case):
    """Text, title, payload and recipient, one of them too much."""
    text, title, payload = "Hola", "Confirmar", "confirm:K7QF2M9X"
    if case == "long text":
        text = "x" * 4097
    if case == "long title":
        title = "x" * 76
    if case == "long payload":
        payload = "x" * 2001
    return text, title, payload, case != "no recipient"


def cloud(case):
    text, title, payload, to = shape(case)
    buttons = [{"type": "reply", "reply": {"id": payload, "title": title}}]
    card = {"type": "button", "body": {"text": text}, "action": {"buttons": buttons}}
    body = {"messaging_product": "whatsapp", "from": "+1", "type": "interactive", "interactive": card}
    return body | ({"to": "52155"} if to else {})


@pytest.mark.parametrize("case", CASES)
async def test_meta_refuses_what_is_too_much(outlet, case):
    async with FakeMeta() as double:
        headers = {"Authorization": f"Bearer {double.credential}"}
        answer = await outlet.post(as_json(f"{double.url}/1/messages", cloud(case), headers))
        assert (answer.status, answer.data["error"]["code"]) == (400, ERRORS[case][0])
        assert double.sent == []


@pytest.mark.parametrize("case", CASES)
async def test_ycloud_refuses_what_is_too_much(outlet, case):
    async with FakeYCloud() as double:
        url = f"{double.url}/whatsapp/messages"
        answer = await outlet.post(as_json(url, cloud(case), {"X-API-Key": double.credential}))
        assert (answer.status, answer.data["error"]["code"]) == (400, ERRORS[case][1])
        assert double.sent == []


@pytest.mark.parametrize("case", [case for case in CASES if case != "long title"])
async def test_telegram_refuses_what_is_too_much(outlet, case):
    text, title, payload, to = shape(case)
    keyboard = {"inline_keyboard": [[{"text": title, "callback_data": payload}]]}
    body = {"text": text, "reply_markup": keyboard} | ({"chat_id": "1"} if to else {})
    async with FakeTelegram() as double:
        answer = await outlet.post(as_json(f"{double.url}/bot{double.credential}/sendMessage", body, {}))
        assert (answer.status, answer.data["ok"]) == (ERRORS[case][2], False)
        assert double.sent == []


@pytest.mark.parametrize("case", CASES)
async def test_slack_refuses_what_is_too_much(outlet, case):
    text, title, payload, to = shape(case)
    button = {
        "type": "button",
        "action_id": "a",
        "value": payload,
        "text": {"type": "plain_text", "text": title},
    }
    blocks = [
        {"type": "section", "text": {"type": "mrkdwn", "text": text}},
        {"type": "actions", "elements": [button]},
    ]
    body = {"text": text, "blocks": blocks} | ({"channel": "D1"} if to else {})
    async with FakeSlack() as double:
        headers = {"Authorization": f"Bearer {double.credential}"}
        answer = await outlet.post(as_json(f"{double.url}/chat.postMessage", body, headers))
        assert (answer.status, answer.data["error"]) == (200, ERRORS[case][3])
        assert double.sent == []


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"Body": "x" * 1601}, 21617),
        ({"Body": "Hola", "To": "whatsapp:someone"}, 21211),
        ({"Body": "Hola", "From": ""}, 21603),
        ({"ContentSid": "HX404", "ContentVariables": "{}"}, 21656),
        ({"ContentSid": "HXcard", "ContentVariables": '{"1":"Hola"}'}, 21656),
    ],
)
async def test_twilio_refuses_what_is_too_much(outlet, more, code):
    async with FakeTwilio() as double:
        double.contents["HXcard"] = "card"
        login = base64.b64encode(f"{double.sid}:{double.credential}".encode()).decode()
        headers = {"Authorization": f"Basic {login}", "Content-Type": "application/x-www-form-urlencoded"}
        form = {"To": "whatsapp:+5215512345678", "From": "whatsapp:+1", **more}
        url = f"{double.url}/2010-04-01/Accounts/{double.sid}/Messages.json"
        answer = await outlet.post(Request(url, urlencode(form).encode(), headers))
        assert (answer.status, answer.data["code"]) == (400, code)
        assert double.sent == []


async def test_chatwoot_refuses_what_is_not_an_outgoing_message(outlet):
    async with FakeChatwoot() as double:
        url = f"{double.url}/api/v1/accounts/1/conversations/2/messages"
        body = {"content": "Hola", "message_type": "incoming", "private": False}
        answer = await outlet.post(as_json(url, body, {"api_access_token": double.credential}))
        assert answer.status == 422
        assert double.sent == []
