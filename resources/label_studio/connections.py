"""Label Studio's connections to us: the ML backend for predictions, the webhook for changes."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import httpx

from resources.label_studio.projects import project_missing
from resources.label_studio.session import open_sdk
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


def connect_backend(
    session: httpx.Client, project: int, url: str, user: str, password: str, title: str
) -> None:
    """Connect our ML backend; see :meth:`LabelStudio.connect_backend`.

    Args:
        session: open connection to the server.
        project: the project's id.
        url: of the ML backend, as the server reaches it.
        user: for basic authentication.
        password: for basic authentication.
        title: the model version that the backend serves.

    Raises:
        LabelStudioRefused: the server cannot reach the backend.
    """
    ml = open_sdk(session).ml
    wanted: dict[str, Any] = {
        "project": project,
        "url": url,
        "title": title,
        "description": OURS,
        "auth_method": "BASIC_AUTH",
        "basic_auth_user": user,
        "basic_auth_pass": password,
    }
    ours = [row for row in _backends(session, project) if _is_ours(row) or row["url"] == url]
    if ours:
        ml.update(ours[0]["id"], **wanted)
    else:
        ml.create(**wanted)
    for surplus in ours[1:]:
        ml.delete(surplus["id"])
    _drop_made_webhooks(session, project, [url, *(row["url"] for row in ours)])
    for backend in backends(session, project):
        if backend.url == url and not backend.connected:
            raise LabelStudioRefused(
                f"Label Studio at {session.base_url} does not reach our ML backend at {url}: "
                f"{backend.error or 'no reason given'}. Is it running, and may the server reach it?"
            )


def retitle_backend(session: httpx.Client, project: int, title: str) -> None:
    """Rename our ML backend; see :meth:`LabelStudio.retitle_backend`.

    Args:
        session: open connection to the server.
        project: the project's id.
        title: the model version that the backend serves now.
    """
    for row in _backends(session, project):
        if _is_ours(row) and row["title"] != title == row["model_version"]:
            # The server checks the whole connection with these values; an empty password stands
            # for the one that it has.
            open_sdk(session).ml.update(
                row["id"],
                project=project,
                url=row["url"],
                title=title,
                auth_method="BASIC_AUTH",
                basic_auth_user=row["basic_auth_user"],
                basic_auth_pass="",
            )


def backends(session: httpx.Client, project: int) -> list[Backend]:
    """See :meth:`LabelStudio.backends`."""
    return [
        Backend(
            id=int(row["id"]),
            url=row["url"],
            title=row.get("title") or "",
            model_version=row.get("model_version") or "",
            connected=row.get("state") == _CONNECTED,
            error=row.get("error_message") or "",
        )
        for row in _backends(session, project)
    ]


def connect_webhook(session: httpx.Client, project: int, url: str, secret: str) -> None:
    """Connect our webhook; see :meth:`LabelStudio.connect_webhook`.

    Args:
        session: open connection to the server.
        project: the project's id.
        url: to send events to, as the server reaches it.
        secret: sent in the header ``X-Webhook-Secret``.
    """
    hooks = open_sdk(session).webhooks
    ours = [row for row in _webhooks(session) if row["project"] == project and _is_marked(row)]
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


def webhooks(session: httpx.Client) -> list[Webhook]:
    """See :meth:`LabelStudio.webhooks`."""
    return [_webhook(row) for row in _webhooks(session)]


def orphan_webhooks(session: httpx.Client, project: int) -> list[Webhook]:
    """See :meth:`LabelStudio.orphan_webhooks`."""
    rows = _webhooks(session)
    marked = [row for row in rows if _is_marked(row)]
    ours = [row for row in marked if row["project"] == project]
    addresses = {row["url"] for row in ours[-1:]}
    # Another deployment on the same server has its own address; a webhook of another project at our
    # address is a leftover.
    strays = [row for row in marked if row["project"] != project and row["url"] in addresses]
    # Webhooks that belong to another owner's backend are left alone.
    theirs = {_made_for(row["url"]) for row in _backends(session, project) if not _is_ours(row)}
    made = [row for row in rows if row["project"] == project and _is_made(row)]
    left = [row for row in made if row["url"] not in theirs]
    return [_webhook(row) for row in (*ours[:-1], *strays, *left)]


def _drop_made_webhooks(session: httpx.Client, project: int, backends: Iterable[str]) -> None:
    """Delete the webhooks that Label Studio made by itself for our backend.

    For each new backend it makes one, for all actions, with the whole payload and without our
    secret, and never moves or deletes it. Every save would wait for this webhook, too.

    Args:
        session: open connection to the server.
        project: the project's id.
        backends: current and former URLs of our backend.
    """
    rows = [row for row in _webhooks(session) if row["project"] == project]
    addresses = {_made_for(url) for url in backends}
    # If this was interrupted after the backend moved, only our own webhook has the old address.
    addresses |= {row["url"] for row in rows if _is_marked(row)}
    for row in rows:
        if not _is_marked(row) and row["url"] in addresses:
            open_sdk(session).webhooks.delete(row["id"])


def _backends(session: httpx.Client, project: int) -> list[dict[str, Any]]:
    # The SDK's model of it lacks fields that the server gives.
    with project_missing(session, project):
        rows: list[dict[str, Any]] = session.get(
            "/api/ml/", params={"project": str(project)}
        ).json()
    return sorted(rows, key=lambda row: int(row["id"]))


def _webhooks(session: httpx.Client) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = session.get("/api/webhooks/").json()
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
