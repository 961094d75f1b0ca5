"""The number of annotators per task in Label Studio ("overlap"), and of tasks without annotations.

The server itself chooses the tasks for several annotators, and again at each import, first among
those that one annotator has labelled already, which are then open to others again. So an unfinished
task may have annotations.
"""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from resources.label_studio.projects import project_missing

if TYPE_CHECKING:
    from resources.label_studio.project import LabelStudio


@dataclass(frozen=True)
class Overlap:
    """The project's overlap.

    Attributes:
        annotators: number of people who label each task of the share; one labels the others.
        percent: the share of all tasks, 1…100; no effect with one annotator.
    """

    annotators: int = 1
    percent: int = 100

    def __str__(self) -> str:
        """Return text such as ``2 annotators for 20% of the tasks``."""
        if self.annotators == 1:
            return "1 annotator per task"
        return f"{self.annotators} annotators for {self.percent}% of the tasks"

    def same_as(self, other: "Overlap") -> bool:
        """Whether both have the same effect."""
        return self == other or self.annotators == other.annotators == 1


def read_overlap(label_studio: "LabelStudio") -> Overlap:
    """Read the project's overlap. Raises ProjectMissing."""
    session, project = label_studio.session(), label_studio.found_id()
    params = {"include": "maximum_annotations,overlap_cohort_percentage"}
    with project_missing(session, project):
        row = session.get(f"/api/projects/{project}/", params=params).json()
    return Overlap(int(row["maximum_annotations"]), int(row["overlap_cohort_percentage"]))


def ensure_overlap(label_studio: "LabelStudio", overlap: Overlap) -> None:
    """Set the project's overlap, also for existing tasks.

    With more annotators, finished tasks of the share become unfinished; with fewer, tasks become
    finished. Annotations are not changed.
    """
    if read_overlap(label_studio).same_as(overlap):
        return
    fields = {"maximum_annotations": overlap.annotators}
    if overlap.annotators > 1:
        fields["overlap_cohort_percentage"] = overlap.percent
    label_studio.session().patch(f"/api/projects/{label_studio.found_id()}/", json=fields)


def untouched_tasks(label_studio: "LabelStudio") -> int:
    """Count the tasks that nobody has labelled or skipped."""
    session, project = label_studio.session(), label_studio.found_id()
    nothing = [_none("total_annotations"), _none("cancelled_annotations")]
    params = {
        "project": str(project),
        "page_size": "1",
        "fields": "task_only",
        "include": "id",
        "query": json.dumps({"filters": {"conjunction": "and", "items": nothing}}),
    }
    with project_missing(session, project):
        return int(session.get("/api/tasks/", params=params).json()["total"])


def count_users(label_studio: "LabelStudio") -> int:
    """Count the users of the server's organisation."""
    return len(label_studio.session().get("/api/users/").json())


def _none(column: str) -> dict[str, Any]:
    return {
        "filter": f"filter:tasks:{column}",
        "operator": "equal",
        "type": "Number",
        "value": 0,
    }
