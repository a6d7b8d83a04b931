"""register_customer: creates the customer and mails a code that proves the address. A write: it asks first."""

import hashlib
import secrets
import uuid
from datetime import UTC, datetime, timedelta

from pydantic import BaseModel, Field, field_validator
from sqlalchemy import Connection, insert, select

from llm_planner import Tool, ToolContext, ToolFailed

from ..languages import language
from ..tables import customers, email_verifications

CODE_LIVES = timedelta(minutes=30)
EMAIL = (
    r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,250}[A-Za-z0-9])?\.[A-Za-z]{2,}$"
)
TAKEN = {
    "es": "ya hay un cliente con ese correo",
    "en": "there is a customer with that address already",
    "pt": "já existe um cliente com esse e-mail",
}
SUBJECT = {"es": "Tu código", "en": "Your code", "pt": "Seu código"}
BODY = {
    "es": "Hola, {name}:\n\nTu código es {code}. Vale por 30 minutos.\n",
    "en": "Hello, {name}:\n\nYour code is {code}. It is valid for 30 minutes.\n",
    "pt": "Olá, {name}:\n\nSeu código é {code}. Vale por 30 minutos.\n",
}
DONE = {
    "es": "{name} quedó registrado. Mandé un código a {email}; decime «mi código es …» para verificarlo.",
    "en": "{name} is registered. A code is on its way to {email}; tell me “my code is …” to verify it.",
    "pt": "{name} foi registrado. Enviei um código para {email}; diga «meu código é …» para verificar.",
}


class RegisterCustomerInput(BaseModel):
    name: str = Field(title="Name", description="Full name of the customer", min_length=1, max_length=200)
    email: str = Field(title="E-mail", description="E-mail address", pattern=EMAIL, max_length=254)

    @field_validator("name")
    @classmethod
    def _no_letter(cls, name: str) -> str:
        """It stands in a letter to somebody who may not have asked for one: one line, no address."""
        if not name.isprintable() or set(name) & set(":/<>@"):
            raise ValueError("a name has one line and none of : / < > @")
        return name


class RegisterCustomer(Tool):
    name = "register_customer"
    title = "Registrar cliente"
    description = "Register a new customer with name and e-mail address; mails a verification code."
    input_model = RegisterCustomerInput
    write = True
    idempotent = True
    examples = [
        ("register me, I'm Ann Lee, ann@example.com", {"name": "Ann Lee", "email": "ann@example.com"}),
        ("sign me up as Bo Diaz with bo@example.org", {"name": "Bo Diaz", "email": "bo@example.org"}),
        (
            "registrame como cliente: Ana López, ana@example.com",
            {"name": "Ana López", "email": "ana@example.com"},
        ),
        (
            "quiero darme de alta, soy Juan Pérez, juan@mail.com",
            {"name": "Juan Pérez", "email": "juan@mail.com"},
        ),
    ]

    async def run(self, args: RegisterCustomerInput, ctx: ToolContext) -> dict[str, str]:
        code = f"{secrets.randbelow(1_000_000):06d}"
        if not await ctx.db.run(lambda conn: register(conn, args, code, ctx.idempotency_key)):
            raise ToolFailed(TAKEN[language(ctx.locale)])
        tongue = language(ctx.locale)
        await ctx.mail(args.email, SUBJECT[tongue], BODY[tongue].format(name=args.name, code=code))
        return {"name": args.name, "email": args.email}

    def summary(self, args: RegisterCustomerInput, locale: str) -> str:
        return {"es": "Registrar a", "en": "Register", "pt": "Registrar"}[language(locale)] + f" {args.name}"

    def render(self, result: dict[str, str], locale: str) -> str:
        return DONE[language(locale)].format(**result)


def register(conn: Connection, args: RegisterCustomerInput, code: str, key: str) -> bool:
    """Create the customer with a fresh code; the same call again (same key) only makes a new code."""
    moment = datetime.now(UTC).replace(tzinfo=None)
    email = args.email.lower()
    known = conn.execute(select(customers.c.registered_by).where(customers.c.email == email)).scalar()
    if known is not None and known != key:
        return False
    if known is None:
        row = {"email": email, "name": args.name, "registered_by": key, "created_at": moment}
        conn.execute(insert(customers), row)
    salt = secrets.token_hex(16)
    verification = {
        "id": str(uuid.uuid4()), "email": email, "code_salt": salt, "code_hash": code_hash(salt, code),
        "attempts": 0, "expires_at": moment + CODE_LIVES, "created_at": moment,
    }  # fmt: skip
    conn.execute(insert(email_verifications), verification)
    return True


def code_hash(salt: str, code: str) -> str:
    """A slow hash: six digits are quickly tried."""
    return hashlib.scrypt(code.encode(), salt=bytes.fromhex(salt), n=2**12, r=8, p=1, dklen=32).hex()
