"""Who is calling: internal API keys, keys of operators and machines, and the three ways of `WEB_AUTH`."""

import base64
import hashlib
import hmac
import ipaddress
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.requests import Request

from ..errors import Forbidden, NotFound, Unauthorized
from ..keys import Keyring
from ..messages import SessionKey, canonical
from ..settings import Settings
from .jwt import JwtVerifier
from .machine_keys import MachineKeys

WEB, WHATSAPP = "web", "wa"
READERS = frozenset(["viewer", "operator", "approver", "admin"])
_MINTED = "st_"


@dataclass(frozen=True, slots=True)
class Operator:
    """A person or machine that looks after the agent."""

    name: str
    role: str

    @property
    def sees_everything(self) -> bool:
        return self.role in READERS


@dataclass(frozen=True, slots=True)
class Asked:
    """What of a turn request says who is speaking."""

    session_id: str | None
    message_id: str | None
    user: str | None = None


@dataclass(frozen=True, slots=True)
class Caller:
    """The session a request belongs to, and its id as the caller knows it."""

    key: SessionKey
    session_id: str


class Doorkeeper:
    """Turns credentials into identities. Comparisons take the same time whatever is wrong."""

    def __init__(
        self, settings: Settings, keys: Keyring, jwt: JwtVerifier | None, machines: MachineKeys
    ) -> None:
        self._settings = settings
        self._keys = keys
        self._jwt = jwt
        self._machines = machines

    async def operator(self, request: Request, scope: str) -> Operator:
        """The operator of a Bearer key: one of the environment, or a machine's with this scope.

        Raises Unauthorized, or Forbidden for a key that is good elsewhere.
        """
        given, found = bearer(request), None
        for name, role, key in self._settings.operators:
            if given is not None and hmac.compare_digest(key.encode(), _raw(given)):
                found = Operator(name, role)
        if found is not None:
            return found
        machine = await self._machines.find(given) if given is not None else None
        if machine is None:
            raise Unauthorized("a key of OPERATOR_API_KEYS or of `operators key` is needed, as Bearer")
        if scope not in machine.scopes.split(","):
            raise Forbidden(f"this key has no scope {scope}")
        return Operator(machine.name, machine.role)

    async def reader(self, request: Request, scope: str) -> Operator:
        """The same, for what only the general roles may see."""
        operator = await self.operator(request, scope)
        if not operator.sees_everything:
            raise Forbidden("this role sees approvals only")
        return operator

    def whatsapp(self, request: Request, asked: Asked) -> Caller:
        """The caller of `/wa/agent`. Raises Unauthorized, also while no key is configured."""
        values = request.headers.getlist("x-api-key")
        given = _raw(values[0]) if len(values) == 1 else b""
        name = None
        for known, key in self._settings.internal_keys:
            if hmac.compare_digest(key.encode(), given):
                name = known
        if name is None:
            raise Unauthorized("header x-api-key: missing, wrong, or no INTERNAL_API_KEY is configured")
        label = asked.session_id or self._label(asked, [WHATSAPP, name, asked.user])
        return Caller(SessionKey(WHATSAPP, name, f"{name}/{asked.user or label}", label), label)

    async def web(self, request: Request, asked: Asked) -> Caller:
        """The caller of `/agent`, by `WEB_AUTH`. Raises Unauthorized, Forbidden, or NotFound for a session
        that is not the caller's."""
        same_origin(request)
        mode = self._settings.who_may_chat
        if mode == "jwt" and self._jwt is not None:
            subject = f"jwt:{await self._jwt.subject(bearer(request))}"
            label = asked.session_id or self._label(asked, [WEB, subject])
            return Caller(SessionKey(WEB, "web", subject, label), label)
        if mode == "token":
            token = asked.session_id or self._mint(asked)
            if not self._minted_here(token):
                raise NotFound("there is no such session", code="session_not_found")
            name = hashlib.sha256(token.encode()).hexdigest()
            return Caller(SessionKey(WEB, "web", f"token:{name[:32]}", name), token)
        label = asked.session_id or self._label(asked, [WEB])
        return Caller(SessionKey(WEB, "web", f"anon:{label}", label), label)

    def _label(self, asked: Asked, scope: Sequence[str | None]) -> str:
        """A fresh label of 128 bits; from the message id where there is one, so that a retry finds it."""
        return "s_" + _text(self._seed(asked, scope))

    def _seed(self, asked: Asked, scope: Sequence[str | None]) -> bytes:
        if asked.message_id is None:
            return secrets.token_bytes(16)
        return self._keys.mac("session-label", canonical([*scope, asked.message_id]))[:16]

    def _mint(self, asked: Asked) -> str:
        seed = self._seed(asked, [WEB, "token"])
        return _MINTED + _text(seed + self._keys.mac("session-token", seed)[:16])

    def _minted_here(self, token: str) -> bool:
        """Whether the server made this id: its second half is a MAC over the first."""
        try:
            raw = base64.urlsafe_b64decode(token.removeprefix(_MINTED) + "=")
        except ValueError:
            return False
        seed, mac = raw[:16], raw[16:]
        exact = len(raw) == 32 and token == _MINTED + _text(raw)
        good = [hmac.compare_digest(made[:16], mac) for made in self._keys.macs("session-token", seed)]
        return exact and any(good)


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _raw(header: str) -> bytes:
    """The bytes of a header's value as they came."""
    return header.encode("latin-1")


def bearer(request: Request) -> str | None:
    """The token of exactly one Authorization header of that kind."""
    values = request.headers.getlist("authorization")
    if len(values) != 1:
        return None
    kind, _, token = values[0].partition(" ")
    return token.strip() if kind.lower() == "bearer" and token.strip() else None


def same_origin(request: Request) -> None:
    """A browser on another site may not speak here. Raises Forbidden."""
    origin = request.headers.get("origin")
    if origin is not None and _place_of(origin) != request.headers.get("host", "").lower():
        raise Forbidden("requests from other origins are not taken", code="cross_origin")
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise Forbidden("requests from other sites are not taken", code="cross_origin")


def _place_of(origin: str) -> str | None:
    """Host and port of an Origin header; None for one that has none (`null`, or no address at all)."""
    try:
        return urlsplit(origin).netloc.lower() or None
    except ValueError:
        return None


def trusted_loopback(request: Request) -> bool:
    """Whether this request surely comes from this machine (rule 15): loopback peer, localhost in `Host`,
    nothing that was forwarded, and the same origin."""
    peer = request.client.host if request.client is not None else ""
    host = request.headers.get("host", "").rpartition(":")[0] or request.headers.get("host", "")
    forwarded = [
        name for name in request.headers if name.startswith(("x-forwarded", "x-real-ip", "forwarded", "via"))
    ]
    try:
        same_origin(request)
        local = ipaddress.ip_address(peer).is_loopback
    except (Forbidden, ValueError):
        return False
    return local and host in ("localhost", "127.0.0.1", "[::1]") and not forwarded
