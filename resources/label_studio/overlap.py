"""How many annotators a task gets in Label Studio, and how many tasks nobody has looked at yet.

The server itself chooses the tasks of several annotators ("overlap") and does so anew at each import,
first among those that one annotator has labelled already: these are open to others again. So a task
that is not done need not be one that waits.
"""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from resources.label_studio.projects import project_missing

if TYPE_CHECKING:
    from resources.label_studio.project import LabelStudio


@dataclass(frozen=True)
class Overlap:
    """``annotators`` label each task of a share of all tasks, ``percent`` (1…100); one person labels
    each of the others. With one annotator the share means nothing."""

    annotators: int = 1
    percent: int = 100

    def __str__(self) -> str:
        """``2 annotators for 20% of the tasks``."""
        if self.annotators == 1:
            return "1 annotator per task"
        return f"{self.annotators} annotators for {self.percent}% of the tasks"

    def same_as(self, other: "Overlap") -> bool:
        """Whether both come to the same."""
        return self == other or self.annotators == other.annotators == 1


def read_overlap(label_studio: "LabelStudio") -> Overlap:
    """What the project has now. Raises ProjectMissing."""
    session, project = label_studio.session(), label_studio.found_id()
    params = {"include": "maximum_annotations,overlap_cohort_percentage"}
    with project_missing(session, project):
        row = session.get(f"/api/projects/{project}/", params=params).json()
    return Overlap(int(row["maximum_annotations"]), int(row["overlap_cohort_percentage"]))


def ensure_overlap(label_studio: "LabelStudio", overlap: Overlap) -> None:
    """Have the project's tasks, those that are there too, labelled by as many as ``overlap`` says.

    More annotators make tasks of the share that are done wait for others again; fewer make them
    done. No annotation is touched.
    """
    if read_overlap(label_studio).same_as(overlap):
        return
    fields = {"maximum_annotations": overlap.annotators}
    if overlap.annotators > 1:
        fields["overlap_cohort_percentage"] = overlap.percent
    label_studio.session().patch(f"/api/projects/{label_studio.found_id()}/", json=fields)


def untouched_tasks(label_studio: "LabelStudio") -> int:
    """How many tasks nobody has labelled or skipped yet."""
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
    """How many people can log in to the server's organisation."""
    return len(label_studio.session().get("/api/users/").json())


def _none(column: str) -> dict[str, Any]:
    return {
        "filter": f"filter:tasks:{column}",
        "operator": "equal",
        "type": "Number",
        "value": 0,
    }
