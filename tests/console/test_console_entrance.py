"""Who enters the console: passwords, cookies, forms, this very machine; and how one is put out again."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from llm_planner.errors import StartError
from llm_planner.keys import Keyring
from llm_planner.storage.repositories import operators

from ..harness import ROOT, Client, settings_for
from .conftest import FORWARDED, PASSWORD, People, Person, ServeConsole, add_operator

BOOTSTRAP = "the bootstrap password"


def cookies(somebody: Person) -> dict[str, str]:
    return {cookie.key: cookie.value for cookie in somebody.http.cookie_jar}


def carry(somebody: Person, name: str, value: str) -> None:
    somebody.headers["Cookie"] = f"{name}={value}"


async def stays_out(somebody: Person) -> bool:
    page = await somebody.get("/console/sessions")
    return page.path.startswith("/console/login?next=")


@pytest.mark.covers("http.console")
async def test_the_root_leads_to_the_console_which_is_open_on_this_machine_in_development(
    serve_console: ServeConsole, person: People
) -> None:
    somebody = await person(await serve_console())
    page = await somebody.get("/")
    assert (page.status, page.path) == (200, "/console/chat")
    assert page.has("local")


async def test_it_is_not_open_to_whoever_was_forwarded_or_comes_from_another_page(
    serve_console: ServeConsole, person: People
) -> None:
    somebody = await person(await serve_console())
    for headers in (FORWARDED, {"Host": "localhost.example"}, {"Sec-Fetch-Site": "cross-site"}):
        page = await somebody.get("/console/sessions", **headers)
        assert page.path.startswith("/console/login") or page.status == 421, headers
        assert not page.has("local")


async def test_it_is_not_open_in_production_nor_once_there_is_somebody_to_log_in_as(
    serve_console: ServeConsole, person: People
) -> None:
    client = await serve_console()
    somebody = await person(client)
    assert (await somebody.get("/console/sessions")).path == "/console/sessions"
    await add_operator(client, "anne", "viewer")
    assert await stays_out(somebody)


async def test_in_production_nobody_is_let_in_without_a_name(
    serve_console: ServeConsole, person: People
) -> None:
    client = await serve_console(environment="production", web_auth="token")
    somebody = await person(client)
    page = await somebody.get("/console/sessions")
    assert page.path.startswith("/console/login")
    assert page.has("Nobody can log in yet")


@pytest.mark.covers("who.console")
async def test_the_bootstrap_password_opens_it_for_admin_until_admin_has_a_row(
    serve_console: ServeConsole, person: People
) -> None:
    client = await serve_console(console_password=BOOTSTRAP)
    somebody = await person(client)
    assert await stays_out(somebody)
    assert (await somebody.log_in("admin", "another password")).status == 401
    assert (await somebody.log_in("root", BOOTSTRAP)).status == 401
    assert (await somebody.log_in("admin", BOOTSTRAP)).has("admin")
    await add_operator(client, "admin", "viewer")
    assert await stays_out(somebody)
    other = await person(client)
    assert (await other.log_in("admin", BOOTSTRAP)).status == 401
    assert (await other.log_in("admin", PASSWORD)).status == 200


def test_production_refuses_a_short_bootstrap_password(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="CONSOLE_PASSWORD: shorter than 16 bytes"):
        settings_for(
            "sqlite:///x.db", tmp_path, environment="production", web_auth="token", console_password="short"
        )


async def test_every_reason_to_say_no_reads_the_same(serve_console: ServeConsole, person: People) -> None:
    client = await serve_console()
    await add_operator(client, "anne", "admin")
    await add_operator(client, "bob", "admin")
    await client.rows("UPDATE operators SET disabled_at = created_at WHERE name = 'bob'")
    somebody, pages = await person(client), []
    for name, password in (("anne", "wrong"), ("nobody", PASSWORD), ("bob", PASSWORD), ("", "")):
        page = await somebody.log_in(name, password)
        assert page.status == 401
        pages.append(page.text.replace(f'value="{name}"', 'value=""'))
    assert len(set(pages)) == 1


async def test_a_login_is_a_signed_cookie_that_no_script_reads_and_a_row_without_the_secret(
    serve_console: ServeConsole, person: People
) -> None:
    client = await serve_console()
    await add_operator(client, "anne", "operator")
    somebody = await person(client)
    page = await somebody.post("/console/login", {"name": "anne", "password": PASSWORD}, follow=False)
    (cookie,) = page.headers.getall("set-cookie")
    assert re.match(r"llm_planner_console=[\w-]{43}\.[\w-]{43};", cookie)
    assert {part.strip().lower().partition("=")[0] for part in cookie.split(";")[1:]} >= {
        "httponly",
        "samesite",
    }
    assert "path=/console" in cookie.lower()
    value = cookies(somebody)["llm_planner_console"]
    (row,) = await client.rows("SELECT id, operator FROM console_logins")
    assert row.operator == "anne"
    assert row.id not in value


async def test_logging_out_ends_the_login_for_whoever_kept_the_cookie(
    serve_console: ServeConsole, person: People
) -> None:
    client = await serve_console()
    anne = await person(client, "anne", "operator")
    kept = cookies(anne)["llm_planner_console"]
    await anne.post("/console/logout")
    thief = await person(client)
    carry(thief, "llm_planner_console", kept)
    assert await stays_out(thief)
    assert await client.rows("SELECT * FROM console_logins") == []


@pytest.mark.parametrize("change", ["disabled", "password", "removed", "expired"])
async def test_what_changes_in_the_table_counts_at_once(
    serve_console: ServeConsole, person: People, change: str
) -> None:
    client = await serve_console()
    anne = await person(client, "anne", "operator")
    moment = "'2020-01-01 00:00:00.000000'"
    await client.rows(
        {
            "disabled": f"UPDATE operators SET disabled_at = {moment}",
            "password": "UPDATE operators SET password = 'another'",
            "removed": "DELETE FROM operators",
            "expired": f"UPDATE console_logins SET expires_at = {moment}",
        }[change]
    )
    anne.headers |= FORWARDED
    assert await stays_out(anne)


async def test_another_role_counts_at_once(serve_console: ServeConsole, person: People) -> None:
    client = await serve_console()
    anne = await person(client, "anne", "viewer")
    assert (await anne.get("/console/sessions")).status == 200
    await client.rows("UPDATE operators SET role = 'billing'")
    assert (await anne.get("/console/sessions")).status == 403
    assert (await anne.get("/console")).path == "/console/approvals"


async def test_a_new_password_and_disabling_end_the_logins_in_the_table_too(
    serve_console: ServeConsole, person: People
) -> None:
    client = await serve_console()
    await person(client, "anne", "operator")
    assert await client.parts.database.run(lambda conn: operators.set_password(conn, "anne", "x"))
    assert await client.rows("SELECT * FROM console_logins") == []


async def test_a_forged_cookie_is_none_at_all(serve_console: ServeConsole, person: People) -> None:
    client = await serve_console()
    anne = await person(client, "anne", "admin")
    good = cookies(anne)["llm_planner_console"]
    value, _, mac = good.partition(".")
    other = Keyring(b"another secret of 16 bytes and more").mac("console-cookie", value.encode())
    assert other.hex() != mac
    for forged in (
        value,
        f"{value}.",
        f"{value}.{mac[::-1]}",
        f"x{value}.{mac}",
        f"{value}.{other.hex()}",
        "é.é",
    ):
        thief = await person(client)
        carry(thief, "llm_planner_console", forged)
        assert await stays_out(thief), forged


async def test_a_guests_cookie_is_no_login(serve_console: ServeConsole, person: People) -> None:
    client = await serve_console()
    await add_operator(client, "anne", "admin")
    guest = await person(client)
    await guest.get("/console/login")
    carry(guest, "llm_planner_console", cookies(guest)["llm_planner_guest"])
    assert await stays_out(guest)


async def test_wrong_passwords_are_counted_before_they_are_compared(
    serve_console: ServeConsole, person: People
) -> None:
    client = await serve_console()
    await add_operator(client, "anne", "admin")
    await add_operator(client, "bob", "admin")
    somebody = await person(client)
    for _ in range(10):
        assert (await somebody.log_in("anne", "wrong")).status == 401
    assert (await somebody.log_in("anne", PASSWORD)).status == 401
    assert (await somebody.log_in("bob", PASSWORD)).status == 200


@pytest.mark.parametrize("believed", [True, False])
async def test_tries_are_counted_by_address_and_behind_a_proxy_of_ours_by_whom_it_names(
    serve_console: ServeConsole, person: People, monkeypatch: pytest.MonkeyPatch, believed: bool
) -> None:
    monkeypatch.setattr("llm_planner.console.reception.TRIES_A_PLACE", 3)
    client = await serve_console(**({"trusted_proxies": "127.0.0.0/8"} if believed else {}))
    await add_operator(client, "anne", "admin")
    somebody, other = await person(client), await person(client)
    somebody.headers |= {"X-Forwarded-For": "203.0.113.9"}
    other.headers |= {"X-Forwarded-For": "203.0.113.10"}
    for number in range(3):
        assert (await somebody.log_in(f"x{number}", "wrong")).status == 401
    assert (await somebody.log_in("anne")).status == 401
    assert (await other.log_in("anne")).status == (200 if believed else 401)


async def test_a_form_needs_the_token_that_this_very_browser_was_given(
    serve_console: ServeConsole, person: People
) -> None:
    client = await serve_console()
    anne, bob = await person(client, "anne"), await person(client, "bob")
    foreign = (await bob.get("/console/sessions")).csrf
    for token in ("", "wrong", foreign):
        page = await anne.post("/console/logout", csrf=token)
        assert page.status == 403
    for origin in ({"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
        assert (await anne.post("/console/logout", **origin)).status == 403
    assert len(await client.rows("SELECT * FROM console_logins")) == 2
    async with anne.http.post(client.url + "/console/logout", json={"csrf": "x"}) as answer:
        assert answer.status == 415


async def test_after_the_login_one_is_where_one_wanted_to_go_and_never_elsewhere(
    serve_console: ServeConsole, person: People
) -> None:
    client = await serve_console()
    await add_operator(client, "anne", "admin")
    for target, ends in (
        ("/console/sessions?q=x", "/console/sessions?q=x"),
        ("https://evil.example/console/", "/console"),
        ("//evil.example/console/", "/console"),
        ("/console\\@evil.example", "/console"),
        ("/consolex", "/console"),
    ):
        somebody = await person(client)
        page = await somebody.post(
            "/console/login", {"name": "anne", "password": PASSWORD, "next": target}, follow=False
        )
        assert (page.status, page.headers["location"]) == (303, ends)


async def test_logins_and_logouts_are_audited_by_name(serve_console: ServeConsole, person: People) -> None:
    client = await serve_console()
    anne = await person(client, "anne")
    await anne.post("/console/logout")
    await anne.log_in("anne", "wrong")
    rows = await client.rows("SELECT kind, actor, payload FROM audit_events ORDER BY seq")
    assert [(row.kind, row.actor) for row in rows] == [
        ("logged_in", "anne"), ("logged_out", "anne"), ("login_refused", "system"),
    ]  # fmt: skip
    assert "wrong" not in str(rows)


async def test_a_page_may_load_its_own_files_only_and_is_never_kept(
    serve_console: ServeConsole, person: People
) -> None:
    somebody = await person(await serve_console())
    page = await somebody.get("/console/sessions")
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["x-content-type-options"] == "nosniff"
    assert " style=" not in page.text
    assert not re.findall(r"<script(?![^>]+src=)|\son\w+=|https?://(?!www\.w3\.org)", page.text)
    files = re.findall(r'(?:href|src)="(/console/static/[^"]+)"', page.text)
    assert len(files) >= 3
    for file in files:
        answer = await somebody.get(file)
        assert answer.status == 200
        assert "immutable" in answer.headers["cache-control"]
    assert (await somebody.get("/console/static/nothing.js")).status == 404


async def test_the_language_is_the_browsers_until_one_is_chosen(
    serve_console: ServeConsole, person: People
) -> None:
    somebody = await person(await serve_console())
    for wanted, said in (
        ("es-AR,es;q=0.9", "Sesiones"),
        ("pt-BR", "Sessões"),
        ("fr, en;q=0.5", "Sessions"),
        ("fr", "Sesiones"),
    ):
        assert (await somebody.get("/console/sessions", **{"Accept-Language": wanted})).has(said)
    page = await somebody.post("/console/locale", {"locale": "pt", "next": "/console/sessions"})
    assert page.path == "/console/sessions"
    assert page.has("Sessões")
    assert 'lang="pt"' in page.text
    await somebody.post("/console/locale", {"locale": "xx", "next": "/console/sessions"})
    assert (await somebody.get("/console/sessions")).has("Sessões")


async def test_an_unknown_address_is_a_page_of_ours(serve_console: ServeConsole, person: People) -> None:
    somebody = await person(await serve_console())
    page = await somebody.get("/console/nothing")
    assert (page.status, page.has("That does not exist.")) == (404, True)
    somebody.headers |= FORWARDED
    assert (await somebody.get("/console/nothing")).path.startswith("/console/login")


def test_without_the_package_the_console_says_how_to_install_it() -> None:
    program = """
import asyncio, sys
sys.modules["jinja2"] = None
from starlette.requests import Request
from llm_planner.console.doors import router
from llm_planner.console.rendering import MISSING
(route,) = router(None, None).routes
answer = asyncio.run(route.endpoint(Request({"type": "http", "path": "/console"})))
assert (answer.status_code, answer.body.decode()) == (503, MISSING)
assert "pip install" in MISSING
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


async def test_somebody_without_a_name_gets_no_page_but_the_entrance(
    serve_console: ServeConsole, person: People
) -> None:
    client: Client = await serve_console(console_password=BOOTSTRAP)
    somebody = await person(client)
    assert (await somebody.post("/console/approvals/x/approve")).status == 401
    page = await somebody.get("/console/approvals/rows", **{"HX-Request": "true"})
    assert page.status == 401
    assert page.headers["hx-redirect"].startswith("/console/login?next=")
