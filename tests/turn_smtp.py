"""An SMTP server for tests, on a loopback port: takes letters, refuses them, or hangs up when told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class FakeSmtp:
    """`answers` give the reply to a command instead of the usual one, `cut` names the moment to hang up:
    GREETING, MAIL, DATA (after the letter was read), TAKEN (after it was accepted) or QUIT."""

    answers: dict[str, str] = field(default_factory=dict)
    cut: str = ""
    letters: list[str] = field(default_factory=list)
    connections: int = 0
    port: int = 0

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            await self._talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        def say(line: str) -> None:
            writer.write(f"{line}\r\n".encode())

        if self.cut == "GREETING":
            return
        say(self.answers.get("GREETING", "220 test"))
        while line := (await reader.readline()).decode().strip():
            verb = line.split(" ")[0].split(":")[0].upper()
            if verb == self.cut and verb != "DATA":
                return
            if verb == "DATA" and "DATA" not in self.answers:
                say("354 go on")
                body = (await reader.readuntil(b"\r\n.\r\n")).decode()
                if self.cut == "DATA":
                    return
                taken = self.answers.get("LETTER", "250 taken")
                if taken.startswith("250"):
                    self.letters.append(body)
                say(taken)
                if self.cut == "TAKEN":
                    await writer.drain()
                    return
                continue
            usual = {"QUIT": "221 bye", "EHLO": "250 test"}.get(verb, "250 fine")
            say(self.answers.get(verb, usual))
            await writer.drain()


@asynccontextmanager
async def fake_smtp(cut: str = "", **answers: str) -> AsyncIterator[FakeSmtp]:
    fake = FakeSmtp(answers, cut)
    server = await asyncio.start_server(fake.talk, "127.0.0.1", 0)
    fake.port = server.sockets[0].getsockname()[1]
    async with server:
        yield fake
