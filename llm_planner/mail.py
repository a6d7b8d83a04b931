"""Mail: delivers the outbox's letters over SMTP (RFC 5321), with our id as the Message-ID."""

import asyncio
import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from urllib.parse import SplitResult, unquote, urlsplit

from sqlalchemy import Connection

from .delivery.base import TryLater
from .delivery.pace import Lane, Limit, Pace
from .errors import StartError
from .storage.repositories.outbox import OutboxRow
from .turn.outbox import Ambiguous, Refused

TIMEOUT_S = 20.0
TO_ONE = Limit(every_s=5.0, burst=20)
"""Letters to one address: a plan that runs wild must not fill anybody's mailbox, nor get the server shut out."""


class SmtpCourier:
    """`smtp://user:password@host:587` (STARTTLS when offered) or `smtps://…:465`."""

    def __init__(self, url: str, sender: str, pace: Pace) -> None:
        self._pace = pace
        self._url = urlsplit(url)
        self._sender = sender
        if self._url.scheme not in ("smtp", "smtps") or not self._url.hostname:
            raise StartError("SMTP_URL: smtp://user:password@host:587 or smtps://user:password@host:465")

    async def deliver(self, row: OutboxRow) -> None:
        """Hand one letter to the server. Raises Refused or Ambiguous."""
        try:
            letter = self._letter(row)
        except ValueError as error:
            raise Refused(f"not a letter: {error}", final=True) from error
        wait_s = self._pace.take([Lane(f"mail:{row.destination}", TO_ONE)])
        if wait_s > 0.0:
            raise TryLater("this address has had many letters just now", wait_s)
        await asyncio.to_thread(_send, self._url, letter)

    def probe(self) -> None:
        """Connect, log in and leave; no letter. Raises Refused. It blocks: call it in a thread."""
        with _connected(self._url):
            pass

    def settled(self, conn: Connection, row: OutboxRow, moment: datetime) -> bool:
        """Nobody reports about letters."""
        return False

    def repeatable(self, row: OutboxRow) -> bool:
        """Servers take a Message-ID twice."""
        return False

    def _letter(self, row: OutboxRow) -> EmailMessage:
        letter = EmailMessage(SMTP)
        letter["From"], letter["To"] = self._sender, row.destination
        letter["Subject"] = str(row.body["subject"]).replace("\r", " ").replace("\n", " ")
        letter["Message-ID"] = f"<{row.id}@llm-planner>"
        letter.set_content(str(row.body["text"]))
        return letter


def _send(url: SplitResult, letter: EmailMessage) -> None:
    """Raises Refused where the letter surely was not taken, Ambiguous where nobody can say."""
    with _connected(url) as server:
        try:
            server.send_message(letter)
        except smtplib.SMTPRecipientsRefused as error:
            codes = [code for code, _ in error.recipients.values()]
            final = all(code >= 500 for code in codes)
            raise Refused(f"recipient refused ({codes})", final=final) from error
        except smtplib.SMTPResponseException as error:
            raise Refused(f"SMTP {error.smtp_code}", final=error.smtp_code >= 500) from error
        except (smtplib.SMTPNotSupportedError, ValueError) as error:
            raise Refused(f"not an address for this server ({type(error).__name__})", final=True) from error
        except (smtplib.SMTPException, OSError) as error:
            if not server.began:
                raise Refused(f"{type(error).__name__} before the letter was sent") from error
            raise Ambiguous(f"{type(error).__name__} after the letter was on its way") from error


class _Server(smtplib.SMTP):
    """Knows whether the letter itself began to leave."""

    began = False

    def data(self, msg: str | bytes) -> tuple[int, bytes]:  # type: ignore[override]
        self.began = True
        return super().data(msg)


class _TlsServer(_Server, smtplib.SMTP_SSL):
    """The same inside TLS from the first byte."""


@contextmanager
def _connected(url: SplitResult) -> Iterator[_Server]:
    """A server that is ready for a letter. What goes wrong before says nothing about the letter, and what
    goes wrong after it was taken (at QUIT) changes nothing any more."""
    try:
        server = _opened(url)
    except (smtplib.SMTPException, OSError, ValueError) as error:
        raise Refused(f"no connection ({type(error).__name__})") from error
    try:
        yield server
        with suppress(smtplib.SMTPException, OSError):
            server.quit()
    finally:
        server.close()


def _opened(url: SplitResult) -> _Server:
    host, context = url.hostname or "", ssl.create_default_context()
    if url.scheme == "smtps":
        server: _Server = _TlsServer(host, url.port or 465, timeout=TIMEOUT_S, context=context)
    else:
        server = _Server(host, url.port or 587, timeout=TIMEOUT_S)
    try:
        server.ehlo()
        if url.scheme == "smtp" and server.has_extn("starttls"):
            server.starttls(context=context)
        if url.username:
            server.login(unquote(url.username), unquote(url.password or ""))
    except (smtplib.SMTPException, OSError, ValueError):
        server.close()
        raise
    return server
