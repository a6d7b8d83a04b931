"""What docs/providers shows: its variables exist, its requests pass their door, and both languages agree."""

import json
import re
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from app.tools import TOOLS
from llm_planner.channels.signing import Unsigned, sign
from llm_planner.llm.scripted import ScriptedModel
from llm_planner.provider_settings import WEBHOOK_SECRETS
from llm_planner.settings import Settings

from .. import docs_tools as docs
from ..harness import Client
from .kit import BASE, SECRET

FOLDER = docs.ROOT / "docs" / "providers"
PAGES = sorted(path for path in FOLDER.glob("*.md") if path.stem.partition(".")[0] in WEBHOOK_SECRETS)
IN_SPANISH = ("twilio", "meta", "ycloud", "360dialog")
STANDARD_SECRET = "whsec_YS13ZWJob29rLXNlY3JldC1mb3ItdGhlLXRlc3Rz"
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def text_of(name: str) -> str:
    return (FOLDER / f"{name}.md").read_text("utf-8")


def indented_blocks(text: str, kind: str) -> list[str]:
    """Fenced blocks of one kind, also inside lists."""
    found = re.findall(rf"^( *)```{kind}\n(.*?)^\1```$", text, re.DOTALL | re.MULTILINE)
    return [re.sub(rf"^{indent}", "", body, flags=re.MULTILINE) for indent, body in found]


def body_of(name: str) -> bytes:
    """The request that a page says to try."""
    if name == "360dialog":
        return body_of("meta")
    if name == "twilio":
        fields = {"MessageSid": "SM00000000000000000000000000000001", "From": "whatsapp:+5215550001"}
        fields |= {"To": "whatsapp:+14155238886", "Body": "hola"}
        shown = indented_blocks(text_of("twilio"), "bash")[0]
        assert urlencode(fields) in shown.replace("%%", "%")
        return urlencode(fields).encode()
    return indented_blocks(text_of(name), "json")[0].encode()


def test_every_provider_has_a_page_and_the_whatsapp_ones_have_it_in_spanish_too() -> None:
    names = {page.stem for page in PAGES}
    assert names == {*WEBHOOK_SECRETS, *(f"{name}.es" for name in IN_SPANISH)}
    index = docs.links((FOLDER / "README.md").read_text("utf-8"))
    assert {page.name for page in PAGES} <= set(index)


@each_page
def test_the_variables_of_a_page_are_settings(page: Path) -> None:
    text = page.read_text("utf-8")
    named = re.findall(r"^ *([A-Z][A-Z0-9_]+)=", "\n".join(indented_blocks(text, "ini")), re.MULTILINE)
    named += re.findall(r"`([A-Z][A-Z0-9]*_[A-Z0-9_]+)(?:=[^`]*)?`", text)
    assert named
    assert {name.lower() for name in named} <= set(Settings.model_fields)


@pytest.mark.parametrize("name", IN_SPANISH)
def test_both_languages_show_the_same(name: str) -> None:
    english, spanish = text_of(name), text_of(f"{name}.es")
    assert indented_blocks(english, "json") == indented_blocks(spanish, "json")
    assert [level for level, _ in docs.headings(english)] == [level for level, _ in docs.headings(spanish)]
    codes = [re.findall(r"^\| *(\d[\d, ]*)", text, re.MULTILINE) for text in (english, spanish)]
    assert codes[0] == codes[1]


@pytest.mark.parametrize("name", WEBHOOK_SECRETS)
async def test_the_request_that_a_page_says_to_try_is_taken_as_a_message(serve: Any, name: str) -> None:
    secret = STANDARD_SECRET if name == "standard" else SECRET
    client: Client = await serve(
        tools=TOOLS, model=ScriptedModel([]), **{WEBHOOK_SECRETS[name]: secret}, public_base_url=BASE
    )  # fmt: skip
    path, body = f"/provider/{name}/inbound", body_of(name)
    url, headers = sign(name, Unsigned(secret, BASE + path, body, int(time.time())))
    async with client.http.post(client.url + url.removeprefix(BASE), data=body, headers=headers) as answer:
        assert answer.status in (200, 202), await answer.text()
    (row,) = await client.rows("SELECT inbound FROM turns")
    assert json.loads(row.inbound)["text"] in ("hola", "where is order A-1234?")
