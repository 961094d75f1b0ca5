"""The Label Studio server itself: its version, its users, and the addresses that it blocks."""

from resources.label_studio.connection import Connection
from resources.label_studio.types import LabelStudioRefused, User, is_blocked_address

_NO_ACTION = "IMGCLF_ASKS_WHETHER_THE_ADDRESS_IS_ALLOWED"


class ServerApi:
    """Requests about the server, which need no project."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def user(self) -> User:
        """Return the token's user; succeeds only if the server answers and accepts the token."""
        body = self._connection.http.get("/api/current-user/whoami").json()
        return User(id=int(body["id"]), email=str(body["email"]))

    def version(self) -> str:
        """Return the server's version, such as ``1.23.2``."""
        body = self._connection.http.get("/api/version").json()
        package = body.get("label-studio-os-package", {})
        return str(body.get("release") or package.get("version", ""))

    def count_users(self) -> int:
        """Count the users of the server's organisation."""
        return len(self._connection.http.get("/api/users/").json())

    def blocks(self, url: str) -> bool:
        """Whether the server refuses to connect to ``url``. Nothing is changed on the server."""
        # This requests a webhook that cannot be made, since its event does not exist: the server
        # validates the address first (webhooks/serializers.py in 1.23).
        try:
            self._connection.http.post(
                "/api/webhooks/",
                json={"url": url, "actions": [_NO_ACTION], "send_for_all_actions": False},
                extensions={"idempotent": True},
            )
        except LabelStudioRefused as error:
            return is_blocked_address(str(error))
        return False
