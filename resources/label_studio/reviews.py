"""Labels in doubt: finished tasks that people should review.

Label Studio cannot put a labelled task back into its stream: it never serves it again to the person
who labelled it. A second task of the same image would add a second annotation by the same person.
So the tasks in doubt are listed in a tab of the project's Data Manager, each with its reason; a
person opens them there and corrects or keeps the annotation.
"""

from collections.abc import Mapping
from typing import Any

from resources.label_studio.connection import Connection
from resources.label_studio.tasks import TasksApi

TAB = "Labels in doubt"
MOST_SHOWN = 100
"""Most images in the tab: its filter is in the URL of every request that the page makes."""


class ReviewsApi:
    """Requests about the tab of tasks to review."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def show(self, reasons: Mapping[str, str]) -> str:
        """List the tasks of these images in the tab; delete the tab if there are none.

        Args:
            reasons: a sentence for the annotator, by image (SHA-256, hex); the first ``MOST_SHOWN``
                images are listed.

        Returns:
            URL of the tab; "" if there is none.
        """
        shown = set()
        for task in TasksApi(self._connection).find([*reasons][:MOST_SHOWN]):
            image = task["data"]["sample_id"]
            self._write_reason(task, reasons[image])
            shown.add(image)
        view = self._ensure_tab(sorted(shown))
        return f"{self._connection.project_url(self._connection.id)}?tab={view}" if view else ""

    def _write_reason(self, task: Mapping[str, Any], why: str) -> None:
        if task["data"].get("why") != why:
            data = {**task["data"], "why": why}
            self._connection.http.patch(f"/api/tasks/{task['id']}/", json={"data": data})

    def _ensure_tab(self, sample_ids: list[str]) -> int | None:
        """Create, update or delete the tab; returns its id, ``None`` if there is none."""
        http, project = self._connection.http, self._connection.id
        with self._connection.project_missing():
            views = http.get("/api/dm/views/", params={"project": str(project)}).json()
        known = [view for view in views if (view.get("data") or {}).get("title") == TAB]
        if not sample_ids:
            for view in known:
                http.delete(f"/api/dm/views/{view['id']}/")
            return None
        data = {"title": TAB, "type": "list", "filters": _filters(sample_ids)}
        if not known:
            made = http.post("/api/dm/views/", json={"project": project, "data": data}).json()
            return int(made["id"])
        if known[0]["data"].get("filters") != data["filters"]:
            path = f"/api/dm/views/{known[0]['id']}/"
            http.patch(path, json={"project": project, "data": {**known[0]["data"], **data}})
        return int(known[0]["id"])


def _filters(sample_ids: list[str]) -> dict[str, Any]:
    item = {
        "filter": "filter:tasks:data.sample_id",
        "operator": "in_list",
        "type": "String",
        "value": sample_ids,
    }
    return {"conjunction": "and", "items": [item]}
