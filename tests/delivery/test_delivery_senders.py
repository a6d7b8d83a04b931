"""One class over every sender and its double: what all of them do alike."""

import logging

import pytest

from llm_planner.delivery.base import Place, TryLater
from llm_planner.delivery.layout import laid_out
from llm_planner.delivery.sending import ReplySender
from llm_planner.testing.providers import Down, Garbled, Lost, Slow, Throttle
from llm_planner.turn.outbox import Ambiguous, Refused

from .conftest import card

NAMES = ["meta", "360dialog", "ycloud", "twilio", "telegram", "slack", "chatwoot", "generic"]
WITH_BUTTONS = [name for name in NAMES if name != "twilio"]
SURE = [name for name in NAMES if name != "generic"]
"""Those that can't tell a repeated message: what may have arrived is not sent again."""

LONG = "\n".join(
    f"{n}. Este es el renglón número {n} de una respuesta larga, con ñ, 👩‍👩‍👧 y fin.\n" for n in range(300)
)
UNICODE = "¿Cuánto cuesta el café? ☕️ 👩🏽‍🚀 e\u0301 שלום العربية 日本語。 🇦🇷"
HOSTILE = (
    "*b* _i_ ~s~ `c` <!channel> <@U0001> <https://evil.example|banco> [x](https://evil.example) "
    "<b>no</b> &amp; & \" ' \\ {{1}} %0A &lt;"
)


def bare(text: str) -> str:
    return "".join(text.split())


def everything_in(error: BaseException | None) -> str:
    """All that a log could show of an error and what led to it."""
    seen = []
    while error is not None:
        seen += [repr(error), str(error), repr(error.args), repr(vars(error))]
        error = error.__cause__ or error.__context__
    return " ".join(seen)


@pytest.mark.parametrize("name", NAMES)
class TestEverySender:
    async def test_a_short_text_arrives_as_it_is_with_the_providers_reference(self, route):
        (receipt,) = await route.send(route.reply("Hola, tu pedido salió hoy."))
        (sent,) = route.double.sent
        assert (sent.to, sent.text, sent.buttons) == (route.reply_to, "Hola, tu pedido salió hoy.", ())
        assert receipt.reference == sent.reference
        assert receipt.resume == Place(1, 0)

    async def test_an_empty_reply_sends_nothing(self, route):
        assert await route.send(route.reply(" \n ")) == []
        assert route.double.asked == []

    async def test_a_long_text_arrives_whole_in_messages_that_the_provider_takes(self, route):
        text = LONG * (1 + route.provider.limits.text // len(LONG))
        receipts = await route.send(route.reply(text))
        assert len(receipts) == len(route.double.sent) >= 2
        assert bare("".join(sent.text for sent in route.double.sent)) == bare(text)
        assert all(sent.text.endswith("fin.") for sent in route.double.sent)

    async def test_an_interrupted_reply_goes_on_where_it_stopped(self, route):
        text = LONG * (2 + 2 * route.provider.limits.text // len(LONG))
        expected = [part.text for part in laid_out(route.reply(text), route.provider.limits)[0]]
        route.double.then(None, Down())
        with pytest.raises(Refused):
            await route.send(route.reply(text))
        assert [receipt.resume for receipt in route.receipts] == [Place(0, 1)]
        route.clock.advance(60.0)
        await route.send(route.reply(text), route.receipts[-1].resume)
        assert [sent.text for sent in route.double.sent] == expected

    async def test_text_comes_first_and_each_card_is_a_message_of_its_own(self, route):
        first, second = card('  • name: "Ana"'), card('  • name: "Beto"', "9PQR8S7T")
        receipts = await route.send(route.reply("Antes, un dato.", first, second))
        assert [sent.text for sent in route.double.sent] == ["Antes, un dato.", first.text, second.text]
        assert [receipt.resume for receipt in receipts] == [Place(1, 0), Place(2, 0), Place(3, 0)]

    async def test_resuming_at_a_card_sends_only_that_card(self, route):
        first, second = card(), card("", "9PQR8S7T")
        await route.send(route.reply("Antes, un dato.", first, second), Place(2, 0))
        assert [sent.text for sent in route.double.sent] == [second.text]

    async def test_a_long_card_ends_with_its_token(self, route):
        long = card(LONG[: max(1500, route.provider.limits.text)])
        await route.send(route.reply("", long))
        *before, last = route.double.sent
        assert bare("".join(sent.text for sent in route.double.sent)) == bare(long.text)
        assert before
        assert not any("K7QF2M9X" in sent.text or sent.buttons for sent in before)
        assert last.text.count("K7QF2M9X") == 2

    async def test_unicode_arrives_unchanged(self, route):
        await route.send(route.reply(UNICODE))
        assert [sent.text for sent in route.double.sent] == [UNICODE]

    async def test_markup_arrives_as_the_characters_that_it_is_made_of(self, route):
        await route.send(route.reply(HOSTILE))
        assert [sent.text for sent in route.double.sent] == [HOSTILE]

    async def test_wrong_credentials_are_dead_and_nothing_shows_a_secret(self, route, caplog):
        caplog.set_level(logging.DEBUG)
        route.sender = route.sender_with(route.wrong)
        with pytest.raises(Refused) as caught:
            await route.send(route.reply("Hola, secreto del usuario"))
        assert caught.value.final
        shown = everything_in(caught.value) + caplog.text + repr(route.make(route.wrong))
        for secret in (route.wrong, route.credential, "secreto del usuario", "5512345678"):
            assert secret not in shown

    async def test_a_throttled_message_waits_as_long_as_the_provider_says(self, route):
        route.double.then(Throttle(7))
        with pytest.raises(TryLater) as caught:
            await route.send(route.reply("Hola"))
        assert caught.value.retry_after_s == 7.0
        assert not caught.value.final
        assert route.double.sent == []

    async def test_after_a_throttle_nobody_asks_again_before_the_time(self, route):
        route.double.then(Throttle(7))
        with pytest.raises(TryLater):
            await route.send(route.reply("Hola"))
        route.clock.advance(5.0)
        with pytest.raises(TryLater) as caught:
            await route.send(route.reply("Hola"))
        assert caught.value.retry_after_s == pytest.approx(2.0)
        assert len(route.double.asked) == 1
        route.clock.advance(2.1)
        assert len(await route.send(route.reply("Hola"))) == 1

    async def test_a_throttle_without_a_time_waits_all_the_same(self, route):
        route.double.then(Throttle(None))
        with pytest.raises(TryLater) as caught:
            await route.send(route.reply("Hola"))
        assert caught.value.retry_after_s > 0.0

    @pytest.mark.parametrize("status", [500, 502, 503])
    async def test_a_server_error_is_tried_again_later(self, route, status):
        route.double.then(Down(status))
        with pytest.raises(Refused) as caught:
            await route.send(route.reply("Hola"))
        assert not caught.value.final
        route.clock.advance(60.0)
        assert len(await route.send(route.reply("Hola"))) == 1

    async def test_no_server_is_a_refusal_to_try_again(self, route):
        await route.double.__aexit__(None, None, None)
        with pytest.raises(Refused) as caught:
            await route.send(route.reply("Hola"))
        assert not caught.value.final
        assert route.credential not in everything_in(caught.value)

    async def test_a_redirect_is_not_followed(self, route):
        route.double.then(Down(307))
        with pytest.raises(Refused) as caught:
            await route.send(route.reply("Hola"))
        assert caught.value.final
        assert len(route.double.asked) == 1


@pytest.mark.parametrize("name", SURE)
class TestSendersWithoutAnIdempotencyKey:
    @pytest.mark.parametrize("taken", [True, False])
    async def test_a_lost_answer_is_unknown_and_nothing_is_resent(self, route, taken):
        route.double.then(Lost(taken))
        with pytest.raises(Ambiguous) as caught:
            await route.send(route.reply("Hola"))
        assert len(route.double.asked) == 1
        assert route.credential not in everything_in(caught.value)

    async def test_a_slow_answer_is_unknown_once_the_time_is_up(self, route, hasty):
        route.sender = ReplySender(route.provider, hasty, route.pace)
        route.double.then(Slow())
        with pytest.raises(Ambiguous) as caught:
            await route.send(route.reply("Hola"))
        assert len(route.double.sent) == 1
        assert route.credential not in everything_in(caught.value)

    async def test_an_answer_that_nobody_can_read_is_unknown(self, route):
        route.double.then(Garbled())
        with pytest.raises(Ambiguous):
            await route.send(route.reply("Hola"))

    async def test_a_gateway_that_gave_up_is_unknown(self, route):
        route.double.then(Down(504))
        with pytest.raises(Ambiguous):
            await route.send(route.reply("Hola"))

    async def test_a_lost_answer_in_the_middle_keeps_the_place_of_what_arrived(self, route):
        text = LONG * (2 + 2 * route.provider.limits.text // len(LONG))
        route.double.then(None, Lost())
        with pytest.raises(Ambiguous):
            await route.send(route.reply(text))
        assert [receipt.resume for receipt in route.receipts] == [Place(0, 1)]
        assert len(route.double.asked) == 2


@pytest.mark.parametrize("name", WITH_BUTTONS)
class TestSendersWithButtons:
    async def test_a_card_has_its_two_buttons_and_keeps_its_verbs(self, route):
        await route.send(route.reply("", card()))
        (sent,) = route.double.sent
        assert sent.buttons == (("Confirmar", "confirm:K7QF2M9X"), ("Cancelar", "cancel:K7QF2M9X"))
        assert "confirmar K7QF2M9X" in sent.text

    async def test_the_buttons_of_a_long_card_hang_under_its_end(self, route):
        await route.send(route.reply("", card(LONG[: max(1500, route.provider.limits.text)])))
        *before, last = route.double.sent
        assert before
        assert [title for title, _ in last.buttons] == ["Confirmar", "Cancelar"]

    async def test_a_title_that_is_too_long_is_shortened(self, route):
        plain = card()
        wide = type(plain)(plain.text, plain.confirm_payload, plain.cancel_payload, "Sí, " * 60, "No")
        await route.send(route.reply("", wide))
        (sent,) = route.double.sent
        assert sent.buttons[0][0].startswith("Sí, Sí")
        assert sent.buttons[0][0].endswith("…")

    async def test_a_payload_that_does_not_fit_leaves_the_card_as_text(self, route):
        plain = card()
        wide = type(plain)(plain.text, "confirm:" + "ñ" * 3000, plain.cancel_payload, "Confirmar", "Cancelar")
        await route.send(route.reply("", wide))
        assert [(sent.text, sent.buttons) for sent in route.double.sent] == [(plain.text, ())]

    async def test_a_card_that_is_not_this_users_to_confirm_has_no_buttons(self, route):
        await route.send(route.reply("", type(card())("Lo decide otra persona.", None, None, "", "")))
        assert [(sent.text, sent.buttons) for sent in route.double.sent] == [("Lo decide otra persona.", ())]
