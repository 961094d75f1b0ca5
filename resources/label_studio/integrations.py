"""Label Studio's calls to us: the ML backend for predictions, the webhook for changes."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from resources.label_studio.connection import Connection
from resources.label_studio.types import Backend, LabelStudioRefused, Webhook

if TYPE_CHECKING:
    from label_studio_sdk.types import ActionsEnum

OURS = "imgclf-dagster"
"""Description of our backends, which identifies them when their address has changed."""

SECRET_HEADER = "X-Webhook-Secret"  # noqa: S105 - its name
ACTIONS: "tuple[ActionsEnum, ...]" = (
    "ANNOTATION_CREATED",
    "ANNOTATIONS_CREATED",
    "ANNOTATION_UPDATED",
    "ANNOTATIONS_DELETED",
    "TASKS_DELETED",
)
_CONNECTED = "CO"


class IntegrationsApi:
    """Requests about the ML backend and the webhook."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def connect_backend(self, url: str, user: str, password: str, title: str) -> None:
        """Connect our ML backend to the project, in place of an earlier connection of ours.

        Args:
            url: of the ML backend, as the server reaches it.
            user: for basic authentication.
            password: for basic authentication.
            title: the model version that the backend serves; with another title, scores are null.

        Raises:
            LabelStudioRefused: the server cannot reach the backend.
        """
        ml = self._connection.sdk.ml
        wanted: dict[str, Any] = {
            "project": self._connection.id,
            "url": url,
            "title": title,
            "description": OURS,
            "auth_method": "BASIC_AUTH",
            "basic_auth_user": user,
            "basic_auth_pass": password,
        }
        ours = [row for row in self._backend_rows() if _is_ours(row) or row["url"] == url]
        if ours:
            ml.update(ours[0]["id"], **wanted)
        else:
            ml.create(**wanted)
        for surplus in ours[1:]:
            ml.delete(surplus["id"])
        self._drop_made_webhooks([url, *(row["url"] for row in ours)])
        for backend in self.backends():
            if backend.url == url and not backend.connected:
                raise LabelStudioRefused(
                    f"Label Studio at {self._connection.http.base_url} does not reach our ML "
                    f"backend at {url}: {backend.error or 'no reason given'}. Is it running, and "
                    "may the server reach it?"
                )

    def retitle_backend(self, title: str) -> None:
        """Set our backend's title to a model version, if the backend serves that version already.

        With the title of another version, annotators would see no pre-labels.
        """
        for row in self._backend_rows():
            if _is_ours(row) and row["title"] != title == row["model_version"]:
                # The server checks the whole connection with these values; an empty password stands
                # for the one that it has.
                self._connection.sdk.ml.update(
                    row["id"],
                    project=self._connection.id,
                    url=row["url"],
                    title=title,
                    auth_method="BASIC_AUTH",
                    basic_auth_user=row["basic_auth_user"],
                    basic_auth_pass="",
                )

    def backends(self) -> list[Backend]:
        """List the ML backends of the project; Label Studio checks the health of each."""
        return [
            Backend(
                id=int(row["id"]),
                url=row["url"],
                title=row.get("title") or "",
                model_version=row.get("model_version") or "",
                connected=row.get("state") == _CONNECTED,
                error=row.get("error_message") or "",
            )
            for row in self._backend_rows()
        ]

    def connect_webhook(self, url: str, secret: str) -> None:
        """Have Label Studio post changes of the project's annotations to ``url``.

        Requests carry ``secret`` in the header ``X-Webhook-Secret``.
        """
        hooks, project = self._connection.sdk.webhooks, self._connection.id
        rows = self._webhook_rows()
        ours = [row for row in rows if row["project"] == project and _is_marked(row)]
        wanted: dict[str, Any] = {
            "url": url,
            "headers": {SECRET_HEADER: secret},
            "actions": ACTIONS,
            "is_active": True,
            # The payload would be sent while the annotator waits; we read the task anyway.
            "send_payload": False,
            "send_for_all_actions": False,
        }
        if ours:
            hooks.update(ours[-1]["id"], **wanted)
        else:
            hooks.create(project=project, **wanted)
        for surplus in ours[:-1]:
            hooks.delete(surplus["id"])

    def webhooks(self) -> list[Webhook]:
        """List all webhooks of the organisation."""
        return [_webhook(row) for row in self._webhook_rows()]

    def orphan_webhooks(self) -> list[Webhook]:
        """List webhooks that have no use and only take time.

        These are ours other than the newest, those of other projects at our address, and those that
        Label Studio made for a backend that is ours or gone.
        """
        rows, project = self._webhook_rows(), self._connection.id
        marked = [row for row in rows if _is_marked(row)]
        ours = [row for row in marked if row["project"] == project]
        addresses = {row["url"] for row in ours[-1:]}
        # Another deployment on the same server has its own address; a webhook of another project at
        # our address is a leftover.
        strays = [row for row in marked if row["project"] != project and row["url"] in addresses]
        # Webhooks that belong to another owner's backend are left alone.
        theirs = {_made_for(row["url"]) for row in self._backend_rows() if not _is_ours(row)}
        made = [row for row in rows if row["project"] == project and _is_made(row)]
        left = [row for row in made if row["url"] not in theirs]
        return [_webhook(row) for row in (*ours[:-1], *strays, *left)]

    def _drop_made_webhooks(self, backends: Iterable[str]) -> None:
        """Delete the webhooks that Label Studio created automatically for our backend.

        For each new backend it makes one, for all actions, with the whole payload and without our
        secret, and never moves or deletes it. Every save would wait for this webhook, too.

        Args:
            backends: current and former URLs of our backend.
        """
        rows = [row for row in self._webhook_rows() if row["project"] == self._connection.id]
        addresses = {_made_for(url) for url in backends}
        # If this was interrupted after the backend moved, only our own webhook has the old address.
        addresses |= {row["url"] for row in rows if _is_marked(row)}
        for row in rows:
            if not _is_marked(row) and row["url"] in addresses:
                self._connection.sdk.webhooks.delete(row["id"])

    def _backend_rows(self) -> list[dict[str, Any]]:
        # The SDK's model of it lacks fields that the server gives.
        params = {"project": str(self._connection.id)}
        with self._connection.project_missing():
            rows: list[dict[str, Any]] = self._connection.http.get("/api/ml/", params=params).json()
        return sorted(rows, key=lambda row: int(row["id"]))

    def _webhook_rows(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self._connection.http.get("/api/webhooks/").json()
        return sorted(rows, key=lambda row: int(row["id"]))


def _is_ours(row: Mapping[str, Any]) -> bool:
    return row.get("description") == OURS and row.get("auth_method") == "BASIC_AUTH"


def _is_marked(row: Mapping[str, Any]) -> bool:
    return SECRET_HEADER in (row.get("headers") or {})


def _made_for(backend: str) -> str:
    """Return the URL of the webhook that Label Studio makes for a backend."""
    return f"{backend.rstrip('/')}/webhook"


def _is_made(row: Mapping[str, Any]) -> bool:
    """Whether a webhook looks like one that Label Studio made for a backend."""
    everything = row["send_for_all_actions"] and row["send_payload"] and not row["headers"]
    return bool(everything) and str(row["url"]).endswith("/webhook")


def _webhook(row: Mapping[str, Any]) -> Webhook:
    """Convert a row; its headers are left out, since they hold the secret."""
    return Webhook(
        id=int(row["id"]),
        url=row["url"],
        project=row["project"],
        is_active=bool(row["is_active"]),
    )
