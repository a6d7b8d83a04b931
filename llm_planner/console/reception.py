"""The reception: who enters the console, by cookie, password or this very machine; never a hint about names."""

import asyncio
import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from ..api.auth import Operator, trusted_loopback
from ..api.limits import address_of
from ..keys import Keyring
from ..passwords import LONGEST, hashed, matches
from ..settings import Settings
from ..storage.database import Database, now
from ..storage.repositories import operators, usage
from ..storage.repositories.operators import LoginRow, OperatorRow

COOKIE, GUEST, LOCALE = "llm_planner_console", "llm_planner_guest", "llm_planner_locale"
BOOTSTRAP = "admin"
"""Whose password `CONSOLE_PASSWORD` is."""
LOCAL = Operator("local", "admin")
"""Who uses this very machine in development, as long as there is nobody to log in as."""
LASTS = timedelta(hours=12)
WINDOW_MIN = 5
TRIES_A_NAME, TRIES_A_PLACE = 10, 60
"""Login tries in one window: for one name, and from one address."""
_AT_ONCE = 2
"""Password checks at a time: each takes 64 MiB."""


@dataclass(frozen=True, slots=True)
class Guest:
    """A browser: its secret id from whichever cookie counts, and who it is logged in as."""

    id: str
    who: Operator | None
    fresh: bool
    """Whether the id was made just now and has to be sent."""


class Reception:
    """Checks cookies and passwords, and keeps the logins."""

    def __init__(self, settings: Settings, keys: Keyring, database: Database) -> None:
        self._settings = settings
        self._keys = keys
        self._database = database
        self._checking = asyncio.Semaphore(_AT_ONCE)
        self._nobody: str | None = None

    async def guest(self, request: Request) -> Guest:
        """Who sends this request; a forged, ended or foreign cookie counts for nothing."""
        logged_in = self._opened(request.cookies.get(COOKIE))
        local = not self._settings.production and trusted_loopback(request)
        who = await self._database.read(lambda conn: self._who(conn, logged_in, local))
        if logged_in is not None and who not in (None, LOCAL):
            return Guest(logged_in, who, fresh=False)
        known = self._opened(request.cookies.get(GUEST))
        return Guest(known or secrets.token_urlsafe(32), who, fresh=known is None)

    def _who(self, conn: Connection, login_id: str | None, local: bool) -> Operator | None:
        row = operators.login(conn, _hash(login_id), now(conn)) if login_id is not None else None
        if row is not None:
            found = self._account(conn, row.operator)
            if found is not None and hmac.compare_digest(self._credential(found), row.credential):
                return Operator(found.name, found.role)
        alone = local and self._settings.console_password is None and not operators.any_there(conn)
        return LOCAL if alone else None

    async def nobody_can(self) -> bool:
        """Whether there is no name at all to log in with."""
        if self._settings.console_password is not None:
            return False
        return not await self._database.read(operators.any_there)

    def _account(self, conn: Connection, name: str) -> OperatorRow | None:
        """The operator who may log in under this name: of the table, or the one of `CONSOLE_PASSWORD`."""
        row = operators.get(conn, name)
        if row is not None:
            return row if row.disabled_at is None else None
        if name != BOOTSTRAP or self._settings.console_password is None:
            return None
        moment = now(conn)
        return OperatorRow(BOOTSTRAP, BOOTSTRAP, "admin", "", moment, "CONSOLE_PASSWORD")

    def _credential(self, row: OperatorRow) -> str:
        """What a login was opened with, so that another password ends it."""
        password = self._settings.console_password
        secret = row.password or (password.get_secret_value() if password is not None else "")
        return self._keys.mac("console-credential", secret.encode(errors="replace")).hex()

    async def log_in(self, request: Request, name: str, password: str) -> str | None:
        """A new login's cookie value; None for a wrong name or password, or too many tries of either."""
        place = address_of(request, self._settings.trusted_proxies)
        allowed, row = await self._database.run(lambda conn: self._tried(conn, name, place))
        right = await self._right(row, password[:LONGEST])
        if not (allowed and right) or row is None:
            return None
        login_id, credential = secrets.token_urlsafe(32), self._credential(row)

        def transaction(conn: Connection) -> None:
            moment = now(conn)
            operators.forget_logins(conn, moment)
            operators.log_in(conn, LoginRow(_hash(login_id), row.name, credential, moment, moment + LASTS))

        await self._database.run(transaction)
        return login_id

    def _tried(self, conn: Connection, name: str, place: str) -> tuple[bool, OperatorRow | None]:
        """Count the try before anything is compared (rule 11)."""
        moment = now(conn)
        window = f"{moment:%H}{moment.minute // WINDOW_MIN:02}"
        counted = [
            usage.spend(conn, f"login:{window}:{kind}:{_hash(of)}", moment.date().isoformat(), most, 0)
            for kind, of, most in (("name", name, TRIES_A_NAME), ("from", place, TRIES_A_PLACE))
        ]
        return all(counted), self._account(conn, name)

    async def _right(self, row: OperatorRow | None, password: str) -> bool:
        """Whether the password is that account's; the same work is done where there is no account."""
        async with self._checking:
            stored = row.password if row is not None else ""
            if not stored and self._nobody is None:
                self._nobody = await asyncio.to_thread(hashed, secrets.token_urlsafe(16))
            stored = stored or self._nobody or ""
            right = await asyncio.to_thread(matches, password, stored)
        bootstrap = self._settings.console_password
        if row is not None and not row.password and bootstrap is not None:
            expected = self._keys.mac("console-bootstrap", bootstrap.get_secret_value().encode())
            given = self._keys.mac("console-bootstrap", password.encode(errors="replace"))
            return hmac.compare_digest(expected, given)
        return right and row is not None

    async def log_out(self, guest: Guest) -> None:
        await self._database.run(lambda conn: operators.log_out(conn, _hash(guest.id)))

    def csrf(self, guest: Guest) -> str:
        """What this browser's forms carry."""
        return _text(self._keys.mac("console-csrf", guest.id.encode()))

    def brings(self, guest: Guest, token: str) -> bool:
        """Whether a form carries what was given to this browser."""
        good = [_text(mac) for mac in self._keys.macs("console-csrf", guest.id.encode())]
        same = [hmac.compare_digest(one.encode(), token.encode(errors="replace")) for one in good]
        return any(same)

    def keep(self, request: Request, response: Response, name: str, value: str) -> None:
        """Set one of our cookies: signed, unless it is only a language."""
        secure = self._settings.production or request.url.scheme == "https"
        lasts = int(LASTS.total_seconds()) if name == COOKIE else None
        signed = value if name == LOCALE else f"{value}.{_text(self._mac(value))}"
        response.set_cookie(
            name, signed, max_age=lasts, path="/console", secure=secure, httponly=True, samesite="lax"
        )

    def _mac(self, value: str) -> bytes:
        return self._keys.mac("console-cookie", value.encode())

    def _opened(self, cookie: str | None) -> str | None:
        """The id in a cookie that we signed."""
        value, dot, given = (cookie or "").rpartition(".")
        good = [_text(mac) for mac in self._keys.macs("console-cookie", value.encode(errors="replace"))]
        same = [hmac.compare_digest(one.encode(), given.encode(errors="replace")) for one in good]
        return value if dot and any(same) else None


def _hash(value: str) -> str:
    return hashlib.sha256(value.encode(errors="replace")).hexdigest()


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
