"""What is peculiar to each provider: addresses, error codes, templates, callbacks, signatures."""

import base64
import hashlib
import hmac
import json

import pytest

from llm_planner.delivery.base import OutsideWindow, Place, TryLater
from llm_planner.delivery.chatwoot import Chatwoot
from llm_planner.delivery.cloud_api import Template
from llm_planner.delivery.generic import GenericReply
from llm_planner.delivery.http import Outlet
from llm_planner.delivery.meta import Dialog360, Meta
from llm_planner.delivery.slack import Slack
from llm_planner.delivery.telegram import Telegram
from llm_planner.delivery.twilio import Twilio
from llm_planner.delivery.ycloud import YCloud
from llm_planner.testing.clock import FakeClock
from llm_planner.testing.providers import Down, Fail, Lost, Slow, Throttle
from llm_planner.turn.outbox import Ambiguous, Refused

from .conftest import card

DEAD = {
    "meta": [190, 10, 100, 131026, 131030, 131031, 131042, 131051, 368, 250, 999999],
    "360dialog": [131026, 131031],
    "ycloud": [
        "BALANCE_INSUFFICIENT",
        "RECIPIENT_UNSUBSCRIBED",
        "CONTENT_PROHIBITED",
        "SOMETHING_NEW",
        131026,
    ],
    "twilio": [21211, 21610, 21614, 21408, 63024, 99999],
    "telegram": [400, 403],
    "slack": ["channel_not_found", "is_archived", "token_revoked", "not_in_channel", "something_new"],
    "chatwoot": [404, 422],
    "generic": [400, 404, 410, 422],
}
RETRIED = {
    "meta": [1, 2, 131000, 131016, 133004],
    "ycloud": [131000],
    "twilio": [20500, 63012],
    "telegram": [500],
    "slack": ["service_unavailable", "request_timeout"],
    "generic": [408, 500, 503],
}
WAITED = {
    "meta": [(4, "account"), (80007, "account"), (130429, "account"), (131048, "account"), (131056, "pair")],
    "ycloud": [(131056, "pair"), ("ACCOUNT_RATE_LIMITED", "account"), ("SENDER_RATE_LIMITED", "account")],
    "twilio": [(20429, "account"), (30001, "account"), (63018, "pair")],
    "telegram": [(429, "pair")],
    "slack": [("ratelimited", "pair"), ("rate_limited", "pair")],
    "generic": [(429, "account")],
}
UNSURE = {"slack": ["fatal_error", "internal_error"]}


def cases(table):
    return [(name, code) for name, codes in table.items() for code in codes]


@pytest.mark.parametrize(("name", "code"), cases(DEAD))
async def test_an_error_that_stays_is_dead_and_names_its_code(route, code):
    route.double.then(Fail(code))
    with pytest.raises(Refused, match=str(code)) as caught:
        await route.send(route.reply("Hola"))
    assert caught.value.final


@pytest.mark.parametrize(("name", "code"), cases(RETRIED))
async def test_an_error_that_passes_is_tried_again(route, code):
    route.double.then(Fail(code))
    with pytest.raises(Refused, match=str(code)) as caught:
        await route.send(route.reply("Hola"))
    assert not caught.value.final
    assert not isinstance(caught.value, TryLater)


@pytest.mark.parametrize(("name", "code"), cases(WAITED))
async def test_an_error_of_pace_waits_for_the_user_or_the_account(route, code):
    route.double.then(Fail(code[0]))
    with pytest.raises(TryLater) as caught:
        await route.send(route.reply("Hola"))
    assert caught.value.scope == code[1]
    assert caught.value.retry_after_s >= 1.0


@pytest.mark.parametrize(("name", "code"), cases(UNSURE))
async def test_an_error_after_which_some_of_it_may_have_been_done_is_unknown(route, code):
    route.double.then(Fail(code))
    with pytest.raises(Ambiguous, match=code):
        await route.send(route.reply("Hola"))


@pytest.mark.parametrize("name", ["meta", "twilio"])
async def test_a_limit_of_the_account_holds_other_users_too_and_a_users_own_does_not(route):
    other = "whatsapp:+59899111222" if route.provider.name == "twilio" else "59899111222"
    pair_code, account_code = (63018, 20429) if route.provider.name == "twilio" else (131056, 130429)
    for_other = type(route.reply())(route.account, "user-2", other, "Hola")
    route.double.then(Fail(pair_code))
    with pytest.raises(TryLater):
        await route.send(route.reply("Hola"))
    assert len(await route.send(for_other)) == 1
    route.double.then(Fail(account_code))
    with pytest.raises(TryLater):
        await route.send(route.reply("Hola"))
    with pytest.raises(TryLater):
        await route.send(for_other)


@pytest.mark.parametrize("name", ["meta", "ycloud", "twilio"])
class TestTheWindow:
    async def test_outside_it_a_reply_is_dead_with_a_clear_reason(self, route):
        route.double.window_open = False
        with pytest.raises(OutsideWindow, match=r"24 hours.*no template") as caught:
            await route.send(route.reply("Hola"))
        assert caught.value.final
        assert len(route.double.asked) == 1

    async def test_outside_it_a_configured_template_carries_the_text_on_one_line(self, route):
        route.double.window_open = False
        self.with_template(route)
        (receipt,) = await route.send(route.reply("Hola.\n\nTu pedido\tya salió."))
        (sent,) = route.double.sent
        assert sent.text == "Hola. Tu pedido ya salió."
        assert receipt.reference == sent.reference

    async def test_what_does_not_fit_one_template_comes_in_several(self, route):
        route.double.window_open = False
        self.with_template(route)
        receipts = await route.send(route.reply("Hola, " * 500, card("x" * 100)))
        assert " ".join(sent.text for sent in route.double.sent[:-1]) == ("Hola, " * 500).strip()
        assert all(len(sent.text) <= 900 and not sent.buttons for sent in route.double.sent)
        assert "confirmar K7QF2M9X" in route.double.sent[-1].text
        assert all(receipt.as_template for receipt in receipts)

    async def test_what_began_freely_and_then_does_not_fit_a_template_is_dead(self, route):
        self.with_template(route)
        long = route.reply("Hola, " * 1500)
        (first, *_) = await route.send(long)
        route.double.window_open = False
        with pytest.raises(OutsideWindow):
            await route.send(long, first.resume)

    async def test_once_a_status_update_said_so_the_template_goes_out_at_once(self, route):
        route.double.window_open = False
        self.with_template(route)
        await route.send(route.reply("Hola.\nChau.", window_closed=True))
        assert [sent.text for sent in route.double.sent] == ["Hola. Chau."]
        assert len(route.double.asked) == 1

    async def test_once_a_status_update_said_so_nothing_goes_out_without_a_template(self, route):
        with pytest.raises(OutsideWindow):
            await route.send(route.reply("Hola", window_closed=True))
        assert route.double.asked == []

    def with_template(self, route):
        url, key, fallback = route.double.url, route.credential, Template("aviso", "es_AR")
        if route.provider.name == "twilio":
            route.double.contents["HX1"] = "window"
            provider = Twilio(route.double.sid, key, "whatsapp:+1", window_content_sid="HX1", api=url)
        elif route.provider.name == "meta":
            provider = Meta(key, "106540352242922", fallback, url)
        else:
            provider = YCloud(key, "+14155238886", fallback, url)
        route.through(provider)


@pytest.mark.parametrize("name", ["meta", "360dialog", "ycloud"])
class TestWhatsAppAddresses:
    @pytest.mark.parametrize(
        ("to", "field", "kind"),
        [
            ("+5215512345678", "to", "individual"),
            ("5215512345678", "to", "individual"),
            ("MX.1349aBc", "recipient", "individual"),
            ("Y2FwaV9ncm91cDo1NTE=", "to", "group"),
        ],
    )
    async def test_a_number_a_user_id_and_a_group_are_addressed_apart(self, route, to, field, kind):
        await route.send(type(route.reply())(route.account, "u", to, "Hola"))
        body = route.double.sent[0].body
        assert body[field] == to
        assert body["recipient_type"] == kind
        assert ("to" in body) != ("recipient" in body)

    async def test_what_is_no_address_is_dead_before_anything_is_sent(self, route):
        with pytest.raises(Refused) as caught:
            await route.send(type(route.reply())(route.account, "u", "../../me\n", "Hola"))
        assert caught.value.final
        assert route.double.asked == []

    async def test_the_status_updates_can_tell_which_part_they_are_about(self, route):
        await route.send(route.reply("Hola.", card()), key="row-7")
        name = "externalId" if route.provider.name == "ycloud" else "biz_opaque_callback_data"
        assert [sent.body[name] for sent in route.double.sent] == ["row-7.0.0", "row-7.1.0"]


@pytest.mark.parametrize("name", ["meta"])
class TestMeta:
    async def test_a_reply_leaves_from_the_number_that_was_written_to(self, route):
        await route.send(route.reply("uno"))
        await route.send(type(route.reply())("222333", "u", route.reply_to, "dos"))
        assert [asked.path for asked in route.double.asked] == [
            "/v25.0/106540352242922/messages",
            "/v25.0/222333/messages",
        ]

    @pytest.mark.parametrize("account", ["../me", "1/2", "..", "1?x=1", "ñ"])
    async def test_an_account_that_is_no_id_never_reaches_the_address(self, route, account):
        with pytest.raises(Refused) as caught:
            await route.send(type(route.reply())(account, "u", route.reply_to, "Hola"))
        assert caught.value.final
        assert route.double.asked == []

    async def test_links_are_not_previewed(self, route):
        await route.send(route.reply("https://example.com"))
        assert route.double.sent[0].body["text"]["preview_url"] is False


@pytest.mark.parametrize("name", ["twilio"])
class TestTwilio:
    def configure(self, route, sender="whatsapp:+14155238886", **more):
        route.through(Twilio(route.double.sid, route.credential, sender, api=route.double.url, **more))

    async def test_without_a_content_template_a_card_is_text(self, route):
        await route.send(route.reply("", card()))
        (sent,) = route.double.sent
        assert (sent.text, sent.buttons) == (card().text, ())

    async def test_with_one_it_has_buttons_on_whatsapp_and_not_in_an_sms(self, route):
        route.double.contents["HX2"] = "card"
        self.configure(route, card_content_sid="HX2")
        await route.send(route.reply("", card()))
        await route.send(type(route.reply())("", "u", "+59899111222", "", (card(),)))
        whatsapp, sms = route.double.sent
        assert whatsapp.text == sms.text == card().text
        assert [payload for _, payload in whatsapp.buttons] == ["confirm:K7QF2M9X", "cancel:K7QF2M9X"]
        assert sms.buttons == ()

    async def test_a_card_too_long_for_the_template_comes_in_parts_with_the_buttons_last(self, route):
        route.double.contents["HX2"] = "card"
        self.configure(route, card_content_sid="HX2")
        await route.send(route.reply("", card("  • note: una línea.\n" * 150)))
        assert len(route.double.sent) == 3
        assert [bool(sent.buttons) for sent in route.double.sent] == [False, False, True]

    async def test_a_reply_leaves_from_the_number_that_was_written_to_or_from_the_service(self, route):
        await route.send(type(route.reply())("+15005550006", "u", "+59899111222", "Hola"))
        await route.send(route.reply("Hola"))
        self.configure(route, "MG" + "0a" * 16)
        await route.send(type(route.reply())("+15005550006", "u", "+59899111222", "Hola"))
        own, configured, service = (sent.body for sent in route.double.sent)
        assert (own["From"], configured["From"]) == ("+15005550006", "whatsapp:+14155238886")
        assert service["MessagingServiceSid"] == "MG" + "0a" * 16
        assert "From" not in service

    async def test_the_status_callback_goes_along_when_there_is_one(self, route):
        self.configure(route, status_callback="https://chat.example.com/provider/twilio/inbound")
        await route.send(route.reply("Hola"))
        assert route.double.sent[0].body["StatusCallback"].endswith("/provider/twilio/inbound")

    async def test_the_api_key_logs_in_for_the_account(self, route):
        self.configure(route, login="SK1")
        with pytest.raises(Refused) as caught:
            await route.send(route.reply("Hola"))
        assert caught.value.final
        login = base64.b64decode(route.double.asked[0].headers["authorization"].removeprefix("Basic "))
        assert login == f"SK1:{route.credential}".encode()


@pytest.mark.parametrize("name", ["telegram"])
class TestTelegram:
    async def test_a_pressed_button_is_answered_first(self, route):
        await route.send(route.reply("Listo.", callback_id="4382bfdwdsb323b2d9"))
        assert route.double.pressed == ["4382bfdwdsb323b2d9"]
        assert [asked.path.rsplit("/")[-1] for asked in route.double.asked] == [
            "answerCallbackQuery",
            "sendMessage",
        ]

    async def test_a_press_that_is_too_old_to_answer_is_no_reason_to_be_silent(self, route):
        await route.send(route.reply("Listo.", callback_id="old"))
        assert [sent.text for sent in route.double.sent] == ["Listo."]

    async def test_an_answer_to_the_press_that_gets_lost_is_no_reason_either(self, route):
        class Cut(Outlet):
            async def post(self, request):
                if request.url.endswith("answerCallbackQuery"):
                    raise Ambiguous("cut")
                return await super().post(request)

        whole, route.outlet = route.outlet, Cut(route.clock)
        route.through(route.provider)
        await route.send(route.reply("Listo.", callback_id="q"))
        await route.outlet.close()
        route.outlet = whole
        assert [sent.text for sent in route.double.sent] == ["Listo."]

    @pytest.mark.parametrize("status", [401, 404])
    async def test_a_wrong_token_is_called_one(self, route, status):
        route.double.then(Fail(status))
        with pytest.raises(Refused, match="token is wrong"):
            await route.send(route.reply("Hola"))

    async def test_a_resumed_reply_does_not_answer_the_button_again(self, route):
        await route.send(route.reply("Listo.", card(), callback_id="q"), Place(1, 0))
        assert route.double.pressed == []
        assert len(route.double.sent) == 1

    async def test_length_counts_in_utf16_units(self, route):
        await route.send(route.reply("🧉" * 2048))
        await route.send(route.reply("🧉" * 2049))
        assert [len(sent.text) for sent in route.double.sent] == [2048, 2048, 1]

    async def test_a_topic_is_answered_in_the_topic(self, route):
        await route.send(route.reply("Hola", thread="17"))
        assert route.double.sent[0].body["message_thread_id"] == 17

    async def test_text_is_never_parsed_and_links_are_not_previewed(self, route):
        await route.send(route.reply("*hola* https://example.com"))
        body = route.double.sent[0].body
        assert "parse_mode" not in body
        assert body["link_preview_options"] == {"is_disabled": True}

    async def test_a_chat_gets_one_message_a_second_and_the_rest_is_told_to_wait(self, route):
        reply, receipts = route.reply("uno. " * 1000), []
        with pytest.raises(TryLater) as caught:
            [receipts.append(receipt) async for receipt in route.sender.send(reply, "k")]
        assert [receipt.resume for receipt in receipts] == [Place(0, 1)]
        assert caught.value.retry_after_s == pytest.approx(1.0)
        route.clock.advance(1.0)
        await route.send(reply, receipts[0].resume)
        assert len(route.double.sent) == 2

    @pytest.mark.parametrize("to", ["", "12;34", "https://x", "١٢"])
    async def test_what_is_no_chat_is_dead_before_anything_is_sent(self, route, to):
        with pytest.raises(Refused) as caught:
            await route.send(type(route.reply())("bot", "u", to, "Hola"))
        assert caught.value.final
        assert route.double.asked == []


@pytest.mark.parametrize("name", ["slack"])
class TestSlack:
    async def test_nothing_in_a_text_is_a_mention_or_a_link(self, route):
        await route.send(route.reply("<!channel> <https://evil.example|banco> &amp;"))
        body = route.double.sent[0].body
        shown = body["blocks"][0]["text"]
        assert (
            shown["text"] == body["text"] == "&lt;!channel&gt; &lt;https://evil.example|banco&gt; &amp;amp;"
        )
        assert shown["verbatim"] is True
        assert body["unfurl_links"] is body["unfurl_media"] is False

    async def test_length_counts_after_escaping(self, route):
        await route.send(route.reply("<&> " * 600))
        assert len(route.double.sent) == 3
        assert "".join(sent.text for sent in route.double.sent).replace(" ", "") == "<&>" * 600

    async def test_a_thread_is_answered_in_the_thread(self, route):
        await route.send(route.reply("Hola", thread="1795305600.000100"))
        assert route.double.sent[0].body["thread_ts"] == "1795305600.000100"


@pytest.mark.parametrize("name", ["chatwoot"])
async def test_chatwoot_offers_the_buttons_as_a_choice(route):
    await route.send(route.reply("", card()))
    body = route.double.sent[0].body
    assert body["content_type"] == "input_select"
    assert body["content_attributes"]["items"][0] == {"title": "Confirmar", "value": "confirm:K7QF2M9X"}
    assert route.double.asked[0].path == "/api/v1/accounts/3/conversations/42/messages"


@pytest.mark.parametrize("name", ["generic"])
class TestGenericReplies:
    async def test_the_body_says_who_and_what_and_is_signed(self, route):
        await route.send(route.reply("Hola", card(), thread="t1"), key="row-7")
        first, _ = route.double.asked
        stamp = str(int(FakeClock().now().timestamp()))
        signed = f"row-7.0.0.{stamp}.".encode() + first.raw
        key = base64.b64decode(route.credential.removeprefix("whsec_"))
        expected = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
        assert first.headers["webhook-id"] == "row-7.0.0"
        assert first.headers["webhook-timestamp"] == stamp
        assert first.headers["webhook-signature"] == "v1," + expected
        data = json.loads(first.raw)["data"]
        assert (data["account"], data["user"], data["reply_to"], data["thread"]) == (
            "main",
            "user-1",
            "ana",
            "t1",
        )

    async def test_every_secret_of_a_rotation_signs(self, route):
        provider = GenericReply(
            route.double.url, ("an old secret that is long", route.credential), route.clock
        )
        route.through(provider)
        assert len(await route.send(route.reply("Hola"))) == 1
        assert route.double.asked[0].headers["webhook-signature"].count("v1,") == 2

    async def test_a_lost_answer_is_tried_again_under_the_same_id_and_arrives_once(self, route):
        route.double.then(Lost())
        with pytest.raises(Refused) as caught:
            await route.send(route.reply("Hola"))
        assert not caught.value.final
        assert len(await route.send(route.reply("Hola"))) == 1
        assert [sent.text for sent in route.double.sent] == ["Hola"]
        assert len({asked.headers["webhook-id"] for asked in route.double.asked}) == 1

    async def test_a_gateway_that_gave_up_is_tried_again(self, route):
        route.double.then(Down(504))
        with pytest.raises(Refused) as caught:
            await route.send(route.reply("Hola"))
        assert not caught.value.final

    async def test_a_slow_answer_is_tried_again(self, route, hasty):
        route.outlet = hasty
        route.through(route.provider)
        route.double.then(Slow())
        with pytest.raises(Refused) as caught:
            await route.send(route.reply("Hola"))
        assert not caught.value.final


@pytest.mark.parametrize("name", ["meta"])
async def test_a_wait_is_never_longer_than_an_hour(route):
    route.double.then(Throttle(999_999))
    with pytest.raises(TryLater) as caught:
        await route.send(route.reply("Hola"))
    assert caught.value.retry_after_s == 3600.0


@pytest.mark.parametrize(
    "make",
    [
        lambda: Meta("a token\r\nX-Evil: 1", "1"),
        lambda: Meta("token", "1", api="https://user:pass@graph.example"),
        lambda: Dialog360(""),
        lambda: YCloud("clave-ñ", "+1"),
        lambda: Telegram("123/../456:secret-part-of-it"),
        lambda: Slack("secret part"),
        lambda: Chatwoot("ftp://chat.example", "secret"),
        lambda: Twilio("AC1", "secret", "+1", api="not an address"),
        lambda: GenericReply("https://example.com", ("short",), FakeClock()),
        lambda: GenericReply("https://example.com", (), FakeClock()),
        lambda: GenericReply("https://example.com", ("whsec_*secret-part*",), FakeClock()),
    ],
)
def test_a_setting_that_can_not_work_is_refused_at_the_start_without_repeating_it(make):
    with pytest.raises(ValueError) as caught:
        make()
    assert "secret-part" not in str(caught.value)
    assert "pass" not in str(caught.value)
    assert "Evil" not in str(caught.value)
