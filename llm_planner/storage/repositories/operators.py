"""Operators and how they get in: their rows, their logins, and the keys of machines."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from ..console_tables import api_keys, console_logins, operators


@dataclass(frozen=True, slots=True)
class OperatorRow:
    """One login. `password` is Argon2id in the PHC format; `person` is shared by the logins of one person."""

    name: str
    person: str
    role: str
    password: str
    created_at: datetime
    created_by: str
    disabled_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class LoginRow:
    """One browser that is logged in."""

    id: str
    operator: str
    credential: str
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A machine's key; `secret` is the SHA-256 of its random half."""

    id: str
    name: str
    role: str
    scopes: str
    secret: str
    created_at: datetime
    expires_at: datetime | None = None
    disabled_at: datetime | None = None


_o, _l, _k = operators.c, console_logins.c, api_keys.c
_OPERATOR_FIELDS = tuple(OperatorRow.__dataclass_fields__)
_LOGIN_FIELDS = tuple(LoginRow.__dataclass_fields__)
_KEY_FIELDS = tuple(KeyRow.__dataclass_fields__)
_ADD, _OPEN, _MINT = insert(operators), insert(console_logins), insert(api_keys)
_OPERATOR = select(operators).where(_o.name == bindparam("key"))
_ANY = select(_o.name).limit(1)
_LOGIN = select(console_logins).where(_l.id == bindparam("key"), _l.expires_at > bindparam("moment"))
_KEY = select(api_keys).where(_k.id == bindparam("key"))
_DISABLE = (
    update(operators)
    .where(_o.name == bindparam("key"), _o.disabled_at.is_(None))
    .values(disabled_at=bindparam("moment"))
)
_PASSWORD = (
    update(operators).where(_o.name == bindparam("key")).values(password=bindparam("phc"), disabled_at=None)
)
_DISABLE_KEY = (
    update(api_keys)
    .where(_k.id == bindparam("key"), _k.disabled_at.is_(None))
    .values(disabled_at=bindparam("moment"))
)


def add(conn: Connection, row: OperatorRow) -> None:
    """Insert an operator. Raises IntegrityError when the name is taken."""
    conn.execute(_ADD, {name: getattr(row, name) for name in _OPERATOR_FIELDS})


def get(conn: Connection, name: str) -> OperatorRow | None:
    row = conn.execute(_OPERATOR, {"key": name}).first()
    return OperatorRow(*row) if row is not None else None


def everybody(conn: Connection) -> Sequence[OperatorRow]:
    return [OperatorRow(*row) for row in conn.execute(select(operators).order_by(_o.name))]


def any_there(conn: Connection) -> bool:
    """Whether there is any operator at all, disabled ones too."""
    return conn.execute(_ANY).first() is not None


def names_of(conn: Connection, name: str) -> frozenset[str]:
    """Every name that the person behind this login goes by: the person's own and all their logins."""
    row = get(conn, name)
    if row is None:
        return frozenset([name])
    linked = conn.execute(select(_o.name).where(_o.person == row.person)).scalars()
    return frozenset([name, row.person, *linked])


def disable(conn: Connection, name: str, moment: datetime) -> bool:
    """Shut one login out, at once. False: it is not there, or was disabled before."""
    done = conn.execute(_DISABLE, {"key": name, "moment": moment}).rowcount == 1
    log_out_everywhere(conn, name)
    return done


def set_password(conn: Connection, name: str, phc: str) -> bool:
    """Change the password, end every login that the old one opened, and let a disabled one in again."""
    done = conn.execute(_PASSWORD, {"key": name, "phc": phc}).rowcount == 1
    log_out_everywhere(conn, name)
    return done


def log_in(conn: Connection, row: LoginRow) -> None:
    conn.execute(_OPEN, {name: getattr(row, name) for name in _LOGIN_FIELDS})


def login(conn: Connection, login_id: str, moment: datetime) -> LoginRow | None:
    """The login of that id, unless it has ended."""
    row = conn.execute(_LOGIN, {"key": login_id, "moment": moment}).first()
    return LoginRow(*row) if row is not None else None


def log_out(conn: Connection, login_id: str) -> None:
    conn.execute(delete(console_logins).where(_l.id == login_id))


def log_out_everywhere(conn: Connection, name: str) -> None:
    conn.execute(delete(console_logins).where(_l.operator == name))


def forget_logins(conn: Connection, moment: datetime) -> None:
    """Drop what has ended by itself; by their keys, so that no login of this moment is locked while they are
    looked for."""
    ended = select(_l.id).where(_l.expires_at <= moment).order_by(_l.id)
    for login_id in conn.execute(ended).scalars().all():
        log_out(conn, login_id)


def mint(conn: Connection, row: KeyRow) -> None:
    conn.execute(_MINT, {name: getattr(row, name) for name in _KEY_FIELDS})


def key(conn: Connection, key_id: str) -> KeyRow | None:
    row = conn.execute(_KEY, {"key": key_id}).first()
    return KeyRow(*row) if row is not None else None


def keys(conn: Connection) -> Sequence[KeyRow]:
    return [KeyRow(*row) for row in conn.execute(select(api_keys).order_by(_k.id))]


def disable_key(conn: Connection, key_id: str, moment: datetime) -> bool:
    return conn.execute(_DISABLE_KEY, {"key": key_id, "moment": moment}).rowcount == 1
