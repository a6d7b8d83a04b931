"""A shared secret that travels as it is, in a header of its own or as Basic credentials."""

import base64

from .base import WebhookRequest
from .verifying import check_static, header, values_of


def check_header(request: WebhookRequest, name: str, keys: tuple[bytes, ...]) -> None:
    """The secret in header `name`; without that header, `user:password` in Basic `Authorization`.

    Raises BadSignature. It proves who sent, not what: whoever saw one request can make others.
    """
    if not values_of(request, name) and values_of(request, "authorization"):
        basic = tuple(b"Basic " + base64.b64encode(key) for key in keys)
        check_static(header(request, "authorization"), (*keys, *basic))
        return
    check_static(header(request, name), keys)
