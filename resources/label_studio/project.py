"""Port: Label Studio, where people label images. One adapter: any server, by URL and token.

What it takes, gives and raises is in ``types``.
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
"""Is told how many more are done."""


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
        """Without the token."""
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
        """Whose token it is. Proves that the server is there and takes the token."""
        from resources.label_studio.projects import whoami

        return whoami(self.session())

    def version(self) -> str:
        """The server's, like ``1.23.2``."""
        from resources.label_studio.projects import server_version

        return server_version(self.session())

    def project(self) -> Project:
        """The project as it is now."""
        from resources.label_studio.projects import read_project

        return read_project(self.session(), self.found_id())

    def ensure_project(
        self, schema: LabelSchema, names: Sequence[str], *, renamed: Collection[str] = ()
    ) -> Project:
        """The project, made if it is missing, with a page for ``names``.

        A page that asks for these names already is left as it is, so that people may add to it.

        Args:
            schema: whose task the page is for.
            names: the labels to choose from.
            renamed: former names, which may go though annotations use them: those count under the
                present name.

        Raises:
            LabelStudioRefused: labels that annotations or drafts use would go; it names them and
                how many annotations use each.
            LabelConfigError: no page can be made of ``names``.
        """
        from resources.label_studio.projects import ensure_project

        return ensure_project(
            self.session(), self.project_title, self.project_id, schema, names, renamed
        )

    def import_tasks(
        self, tasks: Iterable[NewTask], *, progress: ImportProgress | None = None
    ) -> ImportResult:
        """Import what the project does not have yet, by ``sample_id``; again after any failure.

        Tasks are taken 500 at a time, so ``tasks`` may be as long as one likes. An import that
        failed or was killed anywhere is completed by doing it again.

        Raises:
            LabelStudioRefused: a prediction is wrong (it names the image and why), or tasks are
                not there after the server took them.
        """
        from resources.label_studio.task_import import import_tasks

        return import_tasks(self.session(), self.found_id(), tasks, progress or _quiet)

    def prelabel(
        self, prelabels: Mapping[str, Prelabel], *, progress: ImportProgress | None = None
    ) -> int:
        """Add predictions, by ``sample_id``, to tasks that nobody has labelled.

        A task that has a prediction of the same version already is left as it is.

        Returns:
            How many were added.

        Raises:
            LabelStudioRefused: a prediction is wrong, or the server has fewer than it should.
        """
        from resources.label_studio.predictions import prelabel

        return prelabel(self.session(), self.found_id(), prelabels, progress or _quiet)

    def show_model_version(self, version: str) -> None:
        """Let annotators see the predictions of ``version``, and be served by their scores.

        Raises:
            LabelStudioRefused: the server has no predictions of this version, or shows others.
        """
        from resources.label_studio.predictions import show_model_version

        show_model_version(self.session(), self.found_id(), version)

    def drop_superseded(self, version: str, shown_since: datetime) -> int:
        """Delete predictions of other versions on tasks that nobody has touched, 500 at a time.

        None in the hour after ``shown_since``: a page that was opened before names the prediction
        that it started from, and could not be saved without it.

        Returns:
            How many were deleted.
        """
        from resources.label_studio.predictions import drop_superseded

        return drop_superseded(self.session(), self.found_id(), version, shown_since)

    def changed_since(self, moment: datetime | None, *, limit: int) -> Iterator[dict[str, Any]]:
        """Tasks that changed at or after ``moment`` (all, if ``None``), the oldest change first.

        Each is what Label Studio's API gives with ``fields=all``: data, meta, annotations,
        predictions, drafts. Tasks that are deleted are not among them (see ``tasks``). One that
        changes meanwhile comes again, with the new state; none is left out.

        Args:
            moment: with a time zone. Take one before the last you saw, since the server's
                transactions may end in another order than they began.
            limit: give at most so many.
        """
        from resources.label_studio.tasks import changed_since

        return changed_since(self.session(), self.found_id(), moment, limit)

    def tasks(self, after: int = 0, limit: int | None = None) -> list[TaskRef]:
        """All tasks of the project, without annotations, in order of id.

        Args:
            after: only those with a greater id.
            limit: only the first so many (a thousand take some 0.3 s).
        """
        from resources.label_studio.tasks import all_tasks

        return list(islice(all_tasks(self.session(), self.found_id(), after), limit))

    def withdraw(self, sample_ids: Iterable[str]) -> int:
        """Take away the tasks of these images, but those that somebody labels or has labelled.

        They go to a project of their own for an hour, so that nothing is lost that somebody saves
        meanwhile (``withdrawal``).

        Returns:
            How many were taken away.
        """
        from resources.label_studio.withdrawal import withdraw

        return withdraw(self.session(), self.found_id(), sample_ids)

    def tend_withdrawn(self, deletions: int = 100) -> int:
        """Bring withdrawn tasks back that somebody saved something on all the same, delete the old.

        For each run of the queue and each look that reconciles.

        Args:
            deletions: delete at most so many; each takes the server some 0.1 s.

        Returns:
            How many came back.
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
        """Tell Label Studio that our backend serves another model version, if it does already: under
        the title of one that it does not serve, annotators would see no pre-labels.
        """
        from resources.label_studio.connections import retitle_backend

        retitle_backend(self.session(), self.found_id(), title)

    def backends(self) -> list[Backend]:
        """The ML backends of the project. Label Studio asks each how it is."""
        from resources.label_studio.connections import backends

        return backends(self.session(), self.found_id())

    def connect_webhook(self, url: str, secret: str) -> None:
        """Let changes of the project's annotations be told to ``url``, with ``secret`` in the
        header ``X-Webhook-Secret``.
        """
        from resources.label_studio.connections import connect_webhook

        connect_webhook(self.session(), self.found_id(), url, secret)

    def webhooks(self) -> list[Webhook]:
        """All webhooks of the organisation."""
        from resources.label_studio.connections import webhooks

        return webhooks(self.session())

    def orphan_webhooks(self) -> list[Webhook]:
        """Webhooks that only cost: ours at addresses but the newest, of other projects at our
        address, and those that Label Studio made for a backend that is ours or gone."""
        from resources.label_studio.connections import orphan_webhooks

        return orphan_webhooks(self.session(), self.found_id())

    def session(self) -> "httpx.Client":
        """The connection, for what has no method here."""
        from resources.label_studio.session import open_session

        if not self.configured:
            raise LabelStudioRefused(
                "no Label Studio is configured; start one (`imgclf up --label-studio`) or set "
                "label_studio.url and label_studio.token"
            )
        return open_session(self.url, self.token)

    def found_id(self) -> int:
        """The project's id."""
        from resources.label_studio.projects import find_project

        return find_project(self.session(), self.project_title, self.project_id)


def _quiet(_: int) -> None:
    """Nobody asked for progress."""
