"""n8n's HTTP Request node: our HMAC, made with its Crypto node, or a plain secret in a header."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar

from .base import Channel, Delivery, WebhookRequest
from .generic import HmacHeaders, read_message, verify_body
from .static import check_header
from .verifying import keys_of, values_of


@dataclass(frozen=True, slots=True)
class N8nChannel(Channel):
    """A request with a signature header must verify; one without needs the secret in `static_header`."""

    name: ClassVar[str] = "n8n"

    secrets: tuple[str, ...] = field(repr=False)
    tolerance_s: int = 300
    account: str = ""
    static_header: str = "X-N8N-Secret"
    headers: HmacHeaders = field(default_factory=HmacHeaders)

    def verify(self, request: WebhookRequest, now: datetime) -> None:
        keys = keys_of(self.secrets, self.name)
        if values_of(request, self.headers.signature) or values_of(request, self.headers.timestamp):
            verify_body(request, keys, self.headers, now, self.tolerance_s)
        else:
            check_header(request, self.static_header, keys)

    def read(self, request: WebhookRequest) -> Delivery:
        return read_message(request.body, self.account)
