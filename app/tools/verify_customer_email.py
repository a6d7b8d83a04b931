"""verify_customer_email: checks the mailed code and remembers in the session that the customer is verified.

Not a write: it changes nothing but the proof that the user brings, and asking "confirm?" about a code that
was just typed protects nobody. Wrong tries are counted before the comparison.
"""

import hmac
from datetime import UTC, datetime

from pydantic import BaseModel, Field
from sqlalchemy import Connection, select, update

from llm_planner import Tool, ToolContext, ToolFailed

from ..languages import language
from ..tables import customers, email_verifications
from .register_customer import EMAIL, code_hash

MOST_TRIES = 5
WRONG = {
    "es": "el código no es correcto o ya venció",
    "en": "the code is wrong or has expired",
    "pt": "o código não está certo ou já venceu",
}
DONE = {
    "es": "Listo, verifiqué {email}.",
    "en": "Done, {email} is verified.",
    "pt": "Pronto, verifiquei {email}.",
}


class VerifyCustomerEmailInput(BaseModel):
    email: str = Field(
        title="E-mail", description="E-mail address the code was sent to", pattern=EMAIL, max_length=254
    )
    code: str = Field(title="Code", description="The 6 digits from the mail", pattern=r"^[0-9]{6}$")


class VerifyCustomerEmail(Tool):
    name = "verify_customer_email"
    title = "Verificar correo"
    description = "Check the 6-digit code that was mailed to a customer."
    input_model = VerifyCustomerEmailInput
    write = False
    examples = [
        ("my code is 123456, ann@example.com", {"email": "ann@example.com", "code": "123456"}),
        ("verify bo@example.org with 654321", {"email": "bo@example.org", "code": "654321"}),
        ("mi código es 246810, mi correo ana@example.com", {"email": "ana@example.com", "code": "246810"}),
        ("verificar juan@mail.com, código 135790", {"email": "juan@mail.com", "code": "135790"}),
    ]

    async def run(self, args: VerifyCustomerEmailInput, ctx: ToolContext) -> dict[str, str]:
        if not await ctx.db.run(lambda conn: verify(conn, args.email.lower(), args.code)):
            raise ToolFailed(WRONG[language(ctx.locale)])
        ctx.facts["customer_verified"] = args.email.lower()
        return {"email": args.email}

    def render(self, result: dict[str, str], locale: str) -> str:
        return DONE[language(locale)].format(**result)


def verify(conn: Connection, email: str, code: str) -> bool:
    """Spend one try on the latest code of this address; true if it is the right one, once."""
    moment = datetime.now(UTC).replace(tzinfo=None)
    table = email_verifications.c
    latest = conn.execute(
        select(table.id, table.code_salt, table.code_hash)
        .where(table.email == email)
        .order_by(table.created_at.desc(), table.id)
        .limit(1)
    ).first()
    if latest is None:
        return False
    counted = conn.execute(
        update(email_verifications)
        .where(
            table.id == latest.id,
            table.attempts < MOST_TRIES,
            table.expires_at > moment,
            table.used_at.is_(None),
        )
        .values(attempts=table.attempts + 1)
    )
    if counted.rowcount != 1 or not hmac.compare_digest(code_hash(latest.code_salt, code), latest.code_hash):
        return False
    conn.execute(update(email_verifications).where(table.id == latest.id).values(used_at=moment))
    conn.execute(update(customers).where(customers.c.email == email).values(verified_at=moment))
    return True
