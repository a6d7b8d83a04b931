"""Mail: delivers the outbox's letters over SMTP (RFC 5321), with our id as the Message-ID."""

import asyncio
import smtplib
import ssl
from email.message import EmailMessage
from email.policy import SMTP
from urllib.parse import SplitResult, unquote, urlsplit

from .errors import StartError
from .storage.repositories.outbox import OutboxRow
from .turn.outbox import Ambiguous, Refused

TIMEOUT_S = 20.0


class SmtpCourier:
    """`smtp://user:password@host:587` (STARTTLS when offered) or `smtps://…:465`."""

    def __init__(self, url: str, sender: str) -> None:
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
        await asyncio.to_thread(_send, self._url, letter)

    def _letter(self, row: OutboxRow) -> EmailMessage:
        letter = EmailMessage(SMTP)
        letter["From"], letter["To"] = self._sender, row.destination
        letter["Subject"] = str(row.body["subject"]).replace("\r", " ").replace("\n", " ")
        letter["Message-ID"] = f"<{row.id}@llm-planner>"
        letter.set_content(str(row.body["text"]))
        return letter


def _send(url: SplitResult, letter: EmailMessage) -> None:
    sent = False
    try:
        with _connected(url) as server:
            sent = True
            server.send_message(letter)
    except smtplib.SMTPRecipientsRefused as error:
        codes = [code for code, _ in error.recipients.values()]
        raise Refused(f"recipient refused ({codes})", final=all(code >= 500 for code in codes)) from error
    except smtplib.SMTPResponseException as error:
        raise Refused(f"SMTP {error.smtp_code}", final=error.smtp_code >= 500) from error
    except (smtplib.SMTPException, OSError) as error:
        if sent:
            raise Ambiguous(f"{type(error).__name__} after the letter was on its way") from error
        raise Refused(f"no connection ({type(error).__name__})") from error


def _connected(url: SplitResult) -> smtplib.SMTP:
    host, context = url.hostname or "", ssl.create_default_context()
    if url.scheme == "smtps":
        server: smtplib.SMTP = smtplib.SMTP_SSL(host, url.port or 465, timeout=TIMEOUT_S, context=context)
    else:
        server = smtplib.SMTP(host, url.port or 587, timeout=TIMEOUT_S)
        server.ehlo()
        if server.has_extn("starttls"):
            server.starttls(context=context)
    if url.username:
        server.login(unquote(url.username), unquote(url.password or ""))
    return server
