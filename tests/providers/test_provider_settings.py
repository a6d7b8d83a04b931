"""Which providers the settings open a door for, with which secrets, and what stops the start."""

from pathlib import Path
from typing import Any

import pytest

from llm_planner.clock import SystemClock
from llm_planner.delivery.http import Outlet
from llm_planner.delivery.pace import Pace
from llm_planner.errors import StartError
from llm_planner.provider_settings import WEBHOOK_SECRETS
from llm_planner.providers import channels_of, secret_setting, senders_of
from llm_planner.settings import Settings, load_settings

from ..tools import Echo
from ..turn_kit import always
from .kit import deliver

SECRET = "a-webhook-secret-of-some-length"
OTHER = "another-webhook-secret-0123456789"
SAFE = {
    "environment": "production",
    "web_auth": "token",
    "secret_key": "a-secret-key-for-the-tests-0123456789",
}


def made(**values: Any) -> Settings:
    return load_settings(_env_file=None, **values)


def senders(settings: Settings, **apis: str) -> dict[str, Any]:
    clock = SystemClock()
    return {**senders_of(settings, Outlet(clock), Pace(clock), apis)}


def test_nothing_set_is_the_generic_door_alone_and_nobody_to_send_through() -> None:
    assert list(channels_of(made())) == ["generic"]
    assert senders(made()) == {}


@pytest.mark.covers("settings.providers")
@pytest.mark.parametrize("name", list(WEBHOOK_SECRETS))
def test_a_provider_is_there_when_it_is_named_or_has_its_own_secret(name: Any) -> None:
    own = WEBHOOK_SECRETS[name]
    named = made(provider=name, provider_hmac_secret=SECRET)
    assert list(channels_of(named)) == [name]
    assert vars_of(channels_of(named)[name])["secrets"] == (SECRET,)
    with_own = made(**{own: f"{OTHER}, {SECRET}"})
    assert set(channels_of(with_own)) == {"generic", name}
    assert vars_of(channels_of(with_own)[name])["secrets"] == (OTHER, SECRET)
    assert own.upper() in secret_setting(named, name)


def vars_of(channel: Any) -> dict[str, Any]:
    return {name: getattr(channel, name) for name in channel.__dataclass_fields__}


def test_the_general_secret_stands_in_for_the_named_provider_alone() -> None:
    settings = made(provider="meta", provider_hmac_secret=SECRET, telegram_bot_token="77:" + "x" * 35)
    found = channels_of(settings)
    assert set(found) == {"meta", "telegram"}
    telegram = vars_of(found["telegram"])
    assert (telegram["secrets"], telegram["account"]) == ((), "77")
    both = made(provider="meta", provider_hmac_secret=SECRET, whatsapp_app_secret=OTHER)
    assert set(channels_of(both)) == {"meta", "generic"}


def test_the_settings_reach_the_adapters() -> None:
    settings = made(
        provider="meta",
        whatsapp_app_secret=SECRET,
        whatsapp_verify_token=OTHER,
        whatsapp_phone_number_id="777",
        slack_signing_secret=SECRET,
        messagebird_signing_key=SECRET,
        provider_max_skew_sec=17,
    )
    found = channels_of(settings)
    meta = vars_of(found["meta"])
    assert (meta["verify_tokens"], meta["account"]) == ((OTHER,), "777")
    assert vars_of(found["slack"])["tolerance_s"] == 17
    assert vars_of(found["messagebird"])["tolerance_s"] == 1


def test_each_api_that_is_configured_has_a_sender() -> None:
    settings = made(
        twilio_account_sid="AC1", twilio_auth_token=SECRET, whatsapp_access_token=SECRET, d360_api_key=SECRET,
        ycloud_api_key=SECRET, telegram_bot_token="77:" + "x" * 35, slack_bot_token=SECRET,
        chatwoot_base_url="https://desk.example.com", chatwoot_api_token=SECRET, provider_hmac_secret=SECRET,
        generic_reply_url="https://backend.example.com/replies",
    )  # fmt: skip
    assert set(senders(settings)) == set(WEBHOOK_SECRETS)


@pytest.mark.parametrize(
    ("named", "values"),
    [
        ("TELEGRAM_BOT_TOKEN", {"telegram_bot_token": "not-one-of-theirs"}),
        ("WHATSAPP_ACCESS_TOKEN", {"whatsapp_access_token": "two words"}),
        ("GENERIC_REPLY_URL", {"generic_reply_url": "https://backend.example.com"}),
    ],
)
def test_what_nothing_can_be_sent_with_stops_the_start_without_its_value(
    named: str, values: dict[str, str]
) -> None:
    with pytest.raises(StartError, match=named) as refused:
        senders(made(**values))
    assert not any(value in refused.value.detail for value in values.values())


@pytest.mark.parametrize(
    ("named", "values"),
    [
        ("TWILIO_API_KEY_SID", {"twilio_api_key_sid": "SK1"}),
        ("TWILIO_API_KEY_SECRET", {"twilio_api_key_secret": SECRET}),
        ("CHATWOOT_API_TOKEN", {"chatwoot_api_token": SECRET}),
        ("CHATWOOT_BASE_URL", {"chatwoot_base_url": "desk", "chatwoot_api_token": SECRET}),
        ("GENERIC_REPLY_URL", {"generic_reply_url": "ftp://x"}),
        ("SLACK_SIGNING_SECRET", {"slack_signing_secret": " , "}),
        ("WHATSAPP_TEMPLATE", {"whatsapp_template": "no-language"}),
        ("PROVIDER", {"provider": "nobody"}),
        ("PROVIDER_MAX_BODY_BYTES", {"provider_max_body_bytes": 0}),
    ],
)
def test_values_that_contradict_each_other_stop_the_start_and_are_named(
    named: str, values: dict[str, Any]
) -> None:
    with pytest.raises(StartError, match=named) as refused:
        made(**values)
    assert SECRET not in refused.value.detail


@pytest.mark.parametrize("variable", [*WEBHOOK_SECRETS.values(), "whatsapp_verify_token"])
def test_production_refuses_a_short_webhook_secret(variable: str, tmp_path: Path) -> None:
    more = {**SAFE, "db_url": f"sqlite:///{tmp_path}/x.db"}
    assert made(**more, **{variable: SECRET})
    for value in ("fifteen-bytes-0", f"{SECRET},fifteen-bytes-0"):
        with pytest.raises(StartError, match=variable.upper()) as refused:
            made(**more, **{variable: value})
        assert "fifteen" not in refused.value.detail


async def test_in_production_a_provider_that_signs_our_address_needs_to_be_told_it(open_door: Any) -> None:
    more = {**SAFE, "public_base_url": None, "allowed_hosts": "127.0.0.1"}
    client, person = await open_door("twilio", [Echo], always("{}"), **more)
    status, body, _ = await deliver(client, person.says("hola"))
    assert (status, b"PUBLIC_BASE_URL" in body) == (503, True)
