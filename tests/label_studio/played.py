"""A stand-in for the client of Label Studio, with faults that a real server will not have on demand."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from resources.label_studio.types import LabelStudioDown, LabelStudioRefused, Project, TaskRef

START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class PlayedLabelStudio:
    """Tasks by number; it is its own part ``project``, ``tasks`` and ``withdrawals``.

    Attributes:
        project_id: the project's.
        made_at: creation of the project, in seconds like ``at``.
        tasks_by_id: the API's JSON.
        hidden: tasks whose transactions have not ended.
        breaks_after: number of tasks after which the connection breaks.
        given: number of tasks read so far.
        tended: how often withdrawn tasks were tended.
        refuses_to_tend: whether that is refused.
    """

    project_id: int = 1
    made_at: float = -86_400
    tasks_by_id: dict[int, dict[str, Any]] = field(default_factory=dict)
    hidden: set[int] = field(default_factory=set)
    breaks_after: int | None = None
    given: int = 0
    configured: bool = True
    tended: int = 0
    refuses_to_tend: bool = False

    def add(self, number: int, *labels: str, at: float, task: int | None = None) -> None:
        """Image ``number`` has a task that changed at ``at``; with labels, an annotation."""
        moment = (START + timedelta(seconds=at)).isoformat()
        region = {"from_name": "label", "type": "choices", "value": {"choices": [*labels]}}
        annotation = {"id": number, "project": self.project_id, "result": [region],
                      "created_at": moment, "updated_at": moment, "completed_by": 1}  # fmt: skip
        known = self.tasks_by_id.get(task or number, {"created_at": moment})
        self.tasks_by_id[task or number] = {
            "id": task or number, "created_at": known["created_at"], "project": self.project_id, "updated_at": moment,
            "data": {"sample_id": f"{number:064x}"}, "annotations": [annotation] if labels else [],
        }  # fmt: skip

    def to_project(self, project_id: int) -> Self:
        assert project_id == self.project_id
        return self

    @property
    def project(self) -> Self:
        return self

    @property
    def tasks(self) -> Self:
        return self

    @property
    def withdrawals(self) -> Self:
        return self

    def read(self) -> Project:
        made = START + timedelta(seconds=self.made_at)
        return Project(self.project_id, "p", (), "single", "", "", True, 0, 0, 0, 0, made)

    def changed_since(self, moment: datetime | None, *, limit: int) -> Iterator[dict[str, Any]]:
        rows = sorted(self.tasks_by_id.values(), key=lambda row: (row["updated_at"], row["id"]))
        for row in rows:
            if row["id"] in self.hidden:
                continue
            if moment is None or datetime.fromisoformat(row["updated_at"]) >= moment:
                if self.breaks_after is not None and self.given >= self.breaks_after:
                    raise LabelStudioDown("hung up")
                self.given += 1
                yield row

    def list_refs(self, after: int = 0, limit: int | None = None) -> list[TaskRef]:
        found = [
            TaskRef(row["id"], row["data"]["sample_id"], bool(row["annotations"]),
                    datetime.fromisoformat(row["updated_at"]),
                    datetime.fromisoformat(row["created_at"]))
            for number, row in sorted(self.tasks_by_id.items())
            if number > after
        ]  # fmt: skip
        return found[:limit]

    def tend(self, deletions: int = 100) -> int:
        if self.refuses_to_tend:
            raise LabelStudioRefused("no task may be moved", 403)
        self.tended += 1
        return 0
