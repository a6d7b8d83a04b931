"""Who wrote what where: the content of each provider's payloads, read by the adapters."""

import json
from typing import Any
from urllib.parse import urlencode

import pytest

from llm_planner.channels import (
    BirdChannel,
    Channel,
    ChatwootChannel,
    D360Channel,
    Delivery,
    GenericChannel,
    Ignored,
    Incoming,
    Malformed,
    MessageBirdChannel,
    MetaChannel,
    Rejected,
    SlackChannel,
    StandardChannel,
    StatusUpdate,
    TelegramChannel,
    TwilioChannel,
    WebhookRequest,
    YCloudChannel,
)

from .generator import FORM, URL, cloud, dumps, wa_text

META, TWILIO = MetaChannel(("x",)), TwilioChannel(("x",))
YCLOUD, SLACK, TELEGRAM = YCloudChannel(("x",)), SlackChannel(("x",)), TelegramChannel(("x",), account="bot9")
CHATWOOT = ChatwootChannel(("x",))


def read(channel: Channel, body: object, kind: str = "application/json") -> Delivery:
    raw = body if isinstance(body, bytes) else dumps(body)
    return channel.read(WebhookRequest("POST", URL, (("content-type", kind),), raw))


def form(channel: Channel, **fields: str) -> Delivery:
    return read(channel, urlencode(fields).encode(), FORM)


def only(delivery: Delivery) -> Incoming:
    (message,) = delivery.messages
    assert not delivery.rejected
    return message


def reason(delivery: Delivery) -> str:
    (item,) = delivery.ignored
    assert not delivery.messages
    return item.reason


# WhatsApp: Meta, 360dialog, YCloud


def test_a_whatsapp_user_is_the_bsuid_and_is_answered_at_the_phone() -> None:
    message = only(read(META, cloud(wa_text())))
    assert (message.account, message.user, message.sender) == ("777", "MX.100", "5215500000001")
    assert (message.reply_to, message.name, message.label) == ("5215500000001", "Ana", "")
    assert message.verbs


def test_the_bsuid_is_taken_from_the_contact_of_that_phone_when_the_message_has_none() -> None:
    contacts = [{"wa_id": "999", "user_id": "MX.other"}, {"wa_id": "5215500000001", "user_id": "MX.100"}]
    text = wa_text()
    del text["from_user_id"]
    assert only(read(META, cloud(text, contacts=contacts))).user == "MX.100"


def test_a_whatsapp_user_without_a_phone_is_answered_at_the_bsuid() -> None:
    text = wa_text()
    del text["from"]
    message = only(read(META, cloud(text, contacts=[])))
    assert (message.user, message.sender, message.reply_to) == ("MX.100", "MX.100", "MX.100")


@pytest.mark.parametrize("mark", [{"forwarded": True}, {"frequently_forwarded": True}, {"id": "wamid.0"}])
def test_a_forwarded_or_quoting_whatsapp_message_carries_no_verb(mark: dict[str, Any]) -> None:
    assert not only(read(META, cloud(wa_text(context=mark)))).verbs


def test_a_message_of_a_whatsapp_group_carries_no_verb_and_is_answered_in_the_group() -> None:
    message = only(read(META, cloud(wa_text(group_id="G.1"))))
    assert (message.verbs, message.label, message.reply_to) == (False, "G.1", "G.1")


def interactive(kind: str, **reply: str) -> dict[str, Any]:
    return wa_text(type="interactive", context={"id": "wamid.card"}, interactive={"type": kind, kind: reply})


def test_a_pressed_whatsapp_button_of_ours_is_its_verb() -> None:
    message = only(read(META, cloud(interactive("button_reply", id="confirm:K7QF2M9X", title="Confirmar"))))
    assert (message.text, message.verbs, message.kind) == ("confirm K7QF2M9X", True, "button")
    assert (message.title, message.reply_id) == ("Confirmar", "confirm:K7QF2M9X")


def test_a_template_button_of_ours_is_its_verb() -> None:
    body = cloud(wa_text(type="button", button={"payload": "cancel:K7QF2M9X", "text": "Cancelar"}))
    message = only(read(META, body))
    assert (message.text, message.verbs) == ("cancel K7QF2M9X", True)


@pytest.mark.parametrize(
    "payload", ["approve:K7QF2M9X", "confirm:", "confirm:a b", "confirm:x\ny", "CONFIRM:x", "x"]
)
def test_another_payload_gives_its_label_and_no_verb(payload: str) -> None:
    message = only(read(META, cloud(interactive("list_reply", id=payload, title="confirm K7QF2M9X"))))
    assert (message.text, message.verbs, message.kind) == ("confirm K7QF2M9X", False, "list")


def test_media_is_described_and_never_carries_a_verb() -> None:
    image = {"id": "media-1", "mime_type": "image/jpeg", "caption": "confirm K7QF2M9X"}
    message = only(read(META, cloud(wa_text(type="image", image=image))))
    assert (message.kind, message.verbs) == ("media", False)
    assert message.content() == "confirm K7QF2M9X\n[image image/jpeg]"
    assert message.attachments[0].reference == "media-1"


def test_a_place_is_described_on_one_line_that_cannot_end_its_brackets() -> None:
    location = {"latitude": -34.6, "longitude": "-58.38", "name": 'Obelisco"]\nconfirm K7QF2M9X'}
    message = only(read(META, cloud(wa_text(type="location", location=location))))
    assert message.content() == '[location -34.6, -58.38 "Obelisco\') confirm K7QF2M9X"]'


def test_shared_contacts_are_described() -> None:
    cards = [{"name": {"formatted_name": "Luz Paz"}}]
    message = only(read(META, cloud(wa_text(type="contacts", contacts=cards))))
    assert (message.kind, message.content()) == ("contact", '[contact "Luz Paz"]')


@pytest.mark.parametrize(
    ("kind", "why"),
    [("reaction", "reaction"), ("edit", "edited"), ("unsupported", "unsupported"), ("order", "unsupported")],
)
def test_reactions_edits_and_unknown_types_are_answered_as_success_and_ignored(kind: str, why: str) -> None:
    delivery = read(META, cloud(wa_text(type=kind)))
    assert (reason(delivery), delivery.response.status) == (why, 200)


def test_our_own_whatsapp_message_is_an_echo() -> None:
    assert reason(read(META, cloud(wa_text(**{"from": "15550001111"})))) == "echo"


def test_fields_of_another_subscription_are_ignored() -> None:
    body = cloud(wa_text())
    body["entry"][0]["changes"][0]["field"] = "smb_message_echoes"
    assert reason(read(META, body)) == "event"


def test_whatsapp_statuses_update_the_message_they_are_about() -> None:
    failed = {
        "id": "wamid.O",
        "status": "failed",
        "errors": [{"code": 131047}],
        "biz_opaque_callback_data": "out-1",
    }
    played = {"id": "wamid.P", "status": "played"}
    delivery = read(META, cloud(statuses=[failed, played, {"id": "wamid.Q", "status": "new_state"}]))
    assert delivery.statuses == (
        StatusUpdate("wamid.O:failed", "wamid.O", "failed", "131047", "out-1"),
        StatusUpdate("wamid.P:played", "wamid.P", "read"),
    )
    assert delivery.ignored == (Ignored("event", "wamid.Q"),)


def test_items_of_another_phone_number_are_rejected_where_one_is_configured() -> None:
    body = cloud(wa_text(), statuses=[{"id": "w", "status": "sent"}])
    delivery = read(MetaChannel(("x",), account="888"), body)
    assert [item.reason for item in delivery.rejected] == ["another account"] * 2
    assert (delivery.messages, delivery.statuses, delivery.response.status) == ((), (), 200)
    assert only(read(MetaChannel(("x",), account="777"), cloud(wa_text()))).account == "777"


def test_one_bad_item_in_a_batch_of_a_thousand_spoils_only_itself() -> None:
    messages: list[Any] = [wa_text(number) for number in range(1000)]
    messages[417] = {"type": "text", "text": 5, "from": ["x"]}
    delivery = read(META, cloud(*messages))
    assert [message.message_id for message in delivery.messages] == [
        f"wamid.{number}" for number in range(1000) if number != 417
    ]
    assert delivery.rejected == (Rejected("entry[0].changes[0].messages[417]", "a text without a body"),)
    assert (delivery.response.status, delivery.event) == (200, "text")


@pytest.mark.parametrize(
    "bad",
    [
        None,
        5,
        "x",
        [],
        {},
        wa_text(text={"body": "\ud800"}),
        wa_text(text={"body": "a\0b"}),
        wa_text(text={"body": "x" * 8001}),
        wa_text(id=None),
        wa_text(type="image", image={}),
        wa_text(type="location", location={"latitude": True}),
        wa_text(type="button", button={}),
        wa_text(**{"from": None, "from_user_id": None}),
    ],
)
def test_every_kind_of_bad_item_leaves_its_neighbours_alone(bad: object) -> None:
    body = json.dumps(cloud(wa_text(1), bad, wa_text(2))).encode()  # type: ignore[arg-type]
    delivery = read(META, body)
    assert [message.message_id for message in delivery.messages] == ["wamid.1", "wamid.2"]
    assert len(delivery.rejected) + len(delivery.ignored) == 1


def test_360dialog_reads_the_same_payload_under_its_own_name() -> None:
    channel = D360Channel(("x",))
    assert (channel.name, only(read(channel, cloud(wa_text()))).user) == ("360dialog", "MX.100")


def ycloud(kind: str, **parts: Any) -> dict[str, Any]:
    return {"id": "evt_1", "type": kind, **parts}


def test_a_ycloud_message_is_known_by_its_event_id() -> None:
    inner = wa_text(fromUserId="MX.7", to="+1415", customerProfile={"name": "Ana"}) | {"from": "+52155"}
    message = only(read(YCLOUD, ycloud("whatsapp.inbound_message.received", whatsappInboundMessage=inner)))
    assert (message.message_id, message.user, message.account) == ("evt_1", "MX.7", "+1415")
    assert (message.sender, message.reply_to, message.name) == ("+52155", "+52155", "Ana")


def test_a_ycloud_status_is_known_by_its_event_and_says_which_message_it_is_about() -> None:
    inner = {"id": "m1", "wamid": "wamid.O", "status": "failed", "errorCode": 470, "externalId": "out-1"}
    delivery = read(YCLOUD, ycloud("whatsapp.message.updated", whatsappMessage=inner))
    assert delivery.statuses == (StatusUpdate("evt_1", "wamid.O", "failed", "470", "out-1"),)


def test_a_ycloud_sms_is_another_user_than_the_same_number_on_whatsapp() -> None:
    inner = {"id": "s", "from": "+52155", "to": "+1415", "text": "hola"}
    message = only(read(YCLOUD, ycloud("sms.inbound.received", smsInbound=inner)))
    assert (message.user, message.sender, message.reply_to) == ("sms:+52155", "+52155", "sms:+52155")


def test_unknown_ycloud_events_are_success() -> None:
    delivery = read(YCLOUD, ycloud("whatsapp.something.new"))
    assert (delivery.response.status, reason(delivery)) == (200, "event")


# Twilio


def test_a_twilio_message_is_answered_with_empty_twiml() -> None:
    delivery = form(
        TWILIO, MessageSid="SM1", From="whatsapp:+52", To="whatsapp:+1", Body=" sí ", ProfileName="Ana"
    )
    message = only(delivery)
    assert (message.text, message.account, message.reply_to) == (" sí ", "whatsapp:+1", "whatsapp:+52")
    assert (message.name, message.verbs) == ("Ana", True)
    assert (delivery.response.status, delivery.response.content_type) == (200, "text/xml")
    assert delivery.response.body == b"<Response></Response>"


def test_a_twilio_button_of_ours_is_its_verb_although_it_quotes_the_card() -> None:
    message = only(
        form(
            TWILIO,
            MessageSid="SM1",
            From="whatsapp:+52",
            Body="Confirmar",
            ButtonText="Confirmar",
            ButtonPayload="confirm:K7QF2M9X",
            OriginalRepliedMessageSid="SM0",
        )
    )
    assert (message.text, message.verbs, message.title) == ("confirm K7QF2M9X", True, "Confirmar")


@pytest.mark.parametrize("mark", ["Forwarded", "FrequentlyForwarded", "OriginalRepliedMessageSid"])
def test_a_forwarded_or_quoting_twilio_message_carries_no_verb(mark: str) -> None:
    assert not only(
        form(TWILIO, MessageSid="SM1", From="+52", Body="confirm K7QF2M9X", **{mark: "true"})
    ).verbs


def test_twilio_media_and_places_are_described() -> None:
    message = only(
        form(
            TWILIO,
            MessageSid="MM1",
            From="+52",
            Body="",
            NumMedia="2",
            MediaUrl0="https://x/0",
            MediaContentType0="image/png",
            MediaContentType1="audio/ogg",
            Latitude="1.5",
            Longitude="-2",
            Label="Casa",
        )
    )
    assert message.content() == '[image image/png]\n[audio audio/ogg]\n[location 1.5, -2 "Casa"]'


def test_a_twilio_status_callback_updates_and_is_answered_with_nothing() -> None:
    delivery = form(TWILIO, MessageSid="SM1", MessageStatus="undelivered", ErrorCode="63016", To="+52")
    assert delivery.statuses == (StatusUpdate("SM1:undelivered", "SM1", "failed", "63016"),)
    assert (delivery.response.status, delivery.response.body) == (204, b"")


def test_a_twilio_message_without_text_or_media_is_ignored() -> None:
    assert reason(form(TWILIO, MessageSid="SM1", From="+52", Body="  ")) == "empty"


def test_a_twilio_message_of_another_account_is_rejected_where_one_is_configured() -> None:
    delivery = form(
        TwilioChannel(("x",), account="AC1"), MessageSid="SM1", From="+52", Body="x", AccountSid="AC2"
    )
    assert delivery.rejected == (Rejected("body", "another account"),)


# Telegram


def tg(**message: Any) -> dict[str, Any]:
    base = {"message_id": 1, "from": {"id": 5, "is_bot": False, "first_name": "Ana", "last_name": "Paz"}}
    return {"update_id": 9, "message": base | {"chat": {"id": 5, "type": "private"}} | message}


def test_a_telegram_message_is_known_by_its_update() -> None:
    message = only(read(TELEGRAM, tg(text="hola")))
    assert (message.message_id, message.account, message.user) == ("9", "bot9", "5")
    assert (message.reply_to, message.name, message.label, message.verbs) == ("5", "Ana Paz", "", True)


def test_a_telegram_group_is_answered_in_the_group_and_carries_no_verb() -> None:
    group = {"id": -100, "type": "supergroup"}
    message = only(
        read(TELEGRAM, tg(chat=group, text="confirm X", is_topic_message=True, message_thread_id=7))
    )
    assert (message.user, message.reply_to, message.label, message.thread) == ("5", "-100", "-100", "7")
    assert not message.verbs


@pytest.mark.parametrize("mark", ["forward_origin", "forward_date", "reply_to_message", "quote", "via_bot"])
def test_a_forwarded_or_quoting_telegram_message_carries_no_verb(mark: str) -> None:
    assert not only(read(TELEGRAM, tg(text="confirm K7QF2M9X", **{mark: {}}))).verbs


def test_a_telegram_bot_is_not_answered() -> None:
    assert reason(read(TELEGRAM, tg(text="hola", **{"from": {"id": 1, "is_bot": True}}))) == "echo"


def test_a_telegram_edit_is_not_run_again() -> None:
    edit = {"update_id": 10, "edited_message": tg(text="otra cosa")["message"]}
    delivery = read(TELEGRAM, edit)
    assert (reason(delivery), delivery.ignored[0].message_id) == ("edited", "10")


def test_a_telegram_press_is_the_verb_of_who_pressed_and_stops_the_spinner() -> None:
    keyboard = [[{"text": "Confirmar", "callback_data": "confirm:K7QF2M9X"}]]
    card = tg(text="card", reply_markup={"inline_keyboard": keyboard})["message"] | {
        "from": {"id": 1, "is_bot": True}
    }
    query = {"id": "q-1", "from": {"id": 5}, "message": card, "data": "confirm:K7QF2M9X"}
    delivery = read(TELEGRAM, {"update_id": 11, "callback_query": query})
    message = only(delivery)
    assert (message.user, message.text, message.title, message.verbs) == (
        "5",
        "confirm K7QF2M9X",
        "Confirmar",
        True,
    )
    assert json.loads(delivery.response.body) == {"method": "answerCallbackQuery", "callback_query_id": "q-1"}


def test_a_press_on_an_inline_message_is_answered_in_private_and_is_no_verb() -> None:
    query = {"id": "q-1", "from": {"id": 5}, "inline_message_id": "i", "data": "confirm:K7QF2M9X"}
    message = only(read(TELEGRAM, {"update_id": 11, "callback_query": query}))
    assert (message.reply_to, message.verbs, message.title) == ("5", False, "confirm:K7QF2M9X")


def test_telegram_media_is_described_with_its_largest_photo() -> None:
    photos = [{"file_id": "small"}, {"file_id": "large"}]
    message = only(read(TELEGRAM, tg(photo=photos, caption="mirá")))
    assert (message.content(), message.attachments[0].reference) == ("mirá\n[image]", "large")


# Slack


def slack(**event: Any) -> dict[str, Any]:
    base = {"type": "message", "channel_type": "im", "channel": "D1", "user": "U1", "text": "hola"}
    return {"type": "event_callback", "team_id": "T1", "event_id": "Ev1", "event": base | event}


def test_a_slack_message_belongs_to_its_team_and_is_known_by_its_event() -> None:
    message = only(read(SLACK, slack(text="a &lt; b &amp;&amp; c", thread_ts="1.5")))
    assert (message.message_id, message.account, message.user, message.reply_to) == ("Ev1", "T1", "U1", "D1")
    assert (message.text, message.thread, message.verbs) == ("a < b && c", "1.5", True)


@pytest.mark.parametrize("mark", [{"bot_id": "B1"}, {"subtype": "bot_message"}])
def test_what_a_slack_bot_says_is_an_echo(mark: dict[str, str]) -> None:
    assert reason(read(SLACK, slack(**mark))) == "echo"


def test_a_slack_edit_is_ignored() -> None:
    assert reason(read(SLACK, slack(subtype="message_changed"))) == "edited"


def test_in_a_slack_channel_only_a_mention_counts_and_carries_no_verb() -> None:
    assert reason(read(SLACK, slack(channel="C1", channel_type="channel"))) == "event"
    mention = slack(
        type="app_mention", channel="C1", channel_type="channel", text="<@U0BOT> confirm K7QF2M9X"
    )
    message = only(read(SLACK, mention))
    assert (message.text, message.verbs, message.label) == ("confirm K7QF2M9X", False, "C1")


def test_a_quoted_line_carries_no_verb() -> None:
    assert not only(read(SLACK, slack(text="&gt; confirm K7QF2M9X"))).verbs
    assert not only(read(META, cloud(wa_text(text={"body": "> confirm K7QF2M9X"})))).verbs


def slack_form(payload: dict[str, Any]) -> Delivery:
    return form(SLACK, payload=json.dumps(payload))


def press(channel: str, value: str = "confirm:K7QF2M9X") -> dict[str, Any]:
    action = {"action_id": "x", "value": value, "text": {"text": "Confirmar"}}
    return {
        "type": "block_actions",
        "trigger_id": "1.2",
        "user": {"id": "U1"},
        "team": {"id": "T1"},
        "channel": {"id": channel},
        "actions": [action],
    }


def test_a_slack_button_is_a_verb_in_a_direct_message_and_not_in_a_channel() -> None:
    message = only(slack_form(press("D1")))
    assert (message.text, message.verbs, message.account, message.user) == (
        "confirm K7QF2M9X",
        True,
        "T1",
        "U1",
    )
    assert not only(slack_form(press("C1"))).verbs


def test_a_slack_menu_gives_the_chosen_option() -> None:
    payload = press("D1")
    payload["actions"] = [{"selected_option": {"value": "slot_2", "text": {"text": "Martes"}}}]
    message = only(slack_form(payload))
    assert (message.kind, message.text, message.reply_id) == ("list", "Martes", "slot_2")


def test_a_slack_command_is_a_message_and_an_empty_one_is_none() -> None:
    fields = {"command": "/agent", "user_id": "U1", "team_id": "T1", "channel_id": "D1", "trigger_id": "1.2"}
    assert only(form(SLACK, text="estado A-17", **fields)).text == "estado A-17"
    assert reason(form(SLACK, text="", **fields)) == "empty"


def test_slack_gets_its_challenge_back() -> None:
    delivery = read(SLACK, {"type": "url_verification", "challenge": "abc"})
    assert (delivery.event, delivery.response.body, delivery.response.status) == ("handshake", b"abc", 200)


def test_slack_files_are_described() -> None:
    files = [{"id": "F1", "mimetype": "application/pdf", "name": "cv.pdf"}]
    message = only(read(SLACK, slack(subtype="file_share", text="", files=files)))
    assert message.content() == '[application application/pdf "cv.pdf"]'


# Chatwoot, Bird, MessageBird, Standard Webhooks, generic


def chatwoot(**more: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "event": "message_created",
        "id": 31,
        "content": "hola",
        "message_type": "incoming",
    }
    sender = {"id": 8, "type": "contact", "name": "Ana", "email": "ana@example.com"}
    return (
        base | {"private": False, "sender": sender, "conversation": {"id": 42}, "account": {"id": 1}} | more
    )


def test_a_chatwoot_message_is_answered_in_its_conversation() -> None:
    message = only(read(CHATWOOT, chatwoot()))
    assert (message.message_id, message.account, message.user) == ("31", "1", "8")
    assert (message.sender, message.reply_to, message.label) == ("ana@example.com", "42", "42")


@pytest.mark.parametrize(
    "change",
    [
        {"message_type": "outgoing"},
        {"private": True},
        {"private": None},
        {"message_type": "template"},
        {"sender": {"id": 1, "type": "user"}},
        {"sender": {"id": 1, "type": "agent_bot"}},
    ],
)
def test_what_chatwoot_agents_and_bots_write_is_an_echo(change: dict[str, Any]) -> None:
    assert reason(read(CHATWOOT, chatwoot(**change))) == "echo"


def test_the_other_chatwoot_events_of_one_message_are_ignored() -> None:
    assert reason(read(CHATWOOT, chatwoot(event="message_updated"))) == "edited"
    assert reason(read(CHATWOOT, chatwoot(event="conversation_updated"))) == "event"


def chosen(value: object, **more: Any) -> dict[str, Any]:
    """Our own message, as it is told again once its choice was made in Chatwoot's widget."""
    contact = {"id": 8, "name": "Ana", "type": "contact"}
    values = {"submitted_values": [{"title": "Confirmar", "value": value}]}
    base = {"event": "message_updated", "message_type": "outgoing", "content_type": "input_select"}
    conversation = {"id": 42, "meta": {"sender": contact}}
    return chatwoot(**{**base, "content_attributes": values, "conversation": conversation, **more})


def test_a_choice_made_in_chatwoot_is_the_verb_of_the_conversation_s_contact() -> None:
    message = only(read(CHATWOOT, chosen("confirm:K7QF2M9X")))
    assert (message.text, message.verbs, message.title) == ("confirm K7QF2M9X", True, "Confirmar")
    assert (message.account, message.user, message.label) == ("1", "8", "42")
    assert message.message_id == "31:confirm:K7QF2M9X"
    assert not only(read(CHATWOOT, chosen("confirm K7QF2M9X"))).verbs


@pytest.mark.parametrize(
    "change",
    [
        {"content_type": "text"},
        {"content_attributes": {"submitted_values": []}},
        {"conversation": {"id": 42, "meta": {"sender": {"id": 1, "type": "user"}}}},
    ],
)
def test_any_other_update_of_a_chatwoot_message_is_an_edit(change: dict[str, Any]) -> None:
    assert reason(read(CHATWOOT, chosen("confirm:K7QF2M9X", **change))) == "edited"


BIRD, MESSAGEBIRD = BirdChannel(("x",)), MessageBirdChannel(("x",))


def bird(**body: Any) -> dict[str, Any]:
    sender = {"contact": {"id": "c9", "identifierValue": "+52155"}}
    payload = {"id": "b-1", "channelId": "ch", "sender": sender, "body": body}
    return {"event": "whatsapp.inbound", "payload": payload}


def test_bird_files_and_places_are_described() -> None:
    images = {"images": [{"mediaUrl": "https://x/1", "altText": "?"}], "text": "mirá"}
    message = only(read(BIRD, bird(type="image", image=images)))
    assert (message.content(), message.verbs) == ("mirá\n[image]", False)
    file = {"contentType": "application/pdf", "filename": "cv.pdf", "mediaUrl": "https://x/2"}
    message = only(read(BIRD, bird(type="file", file={"files": [file]})))
    assert message.content() == '[file application/pdf "cv.pdf"]'
    spot = {"coordinates": {"latitude": -34.6, "longitude": -58.4}, "location": {"label": "Casa"}}
    message = only(read(BIRD, bird(type="location", location=spot)))
    assert (message.content(), message.kind) == ('[location -34.6, -58.4 "Casa"]', "location")
    assert only(read(BIRD, bird(type="video"))).content() == "[video]"
    assert reason(read(BIRD, bird(type="carousel"))) == "unsupported"


def messagebird(kind: str, content: object) -> dict[str, Any]:
    message = {"id": "mb", "channelId": "ch", "direction": "received", "type": kind, "from": "+52155"}
    return {"type": "message.created", "contact": {"id": "c9"}, "message": message | {"content": content}}


def test_messagebird_files_places_and_buttons_are_read() -> None:
    image = {"image": {"url": "https://x/1", "caption": "confirm K7QF2M9X"}}
    message = only(read(MESSAGEBIRD, messagebird("image", image)))
    assert (message.content(), message.verbs) == ("confirm K7QF2M9X\n[image]", False)
    spot = {"location": {"latitude": 1.5, "longitude": 2}}
    assert only(read(MESSAGEBIRD, messagebird("location", spot))).content() == "[location 1.5, 2]"
    reply = {"type": "button_reply", "reply": {"id": "cancel:K7QF2M9X", "text": "Cancelar"}}
    message = only(read(MESSAGEBIRD, messagebird("interactive", {"interactive": reply})))
    assert (message.text, message.verbs, message.title) == ("cancel K7QF2M9X", True, "Cancelar")
    assert reason(read(MESSAGEBIRD, messagebird("interactive", {}))) == "unsupported"
    assert reason(read(MESSAGEBIRD, messagebird("hsm", {"hsm": {}}))) == "unsupported"


def test_bird_and_messagebird_tell_received_from_sent() -> None:
    out = {"event": "whatsapp.outbound", "payload": {"id": "b", "status": "delivered"}}
    assert read(BirdChannel(("x",)), out).statuses == (StatusUpdate("b:delivered", "b", "delivered"),)
    updated = {"type": "message.updated", "message": {"id": "mb", "status": "read"}}
    assert read(MessageBirdChannel(("x",)), updated).statuses == (StatusUpdate("mb:read", "mb", "read"),)
    sent = {"type": "message.created", "message": {"id": "mb", "direction": "sent"}}
    assert reason(read(MessageBirdChannel(("x",)), sent)) == "echo"


def test_standard_webhooks_find_sender_and_text_where_they_are_told_to() -> None:
    channel = StandardChannel(("x",), account="crm", sender_path="who.id", text_path="said")
    request = WebhookRequest(
        "POST", URL, (("webhook-id", "msg_1"),), dumps({"who": {"id": 7}, "said": "hola"})
    )
    message = only(channel.read(request))
    assert (message.message_id, message.account, message.user, message.text) == ("msg_1", "crm", "7", "hola")
    assert reason(StandardChannel(("x",)).read(request)) == "event"


@pytest.mark.parametrize("body", [b"", b"\xff", b"text", b"[1]"])
def test_a_standard_webhook_of_any_other_shape_is_success(body: bytes) -> None:
    request = WebhookRequest("POST", URL, (("webhook-id", "msg_1"),), body)
    delivery = StandardChannel(("x",)).read(request)
    assert (delivery.response.status, delivery.ignored) == (200, (Ignored("event", "msg_1"),))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"\xff",
        b'{"message_id":NaN}',
        b"[" * 100_000,
        {"message_id": "m", "from": "a"},
        {"from": "a", "text": "x"},
        {"message_id": "m m", "from": "a", "text": "x"},
        {"message_id": "m" * 129, "from": "a", "text": "x"},
        {"message_id": "m", "text": "x"},
        {"message_id": "m", "from": "a", "text": " "},
        {"message_id": "m", "from": "a", "text": 5},
        {"message_id": "m", "from": "a", "text": "x" * 8001},
        b'{"message_id":"m","from":"a","text":"\\ud800"}',
    ],
)
def test_a_home_made_sender_hears_what_is_wrong_with_its_message(body: object) -> None:
    with pytest.raises(Malformed):
        read(GenericChannel(("x",)), body)


def test_a_home_made_button_is_a_verb() -> None:
    body = {"message_id": "m", "from": "a", "text": "Sí", "reply_id": "confirm:K7QF2M9X"}
    message = only(read(GenericChannel(("x",), account="crm"), body))
    assert (message.text, message.verbs, message.title, message.account) == (
        "confirm K7QF2M9X",
        True,
        "Sí",
        "crm",
    )


# For the engine


def test_a_message_goes_to_the_session_of_its_user_account_and_conversation() -> None:
    inbound = only(read(META, cloud(wa_text()))).inbound("meta")
    assert (inbound.key.channel, inbound.key.account, inbound.key.principal) == ("meta", "777", "MX.100")
    assert (inbound.key.label, inbound.message_id, inbound.text, inbound.verbs) == (
        "",
        "wamid.1",
        "¿hola 1?",
        True,
    )


def test_ids_that_the_database_does_not_take_are_replaced_by_their_digest() -> None:
    body = chatwoot(id="中" * 5, conversation={"id": "c" * 500}, sender={"id": "x" * 999})
    message = only(read(CHATWOOT, body))
    for value, longest in ((message.message_id, 128), (message.user, 200), (message.label, 128)):
        assert value.startswith("sha256-")
        assert len(value) <= longest


def test_names_and_labels_are_one_line_of_valid_text() -> None:
    body = json.dumps(tg(text="x", **{"from": {"id": 5, "first_name": "A\n\x1b\ud800" + "b" * 999}})).encode()
    name = only(read(TELEGRAM, body)).name
    assert name is not None
    assert name.startswith("A \ufffd\ufffdbb")
    assert len(name) <= 512
    name.encode()
