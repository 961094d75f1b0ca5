"""Port: Label Studio, where people label images. One adapter: any server, by URL and token.

Its types and errors are in ``types``.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

import dagster as dg

from labelling.labels.schema import LabelSchema
from resources.label_studio.types import (
    Backend,
    ImportResult,
    LabelStudioDown,
    LabelStudioError,
    LabelStudioRefused,
    NewTask,
    Prelabel,
    Project,
    ProjectMissing,
    TaskRef,
    TokenRefused,
    User,
    Webhook,
)

if TYPE_CHECKING:
    import httpx

__all__ = [
    "Backend",
    "ImportResult",
    "LabelStudio",
    "LabelStudioDown",
    "LabelStudioError",
    "LabelStudioRefused",
    "NewTask",
    "Prelabel",
    "Project",
    "ProjectMissing",
    "TaskRef",
    "TokenRefused",
    "User",
    "Webhook",
]

ImportProgress = Callable[[int], None]
"""Called with the number of items done since the last call."""


class LabelStudio(dg.ConfigurableResource):
    """A project on a Label Studio server.

    Every method may raise LabelStudioDown (no answer, or a failure of the server's), TokenRefused
    and LabelStudioRefused; those that need the project, ProjectMissing.
    """

    url: str = ""
    """Of the server; empty: there is none."""

    token: dg.ResourceDependency[str]
    """Legacy or personal. A dependency, since Dagster shows configuration on its pages."""

    project_title: str = ""
    project_id: int | None = None
    """Instead of looking the project up by its title."""

    def __repr__(self) -> str:
        """Return a text without the token."""
        return f"LabelStudio(url={self.url!r}, project={self.project_id or self.project_title!r})"

    __str__ = __repr__

    @property
    def configured(self) -> bool:
        """Whether there is a server to talk to. The other methods are for when there is."""
        return bool(self.url and self.token)

    @property
    def token_kind(self) -> str:
        """``personal`` or ``legacy``."""
        from resources.label_studio.session import is_personal

        return "personal" if is_personal(self.token) else "legacy"

    def whoami(self) -> User:
        """Return the token's user; succeeds only if the server answers and accepts the token."""
        from resources.label_studio.projects import whoami

        return whoami(self.session())

    def version(self) -> str:
        """Return the server's version, such as ``1.23.2``."""
        from resources.label_studio.projects import server_version

        return server_version(self.session())

    def project(self) -> Project:
        """Read the project's current state."""
        from resources.label_studio.projects import read_project

        return read_project(self.session(), self.found_id())

    def ensure_project(
        self, schema: LabelSchema, names: Sequence[str], *, renamed: Collection[str] = ()
    ) -> Project:
        """Create the project if it is missing, and give it a labelling page with ``names``.

        A page that has these names already is not changed, so that people may add to it.

        Args:
            schema: gives the task of the page.
            names: labels to choose from.
            renamed: former names, which may be removed though annotations use them: those count
                under the present name.

        Raises:
            LabelStudioRefused: labels that annotations or drafts use would be removed; the message
                names them and how many annotations use each.
            LabelConfigError: no page can be made of ``names``.
        """
        from resources.label_studio.projects import ensure_project

        return ensure_project(
            self.session(), self.project_title, self.project_id, schema, names, renamed
        )

    def import_tasks(
        self, tasks: Iterable[NewTask], *, progress: ImportProgress | None = None
    ) -> ImportResult:
        """Import the tasks whose ``sample_id`` the project does not have.

        ``tasks`` is read 500 at a time, so it may be very long. An import that failed or was
        killed is completed by repeating it.

        Raises:
            LabelStudioRefused: a prediction is invalid (the message names the image and the error),
                or tasks are missing after the server accepted them.
        """
        from resources.label_studio.task_import import import_tasks

        return import_tasks(self.session(), self.found_id(), tasks, progress or _quiet)

    def prelabel(
        self, prelabels: Mapping[str, Prelabel], *, progress: ImportProgress | None = None
    ) -> int:
        """Add predictions, by ``sample_id``, to tasks that nobody has labelled.

        Tasks that have a prediction of the same model version are not changed.

        Returns:
            How many were added.

        Raises:
            LabelStudioRefused: a prediction is invalid, or predictions are missing after the server
                accepted them.
        """
        from resources.label_studio.predictions import prelabel

        return prelabel(self.session(), self.found_id(), prelabels, progress or _quiet)

    def show_model_version(self, version: str) -> None:
        """Show annotators the predictions of ``version`` and order tasks by their scores.

        Raises:
            LabelStudioRefused: the server has no predictions of this version, or shows others.
        """
        from resources.label_studio.predictions import show_model_version

        show_model_version(self.session(), self.found_id(), version)

    def drop_superseded(self, version: str, shown_since: datetime) -> int:
        """Delete predictions of other model versions on untouched tasks, at most 500.

        In the hour after ``shown_since`` it deletes nothing: a page that was opened before refers
        to the prediction that it started from, and could not be saved without it.

        Returns:
            How many were deleted.
        """
        from resources.label_studio.predictions import drop_superseded

        return drop_superseded(self.session(), self.found_id(), version, shown_since)

    def changed_since(self, moment: datetime | None, *, limit: int) -> Iterator[dict[str, Any]]:
        """Yield tasks that changed at or after ``moment`` (all, if ``None``), oldest change first.

        Each is the API's JSON with ``fields=all``: data, meta, annotations, predictions, drafts.
        Deleted tasks are not included (see ``tasks``). A task that changes meanwhile is yielded
        again in its new state; none is left out.

        Args:
            moment: with a time zone. Choose one before the last change that you saw, since the
                server's transactions may end in another order than they began.
            limit: yield at most this many.
        """
        from resources.label_studio.tasks import changed_since

        return changed_since(self.session(), self.found_id(), moment, limit)

    def tasks(self, after: int = 0, limit: int | None = None) -> list[TaskRef]:
        """List the project's tasks, without annotations, in order of id.

        Args:
            after: only tasks with a greater id.
            limit: most tasks (a thousand take about 0.3 s); default: all.
        """
        from resources.label_studio.tasks import all_tasks

        return list(islice(all_tasks(self.session(), self.found_id(), after), limit))

    def withdraw(self, sample_ids: Iterable[str]) -> int:
        """Withdraw the tasks of these images, except those that somebody has touched.

        They are moved to another project for an hour, so that nothing is lost that somebody saves
        meanwhile (see ``withdrawal``).

        Returns:
            How many were withdrawn.
        """
        from resources.label_studio.withdrawal import withdraw

        return withdraw(self.session(), self.found_id(), sample_ids)

    def tend_withdrawn(self, deletions: int = 100) -> int:
        """Move withdrawn tasks back if somebody saved work on them, and delete the old ones.

        Called in each run of the queue and in each reconciliation.

        Args:
            deletions: delete at most this many; each takes the server about 0.1 s.

        Returns:
            How many were moved back.
        """
        from resources.label_studio.withdrawal import tend_withdrawn

        return len(tend_withdrawn(self.session(), self.found_id(), deletions=deletions))

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
        from resources.label_studio.connections import connect_backend

        connect_backend(self.session(), self.found_id(), url, user, password, title)

    def retitle_backend(self, title: str) -> None:
        """Set our backend's title to a model version, if the backend serves that version already.

        With the title of another version, annotators would see no pre-labels.
        """
        from resources.label_studio.connections import retitle_backend

        retitle_backend(self.session(), self.found_id(), title)

    def backends(self) -> list[Backend]:
        """List the ML backends of the project; Label Studio checks the health of each."""
        from resources.label_studio.connections import backends

        return backends(self.session(), self.found_id())

    def connect_webhook(self, url: str, secret: str) -> None:
        """Have Label Studio post changes of the project's annotations to ``url``.

        Requests carry ``secret`` in the header ``X-Webhook-Secret``.
        """
        from resources.label_studio.connections import connect_webhook

        connect_webhook(self.session(), self.found_id(), url, secret)

    def webhooks(self) -> list[Webhook]:
        """List all webhooks of the organisation."""
        from resources.label_studio.connections import webhooks

        return webhooks(self.session())

    def orphan_webhooks(self) -> list[Webhook]:
        """List webhooks that have no use and only take time.

        These are ours other than the newest, those of other projects at our address, and those that
        Label Studio made for a backend that is ours or gone.
        """
        from resources.label_studio.connections import orphan_webhooks

        return orphan_webhooks(self.session(), self.found_id())

    def session(self) -> "httpx.Client":
        """Return the connection, for requests that have no method here."""
        from resources.label_studio.session import open_session

        if not self.configured:
            raise LabelStudioRefused(
                "no Label Studio is configured; start one (`imgclf up --label-studio`) or set "
                "label_studio.url and label_studio.token"
            )
        return open_session(self.url, self.token)

    def found_id(self) -> int:
        """Return the project's id."""
        from resources.label_studio.projects import find_project

        return find_project(self.session(), self.project_title, self.project_id)


def _quiet(_: int) -> None:
    """Ignore progress."""
