"""The project on a Label Studio server: its state, its labelling page, its annotators per task.

The server itself chooses the tasks for several annotators ("overlap"), and again at each import,
first among those that one annotator has labelled already, which are then open to others again. So an
unfinished task may have annotations.
"""

from collections.abc import Collection, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from labelling.label_studio.config import (
    LabelConfigError,
    is_former_page,
    label_config,
    parse_label_config,
)
from labelling.labels.schema import LabelSchema
from resources.label_studio.connection import Connection
from resources.label_studio.types import (
    LabelStudioDown,
    LabelStudioRefused,
    Overlap,
    Project,
    ProjectMissing,
)

SAMPLING = "Uncertainty sampling"
"""Sampling in which the server serves tasks with the lowest score of ``project.model_version``
first."""

TITLE_LENGTHS = range(3, 51)
"""Lengths of titles that Label Studio accepts, in characters."""

_FIELDS = (
    *("id", "title", "label_config", "model_version", "sampling", "show_collab_predictions"),
    *("task_number", "finished_task_number", "total_annotations_number"),
    *("skipped_annotations_number", "total_predictions_number", "created_at"),
)


class ProjectApi:
    """Requests about the project."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @property
    def id(self) -> int:
        """The project's id. Raises ProjectMissing."""
        return self._connection.id

    def read(self) -> Project:
        """Read the project's current state. Raises ProjectMissing."""
        return _parse_project(self._connection.read_fields(*_FIELDS))

    def ensure(
        self, schema: LabelSchema, names: Sequence[str], *, renamed: Collection[str] = ()
    ) -> Project:
        """Create the project if it is missing, and give it a labelling page with ``names``.

        A page that has these names already is not changed, so that people may add to it.

        Args:
            schema: gives the task of the page.
            names: labels to choose from.
            renamed: former names, which may be removed though annotations use them: those count
                under the present name.

        Returns:
            The project as the server has it afterwards.

        Raises:
            LabelStudioRefused: labels that annotations or drafts use would be removed; the message
                names them and how many annotations use each.
            LabelConfigError: no page can be made of ``names``.
        """
        page = label_config(schema, names)
        try:
            found = self._connection.id
        except ProjectMissing:
            found = self._create(page)
        project = self.read()
        wanted = parse_label_config(page)
        same = (project.labels, project.choice) == (wanted.names, wanted.choice)
        # A page that somebody has extended is not changed.
        if not same or is_former_page(project.page, schema, names):
            kept = [name for name in project.labels if name in renamed and name not in names]
            self._change_page(project, page, label_config(schema, [*names, *kept]))
        if (project.sampling, project.shows_predictions) != (SAMPLING, True):
            projects = self._connection.sdk.projects
            projects.update(found, sampling=SAMPLING, show_collab_predictions=True)
        return self.read()

    def overlap(self) -> Overlap:
        """Read the number of annotators per task. Raises ProjectMissing."""
        row = self._connection.read_fields("maximum_annotations", "overlap_cohort_percentage")
        return Overlap(int(row["maximum_annotations"]), int(row["overlap_cohort_percentage"]))

    def ensure_overlap(self, overlap: Overlap) -> None:
        """Set the number of annotators per task, also for existing tasks.

        With more annotators, finished tasks of the share become unfinished; with fewer, tasks become
        finished. Annotations are not changed.
        """
        if self.overlap().same_as(overlap):
            return
        fields = {"maximum_annotations": overlap.annotators}
        if overlap.annotators > 1:
            fields["overlap_cohort_percentage"] = overlap.percent
        self._connection.http.patch(f"{self._connection.path}/", json=fields)

    def _create(self, page: str) -> int:
        title = self._connection.title
        if len(title.strip()) not in TITLE_LENGTHS:
            raise LabelStudioRefused(
                f"{title!r} cannot be a project's title: Label Studio takes 3 to 50 characters; "
                "set label_studio.project_title"
            )
        # The answer may be lost although the project was created, so it is looked up in any case.
        with suppress(LabelStudioDown):
            self._connection.sdk.projects.create(
                title=title,
                label_config=page,
                sampling=SAMPLING,
                show_collab_predictions=True,
                description="Managed by imgclf-dagster. Tasks are added and removed automatically.",
            )
        return self._connection.id

    def _change_page(self, project: Project, page: str, checked: str) -> None:
        """Replace the page, unless labels in use would be removed (which a PATCH alone accepts).

        Args:
            project: before the change.
            page: the new page, as XML.
            checked: the new page with the labels that may be removed, for the server's check.

        Raises:
            LabelStudioRefused: labels in use would be removed.
        """
        try:
            self._connection.http.post(
                f"{self._connection.path}/validate/",
                json={"label_config": checked},
                extensions={"idempotent": True},
            )
        except LabelStudioRefused as error:
            if error.status != 400:
                raise
            raise LabelStudioRefused(
                f"the project {project.title!r} cannot change to the labels of the schema: "
                f"{error}. Put them back into labels.names, or relabel those images in Label "
                "Studio first",
                error.status,
            ) from None
        self._connection.http.patch(f"{self._connection.path}/", json={"label_config": page})


def _parse_project(row: dict[str, Any]) -> Project:
    try:
        page = parse_label_config(row.get("label_config") or "")
        labels, choice = page.names, page.choice
    except LabelConfigError:
        labels, choice = (), ""
    return Project(
        id=int(row["id"]),
        title=str(row["title"]),
        labels=labels,
        choice=choice,
        page=row.get("label_config") or "",
        model_version=row.get("model_version") or "",
        sampling=row.get("sampling") or "",
        shows_predictions=bool(row.get("show_collab_predictions")),
        tasks=int(row.get("task_number") or 0),
        labelled=int(row.get("finished_task_number") or 0),
        annotations=int(row.get("total_annotations_number") or 0),
        predictions=int(row.get("total_predictions_number") or 0),
        created_at=datetime.fromisoformat(row["created_at"]).astimezone(UTC),
    )
