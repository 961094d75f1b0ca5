"""Addresses that Label Studio refuses to connect to (since 1.23.1, those of private networks)."""

from typing import TYPE_CHECKING

from resources.label_studio.types import LabelStudioRefused

if TYPE_CHECKING:
    from resources.label_studio.project import LabelStudio

_NO_ACTION = "IMGCLF_ASKS_WHETHER_THE_ADDRESS_IS_ALLOWED"
_BLOCKED = "reserved network address"


def is_block(said: str) -> bool:
    """Whether the server's message means that it blocks an address."""
    return _BLOCKED in said


def blocks(label_studio: "LabelStudio", url: str) -> bool:
    """Whether the server refuses to connect to ``url``. Nothing is changed on the server."""
    # This requests a webhook that cannot be made, since its event does not exist: the server
    # validates the address first (webhooks/serializers.py in 1.23).
    try:
        label_studio.session().post(
            "/api/webhooks/",
            json={"url": url, "actions": [_NO_ACTION], "send_for_all_actions": False},
            extensions={"idempotent": True},
        )
    except LabelStudioRefused as error:
        return is_block(str(error))
    return False
