"""360dialog: the Cloud API's payload, unsigned; a header or Basic credentials that you set prove it."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar

from .base import Channel, Delivery, WebhookRequest
from .cloud_api import read_updates
from .reading import json_object
from .static import check_header
from .verifying import keys_of


@dataclass(frozen=True, slots=True)
class D360Channel(Channel):
    """`secrets` are values of `secret_header`, or `user:password` for Basic. `account` as with Meta.

    Meta's signature proves nothing here: it would be made with a key that is not ours.
    """

    name: ClassVar[str] = "360dialog"

    secrets: tuple[str, ...] = field(repr=False)
    secret_header: str = "X-Callback-Token"  # noqa: S105 - the header's name
    account: str = ""

    def verify(self, request: WebhookRequest, now: datetime) -> None:
        check_header(request, self.secret_header, keys_of(self.secrets, self.name))

    def read(self, request: WebhookRequest) -> Delivery:
        return read_updates(json_object(request.body), self.account)
