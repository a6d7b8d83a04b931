"""`webhook`: sign a request as a provider does, send stored ones again, run vectors through the adapters."""

import json
import os
import shlex
from collections import Counter
from pathlib import Path
from typing import Any

import click

from ..channels.signing import SIGNERS, Unsigned, sign
from ..channels.vectors import differences
from ..clock import SystemClock
from ..errors import StartError
from ..providers import public_base, secret_setting, webhook_secrets
from ..settings import Settings, load_settings
from .common import AS_JSON
from .replaying import replay

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def webhook() -> None:
    """What providers send to /provider/inbound."""


@webhook.command("check")
@click.argument("file", metavar="VECTORS.json", type=_FILE)
@AS_JSON
def check(file: Path, as_json: bool) -> None:
    """Run test vectors through the adapters; exit code 1 when one fails."""
    results = [(_title(vector), _problems(vector)) for vector in _vectors(file)]
    failed = [(title, problems) for title, problems in results if problems]
    if as_json:
        report = {"passed": len(results) - len(failed), "failed": [_row(*item) for item in failed]}
        click.echo(json.dumps(report, ensure_ascii=False, indent=2))
    else:
        for title, problems in failed:
            click.echo(f"FAILED {title}: {'; '.join(problems)}")
        for provider, count in sorted(Counter(title.split("/")[0] for title, _ in results).items()):
            click.echo(f"{provider}: {count} vectors")
        click.echo(f"{len(results) - len(failed)} passed, {len(failed)} failed")
    if failed:
        raise SystemExit(1)


def _vectors(file: Path) -> list[Any]:
    try:
        found = json.loads(file.read_text("utf-8"))
    except (ValueError, RecursionError):
        raise StartError(f"{file} is not JSON") from None
    if not isinstance(found, list) or not found:
        raise StartError(f"{file} is no list of vectors")
    return found


def _title(vector: Any) -> str:
    return f"{vector.get('provider')}/{vector.get('name')}" if isinstance(vector, dict) else "?"


def _problems(vector: Any) -> list[str]:
    if not isinstance(vector, dict):
        return ["no vector: not an object"]
    try:
        return differences(vector)
    except ValueError as error:
        return [str(error)]


def _row(title: str, problems: list[str]) -> dict[str, Any]:
    return {"vector": title, "problems": problems}


@webhook.command("sign")
@click.argument("provider", type=click.Choice(sorted(SIGNERS)))
@click.argument("file", type=_FILE)
@click.option("--secret", help="The provider's secret; of several, comma between, the first one signs.")
@click.option("--url", help="The public address, as the provider would be given it.")
@click.option("--at", "moment", type=int, help="Unix seconds to sign for; now when not given.")
def sign_command(provider: str, file: Path, secret: str | None, url: str | None, moment: int | None) -> None:
    """Print a curl command that posts FILE signed as PROVIDER signs; it is valid for five minutes.

    Secret and address are those of the settings (the environment and .env) where they are not given: a
    server that runs with the same settings takes it. Twilio, Bird and MessageBird sign the address too.
    """
    now = int(SystemClock().now().timestamp()) if moment is None else moment
    first, url = secret.split(",")[0].strip() if secret else "", url or ""
    if not (first and url):
        settings = load_settings()
        first, url = first or _own_secret(settings, provider), url or _own_url(settings, provider)
    try:
        target, headers = sign(provider, Unsigned(first, url, file.read_bytes(), now))
    except ValueError:
        raise StartError("this secret is not what the provider gives out (whsec_ and base64)") from None
    options = [part for name, value in headers.items() for part in ("-H", f"{name}: {value}")]
    words = ["curl", "-i", "-X", "POST", *options, "--data-binary", f"@{os.fspath(file)}", target]
    click.echo(shlex.join(words))


def _own_secret(settings: Settings, provider: str) -> str:
    found = webhook_secrets(settings, provider)
    if not found:
        raise StartError(f"no secret: give --secret, or set {secret_setting(settings, provider)}")
    return found[0]


def _own_url(settings: Settings, provider: str) -> str:
    base = public_base(settings)
    if base is None:
        raise StartError("no address: give --url, or set PUBLIC_BASE_URL")
    return f"{base}/provider/{provider}/inbound"


webhook.add_command(replay)
