"""What security reviews of webhook receivers find, held as sentences over every adapter."""

import base64
import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from llm_planner.channels import (
    BadSignature,
    Channel,
    ChatwootChannel,
    D360Channel,
    Delivery,
    GenericChannel,
    HandshakeRefused,
    HmacHeaders,
    Malformed,
    MessageBirdChannel,
    MetaChannel,
    N8nChannel,
    NotReady,
    SlackChannel,
    StandardChannel,
    TelegramChannel,
    TwilioChannel,
    WebhookRequest,
    YCloudChannel,
)
from llm_planner.channels.vectors import MAKERS, SAME_AS

from .generator import (
    CASES,
    FORM,
    META,
    NOW,
    OLD,
    OURS,
    SECRET,
    SLACK,
    STANDARD,
    STANDARD_OLD,
    STANDARD_SECRET,
    TELEGRAM,
    TWILIO_FORM,
    TWILIO_JSON,
    TWILIO_JSON_URL,
    URL,
    YCLOUD,
    Case,
    b64,
    claims_for,
    jwt,
    mac,
    messagebird_headers,
    meta_headers,
    plain,
    slack_headers,
    standard_headers,
    timed,
    twilio_headers,
    ycloud_headers,
)

every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.provider}-{case.tag}")
YEARS_LATER = NOW + 10**8


def channel_of(case: Case, *secrets: str) -> Channel:
    tolerance = 1 if case.provider == "messagebird" else 300
    return MAKERS[SAME_AS.get(case.provider, case.provider)](secrets, tolerance, {})


def signed(case: Case) -> WebhookRequest:
    headers = case.headers(case.secret, case.body, str(NOW), case.url)
    return WebhookRequest("POST", case.url, tuple(headers.items()), case.body)


def post(headers: dict[str, str], body: bytes, url: str = URL, method: str = "POST") -> WebhookRequest:
    return WebhookRequest(method, url, tuple(headers.items()), body)


def receive(channel: Channel, request: WebhookRequest, now: int = NOW) -> Delivery:
    return channel.receive(request, datetime.fromtimestamp(now, UTC))


def refused(channel: Channel, request: WebhookRequest, now: int = NOW) -> str:
    with pytest.raises(BadSignature) as caught:
        receive(channel, request, now)
    return caught.value.why


# Fail closed


@every_case
@pytest.mark.parametrize("secrets", [(), ("",), ("", " ")])
def test_a_door_without_a_secret_is_shut_and_says_so(case: Case, secrets: tuple[str, ...]) -> None:
    with pytest.raises(NotReady) as caught:
        receive(channel_of(case, *secrets), signed(case))
    assert (caught.value.status, caught.value.reason) == (503, "provider_not_ready")


@every_case
def test_nothing_is_parsed_before_it_is_verified(case: Case) -> None:
    for body in (b"", b"{", b"\xff\xfe", b"[" * 50_000):
        if case.signs_body:
            refused(channel_of(case, case.secret), replace(signed(case), body=body))
        else:
            refused(channel_of(case, case.old), replace(signed(case), body=body))


@every_case
def test_strangers_hear_one_sentence_and_no_secret(case: Case) -> None:
    forgeries = [replace(signed(case), headers=()), replace(signed(case), headers=signed(case).headers * 2)]
    details = set()
    for forgery in forgeries:
        with pytest.raises(BadSignature) as caught:
            receive(channel_of(case, case.secret), forgery)
        details.add(caught.value.detail)
        assert case.secret not in caught.value.why
        assert (caught.value.status, caught.value.reason) == (401, "bad_signature")
    assert len(details) == 1


@every_case
def test_no_secret_shows_in_the_text_form_of_an_adapter(case: Case) -> None:
    assert case.secret not in repr(channel_of(case, case.secret))


@every_case
def test_a_name_in_any_header_of_the_request_does_not_move_the_url(case: Case) -> None:
    lies = (("Host", "evil.example"), ("X-Forwarded-Host", "evil.example"), ("X-Forwarded-Proto", "http"))
    request = signed(case)
    assert receive(channel_of(case, case.secret), replace(request, headers=request.headers + lies)).messages


@every_case
def test_each_security_header_must_be_there_exactly_once(case: Case) -> None:
    request = signed(case)
    for name, value in request.headers:
        if name != "Content-Type":
            twice = replace(request, headers=(*request.headers, (name.upper(), value)))
            refused(channel_of(case, case.secret), twice)
            without = tuple(pair for pair in request.headers if pair[0] != name)
            refused(channel_of(case, case.secret), replace(request, headers=without))


@pytest.mark.parametrize("case", [case for case in CASES if not case.lists], ids=lambda case: case.provider)
def test_a_header_folded_by_a_proxy_is_no_signature(case: Case) -> None:
    request = signed(case)
    headers = tuple(
        (name, f"x, {value}" if name == case.signature else value) for name, value in request.headers
    )
    refused(channel_of(case, case.secret), replace(request, headers=headers))


@every_case
def test_with_verification_off_the_same_body_reads_the_same(case: Case) -> None:
    request = signed(case)
    assert channel_of(case).read(request) == receive(channel_of(case, case.secret), request)


# Time


@pytest.mark.parametrize("provider", ["twilio", "meta", "telegram", "360dialog"])
def test_a_retry_of_a_scheme_without_a_signed_time_is_accepted_years_later(provider: str) -> None:
    for case in (case for case in CASES if case.provider == provider):
        assert receive(channel_of(case, case.secret), signed(case), YEARS_LATER).messages


@every_case
def test_a_stale_request_is_told_from_a_forged_one_in_the_log(case: Case) -> None:
    if case.timestamp or case.provider == "messagebird":
        assert refused(channel_of(case, case.secret), signed(case), YEARS_LATER).startswith("authentic, but")


@pytest.mark.parametrize(
    ("channel", "body", "sign"),
    [
        (SlackChannel((SECRET,)), SLACK, slack_headers),
        (YCloudChannel((SECRET,)), YCLOUD, ycloud_headers),
        (StandardChannel((STANDARD_SECRET,)), STANDARD, standard_headers("webhook")),
    ],
)
def test_a_retry_with_a_fresh_time_keeps_its_message_id(channel: Channel, body: bytes, sign: Any) -> None:
    secret = STANDARD_SECRET if channel.name == "standard" else SECRET
    ids = {
        receive(channel, post(sign(secret, body, str(at), URL), body), at).messages[0].message_id
        for at in (NOW, NOW + 3600)
    }
    assert len(ids) == 1


def test_the_retry_number_of_slack_is_not_signed_and_drops_nothing() -> None:
    headers = slack_headers(SECRET, SLACK, str(NOW), URL) | {"X-Slack-Retry-Num": "2"}
    assert receive(SlackChannel((SECRET,)), post(headers, SLACK)).messages


def test_the_tolerance_is_the_configured_one() -> None:
    request = post(timed("Provider")(SECRET, OURS, str(NOW), URL), OURS)
    assert receive(GenericChannel((SECRET,), tolerance_s=0), request).messages
    assert (
        refused(GenericChannel((SECRET,), tolerance_s=0), request, NOW + 1) == "authentic, but signed 1 s ago"
    )


# The timestamp.body family


def test_one_good_signature_of_several_is_enough() -> None:
    good = timed("Provider")(SECRET, OURS, str(NOW), URL)
    headers = good | {"X-Provider-Signature": f"sha256={'0' * 64}, md5=x, {good['X-Provider-Signature']}"}
    assert receive(GenericChannel((SECRET,)), post(headers, OURS)).messages


def test_a_flood_of_signatures_is_not_looked_at() -> None:
    good = timed("Provider")(SECRET, OURS, str(NOW), URL)
    flood = f"sha256={'0' * 64}," * 16 + good["X-Provider-Signature"]
    refused(GenericChannel((SECRET,)), post(good | {"X-Provider-Signature": flood}, OURS))


def test_header_names_and_prefix_of_a_home_made_sender_can_be_configured() -> None:
    value = "v9:" + mac(SECRET, f"{NOW}.".encode() + OURS).hex()
    channel = GenericChannel((SECRET,), headers=HmacHeaders("X-When", "X-Mac", "v9:"))
    assert receive(channel, post({"x-when": str(NOW), "x-mac": value}, OURS)).messages


@pytest.mark.parametrize("wrong", ["upper", "base64", "no prefix", "body only", "other separator"])
def test_a_mac_in_another_form_is_refused(wrong: str) -> None:
    right = mac(SECRET, f"{NOW}.".encode() + OURS)
    value = {
        "upper": f"sha256={right.hex().upper()}",
        "base64": f"sha256={b64(right)}",
        "no prefix": right.hex(),
        "body only": f"sha256={mac(SECRET, OURS).hex()}",
        "other separator": f"sha256={mac(SECRET, f'{NOW}:'.encode() + OURS).hex()}",
    }[wrong]
    for prefix, channel in (
        ("Provider", GenericChannel((SECRET,))),
        ("Chatwoot", ChatwootChannel((SECRET,))),
    ):
        headers = {f"X-{prefix}-Timestamp": str(NOW), f"X-{prefix}-Signature": value}
        refused(channel, post(headers, OURS))


def test_json_that_was_written_again_does_not_verify() -> None:
    again = json.dumps(json.loads(OURS)).encode()
    assert json.loads(again) == json.loads(OURS)
    refused(GenericChannel((SECRET,)), post(timed("Provider")(SECRET, OURS, str(NOW), URL), again))


def test_n8n_does_not_fall_back_to_its_static_secret_when_a_signature_is_wrong() -> None:
    channel, static = N8nChannel((SECRET,)), plain("X-N8N-Secret")(SECRET, OURS, "", "")
    assert receive(channel, post(static, OURS)).messages
    for name in ("X-Provider-Signature", "X-Provider-Timestamp"):
        refused(channel, post(static | {name: "x"}, OURS))


@pytest.mark.parametrize("channel", [N8nChannel(("user:pass",)), D360Channel(("user:pass",))])
def test_basic_credentials_are_a_static_secret_too(channel: Channel) -> None:
    good = {"Authorization": "Basic " + b64(b"user:pass")}
    channel.verify(post(good, b""), datetime.fromtimestamp(NOW, UTC))
    refused(channel, post({"Authorization": "Basic " + b64(b"user:other")}, b""))
    refused(channel, post({"X-Callback-Token": "wrong", "X-N8N-Secret": "wrong"} | good, b""))


# YCloud


@pytest.mark.parametrize(
    "header",
    ["t={t}", "s={s}", "t={t},s={s},s={s}", "t={t},s={s},v=1", "t={t},t={t},s={s}", "t={t};s={s}", "{t},{s}"],
)
def test_a_ycloud_header_in_another_form_is_refused(header: str) -> None:
    value = mac(SECRET, f"{NOW}.".encode() + YCLOUD).hex()
    refused(YCloudChannel((SECRET,)), post({"YCloud-Signature": header.format(t=NOW, s=value)}, YCLOUD))


def test_a_ycloud_secret_is_used_as_it_is() -> None:
    secret = "whsec_" + base64.b64encode(b"sixteen bytes or more").decode()
    request = post(ycloud_headers(secret, YCLOUD, str(NOW), URL), YCLOUD)
    assert receive(YCloudChannel((secret,)), request).messages
    decoded = mac(b"sixteen bytes or more", f"{NOW}.".encode() + YCLOUD).hex()
    refused(YCloudChannel((secret,)), post({"YCloud-Signature": f"t={NOW},s={decoded}"}, YCLOUD))


# Standard Webhooks


def standard(signature: str) -> WebhookRequest:
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(NOW), "webhook-signature": signature}
    return post(headers, STANDARD)


def right_standard(secret: str = SECRET) -> str:
    return b64(mac(secret, f"msg_1.{NOW}.".encode() + STANDARD))


def test_standard_webhooks_rotate_by_a_list_with_junk_in_it() -> None:
    value = f"v1,AAAA  nonsense v2,{right_standard()} v1a,{right_standard()} v1, v1,{right_standard()}"
    assert receive(StandardChannel((STANDARD_SECRET,)), standard(value)).messages


@pytest.mark.parametrize("form", ["v1a,{}", "v2,{}", "{}", "v1,{}=", "v1.{}", "v1 ,{}", "v1,,{}"])
def test_only_v1_signatures_in_their_one_form_count(form: str) -> None:
    refused(StandardChannel((STANDARD_SECRET,)), standard(form.format(right_standard())))


def test_a_standard_secret_needs_no_prefix_and_no_padding() -> None:
    bare = base64.b64encode(b"a key of some bytes").decode().rstrip("=")
    value = "v1," + right_standard("a key of some bytes")
    assert receive(StandardChannel((bare,)), standard(value)).messages


def test_a_standard_secret_that_is_no_base64_shuts_the_door() -> None:
    for secret in ("whsec_*****", "whsec_"):
        with pytest.raises(NotReady):
            receive(StandardChannel((STANDARD_OLD, secret)), standard("v1," + right_standard()))


def test_the_id_of_a_standard_webhook_is_signed() -> None:
    request = standard("v1," + right_standard())
    headers = tuple((name, "msg_2" if name == "webhook-id" else value) for name, value in request.headers)
    refused(StandardChannel((STANDARD_SECRET,)), replace(request, headers=headers))


# Meta


def test_metas_old_sha1_header_and_other_forms_are_no_evidence() -> None:
    sha1 = {"X-Hub-Signature": "sha1=" + mac(SECRET, META, "sha1").hex()}
    refused(MetaChannel((SECRET,)), post(sha1, META))
    value = mac(SECRET, META).hex()
    for form in (value, f"sha256={value.upper()}", f"sha1={value}", f"sha256={value},sha256={value}"):
        refused(MetaChannel((SECRET,)), post({"X-Hub-Signature-256": form}, META))


def test_metas_escaped_unicode_verifies_as_the_bytes_that_came() -> None:
    body = json.dumps(json.loads(META)).replace("/", "\\/").encode()
    delivery = receive(MetaChannel((SECRET,)), post(meta_headers(SECRET, body, "", ""), body))
    assert delivery.messages[0].text == "¿hola 1?"


def handshake(**query: str) -> WebhookRequest:
    return post({}, b"", f"{URL}?{urlencode({f'hub.{name}': value for name, value in query.items()})}", "GET")


HANDSHAKE = MetaChannel((), verify_tokens=(OLD, SECRET))


def test_metas_handshake_gives_the_challenge_back_as_plain_text() -> None:
    delivery = receive(HANDSHAKE, handshake(mode="subscribe", challenge="<b>ñ</b>", verify_token=SECRET))
    assert (delivery.event, delivery.response.status) == ("handshake", 200)
    assert delivery.response.content_type == "text/plain; charset=utf-8"
    assert delivery.response.body.decode() == "<b>ñ</b>"


@pytest.mark.parametrize(
    "query",
    [
        "",
        "hub.mode=subscribe&hub.challenge=1",
        "hub.mode=subscribe&hub.challenge=1&hub.verify_token=",
        f"hub.mode=unsubscribe&hub.challenge=1&hub.verify_token={SECRET}",
        f"hub.challenge=1&hub.verify_token={SECRET}",
        f"hub.mode=subscribe&hub.challenge=1&hub.verify_token={SECRET}&hub.verify_token={SECRET}",
        f"hub.mode=subscribe&hub.challenge=1&hub.verify_token={SECRET}%C3%A9",
        "&".join(["a=1"] * 5000),
    ],
)
def test_another_handshake_is_forbidden_and_echoes_nothing(query: str) -> None:
    with pytest.raises(HandshakeRefused) as caught:
        receive(HANDSHAKE, post({}, b"", f"{URL}?{query}", "GET"))
    assert caught.value.status == 403


def test_a_handshake_without_one_challenge_is_malformed() -> None:
    for challenge in ("", "x" * 5000):
        with pytest.raises(Malformed):
            receive(HANDSHAKE, handshake(mode="subscribe", challenge=challenge, verify_token=SECRET))


def test_the_verify_token_opens_only_the_handshake() -> None:
    with pytest.raises(NotReady):
        receive(HANDSHAKE, post(meta_headers(SECRET, META, "", ""), META))
    with pytest.raises(NotReady):
        receive(MetaChannel((SECRET,)), handshake(mode="subscribe", challenge="1", verify_token=SECRET))


# Twilio


def twilio(body: bytes, url: str = URL, signed_url: str | None = None, **headers: str) -> WebhookRequest:
    made = twilio_headers(SECRET, body, "", signed_url or url)
    return post(made | headers, body, url)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("https://a.example:8443/p?q=1", "https://a.example/p?q=1"),
        ("https://a.example/p", "https://a.example:443/p"),
        ("http://a.example/p", "http://a.example:80/p"),
        ("http://a.example:1234/p", "http://a.example:1234/p"),
        ("https://a.example/p#rc=2", "https://a.example/p"),
        ("https://me:pw@a.example/p", "https://a.example/p"),
        ("https://[::1]:8443/p", "https://[::1]/p"),
        ("https://a.example", "https://a.example"),
    ],
)
def test_twilio_may_sign_the_url_with_or_without_its_port(ours: str, theirs: str) -> None:
    assert receive(TwilioChannel((SECRET,)), twilio(TWILIO_FORM, ours, theirs)).messages


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("https://a.example/p", "http://a.example/p"),
        ("https://a.example/p", "https://a.example/p/"),
        ("https://a.example/p?x=a+b", "https://a.example/p?x=a%20b"),
        ("https://a.example/p", "https://b.example/p"),
        ("https://a.example:8443/p", "https://a.example:443/p"),
        ("ftp://a.example/p", "ftp://a.example/p"),
        ("", ""),
    ],
)
def test_any_other_url_is_not_the_one_that_twilio_signed(ours: str, theirs: str) -> None:
    refused(TwilioChannel((SECRET,)), twilio(TWILIO_FORM, ours, theirs or "x"))


def test_fields_that_nobody_knew_of_are_signed_too() -> None:
    body = TWILIO_FORM + b"&NewField=1&NewField=2&NewField=1&Empty=&Weird%20Name=%F0%9F%92%A1"
    request = twilio(body)
    assert receive(TwilioChannel((SECRET,)), request).messages
    refused(TwilioChannel((SECRET,)), replace(request, body=TWILIO_FORM))
    shuffled = b"&".join(reversed(body.split(b"&")))
    assert receive(TwilioChannel((SECRET,)), replace(request, body=shuffled)).messages


def test_a_form_with_a_thousand_fields_is_refused_before_it_is_taken_apart() -> None:
    body = b"&".join(b"a%d=1" % number for number in range(1001))
    assert "too many fields" in refused(TwilioChannel((SECRET,)), twilio(body))


def test_a_form_longer_than_any_of_twilios_is_refused_before_it_is_taken_apart() -> None:
    assert "too long" in refused(TwilioChannel((SECRET,)), twilio(TWILIO_FORM + b"&x=" + b"1" * 131_072))


def test_a_twilio_body_that_is_no_form_must_be_the_one_whose_hash_is_signed() -> None:
    channel = TwilioChannel((SECRET,))
    good = twilio(TWILIO_JSON, TWILIO_JSON_URL)
    assert receive(channel, good).messages
    for body in (TWILIO_JSON + b" ", b""):
        refused(channel, replace(good, body=body))
    refused(channel, twilio(TWILIO_JSON, URL))
    refused(channel, twilio(TWILIO_JSON, TWILIO_JSON_URL + "&bodySHA256=" + "0" * 64))
    as_form = tuple((name, FORM if name == "Content-Type" else value) for name, value in good.headers)
    refused(channel, replace(good, headers=as_form, body=b""))


def test_a_form_that_calls_itself_json_does_not_escape_its_signature() -> None:
    request = twilio(b"")
    headers = (
        ("X-Twilio-Signature", dict(request.headers)["X-Twilio-Signature"]),
        ("Content-Type", "text/plain"),
    )
    refused(TwilioChannel((SECRET,)), replace(request, headers=headers, body=TWILIO_FORM))


def test_a_twilio_get_carries_its_fields_in_the_signed_url() -> None:
    url = f"{URL}?{TWILIO_FORM.decode()}"
    request = replace(twilio(b"", url), method="GET")
    message = receive(TwilioChannel((SECRET,)), request).messages[0]
    assert (message.message_id, message.text) == ("SM1", " sí ")
    refused(TwilioChannel((SECRET,)), replace(request, url=url.replace("SM1", "SM2")))


def test_status_callbacks_are_verified_like_messages() -> None:
    body = b"MessageSid=SM1&MessageStatus=delivered"
    assert receive(TwilioChannel((SECRET,)), twilio(body)).statuses
    refused(TwilioChannel((OLD,)), twilio(body))


def shared_key(settings: str, secret: str = SECRET, digest: str = "sha256") -> WebhookRequest:
    pairs = [("Body", "x"), ("From", "+1"), ("MessageSid", "SM1")]
    content = URL + "".join(name + value for name, value in pairs)
    headers = {
        "X-Twilio-Signature": b64(mac(secret, content.encode(), digest)),
        "Content-Type": FORM,
        "X-Twilio-Webhooks-Signature-Settings": settings,
    }
    return post(headers, urlencode(pairs).encode())


SHARED = TwilioChannel((OLD,), {"key_1": SECRET})


@pytest.mark.parametrize("digest", ["sha1", "sha256"])
def test_a_shared_key_signs_with_the_algorithm_that_the_header_names(digest: str) -> None:
    settings = f"key=key_1,algorithm=HMAC_{digest.upper()}"
    assert receive(SHARED, shared_key(settings, digest=digest)).messages
    assert receive(TwilioChannel((), {"key_1": SECRET}), shared_key(settings, digest=digest)).messages


@pytest.mark.parametrize(
    "settings",
    [
        "key=key_2,algorithm=HMAC_SHA256",
        "key=key_1,algorithm=HMAC_MD5",
        "key=key_1,algorithm=none",
        "key=key_1",
        "x",
        "",
        "algorithm=HMAC_SHA256",
        "key=key_1,algorithm=HMAC_SHA1",
        "key=key_1,key=key_1,algorithm=HMAC_SHA256",
        "key=key_1,algorithm=HMAC_SHA256,algorithm=HMAC_SHA1",
    ],
)
def test_an_unknown_key_or_algorithm_fails_closed(settings: str) -> None:
    refused(SHARED, shared_key(settings))


def test_an_auth_token_does_not_stand_in_for_a_shared_key() -> None:
    refused(SHARED, shared_key("key=key_1,algorithm=HMAC_SHA256", OLD))
    refused(TwilioChannel((), {"key_1": SECRET}), twilio(TWILIO_FORM))
    refused(TwilioChannel((SECRET,), {"key_1": ""}), shared_key("key=key_1,algorithm=HMAC_SHA256", ""))


# Telegram and Slack


def test_telegrams_token_is_compared_with_its_case_and_whole() -> None:
    channel = TelegramChannel(("tg_Secret-Token_01",))
    for token in (
        "TG_SECRET-TOKEN_01",
        "tg_Secret-Token_0",
        "tg_Secret-Token_01 ",
        "tg_Secret-Token_0é",
        "\u0661",
        "\ud800",
    ):
        refused(channel, post({"X-Telegram-Bot-Api-Secret-Token": token}, TELEGRAM))


def test_slacks_handshake_is_signed_and_verified_first() -> None:
    body = b'{"type":"url_verification","challenge":"abc"}'
    request = post(slack_headers(SECRET, body, str(NOW), URL), body)
    assert receive(SlackChannel((SECRET,)), request).response.body == b"abc"
    refused(SlackChannel((OLD,)), request)


# MessageBird


BIRD_BODY = b"Hello"


def token_request(
    token: str, body: bytes = BIRD_BODY, url: str = URL, method: str = "POST"
) -> WebhookRequest:
    return post({"MessageBird-Signature-JWT": token}, body, url, method)


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_three_hmacs_may_sign_a_messagebird_token(algorithm: str, method: str) -> None:
    token = jwt(claims_for(BIRD_BODY, NOW, URL), SECRET, algorithm)
    delivery = receive(MessageBirdChannel((OLD, SECRET)), token_request(token, method=method))
    assert delivery.ignored[0].message_id == "one-token"


@pytest.mark.parametrize("algorithm", ["none", "None", "RS256", "hs256", "", "HS1"])
def test_no_other_algorithm_is_taken(algorithm: str) -> None:
    token = jwt(claims_for(BIRD_BODY, NOW, URL), SECRET, algorithm)
    assert "algorithm" in refused(MessageBirdChannel((SECRET,)), token_request(token))


@pytest.mark.parametrize(
    "change",
    [
        {"iss": "other"},
        {"nbf": NOW + 2},
        {"exp": NOW - 1},
        {"exp": None},
        {"nbf": None},
        {"exp": True},
        {"exp": "9e99"},
        {"url_hash": None},
        {"url_hash": hashlib.sha256(b"x").hexdigest()},
        {"payload_hash": None},
        {"payload_hash": 5},
        {"payload_hash": hashlib.sha256(b"x").hexdigest()},
    ],
)
def test_a_claim_that_does_not_fit_is_refused(change: dict[str, Any]) -> None:
    claims = {
        name: value for name, value in (claims_for(BIRD_BODY, NOW, URL) | change).items() if value is not None
    }
    refused(MessageBirdChannel((SECRET,)), token_request(jwt(claims, SECRET)))


def test_a_messagebird_token_lives_a_minute_and_a_second() -> None:
    request = post(messagebird_headers(SECRET, b"", str(NOW), URL), b"")
    for now, good in ((NOW - 2, False), (NOW - 1, True), (NOW + 60, True), (NOW + 61, False)):
        if good:
            assert receive(MessageBirdChannel((SECRET,)), request, now).ignored
        else:
            refused(MessageBirdChannel((SECRET,)), request, now)


def test_a_body_added_or_taken_away_on_the_way_is_refused() -> None:
    channel = MessageBirdChannel((SECRET,))
    refused(channel, token_request(jwt(claims_for(b"", NOW, URL), SECRET), b"added"))
    refused(channel, token_request(jwt(claims_for(b"taken", NOW, URL), SECRET), b""))
    assert receive(channel, token_request(jwt(claims_for(b"", NOW, URL), SECRET), b"")).ignored


def test_the_query_of_a_messagebird_url_is_signed_in_its_order() -> None:
    url = f"{URL}?foo={quote('a b')}&bar=2"
    channel, claims = MessageBirdChannel((SECRET,)), claims_for(b"", NOW, url)
    assert receive(channel, token_request(jwt(claims, SECRET), b"", url)).ignored
    refused(channel, token_request(jwt(claims, SECRET), b"", f"{URL}?bar=2&foo={quote('a b')}"))
