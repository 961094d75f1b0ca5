"""Labels in doubt: finished tasks that people should review.

Label Studio cannot put a labelled task back into its stream: it never serves it again to the person
who labelled it. A second task of the same image would add a second annotation by the same person.
So the tasks in doubt are listed in a tab of the project's Data Manager, each with its reason; a
person opens them there and corrects or keeps the annotation.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from resources.label_studio.projects import project_missing
from resources.label_studio.tasks import batched, find_tasks

if TYPE_CHECKING:
    import httpx

    from resources.label_studio.project import LabelStudio

TAB = "Labels in doubt"
MOST_SHOWN = 100
"""Most images in the tab: its filter is in the URL of every request that the page makes."""


def show_reviews(label_studio: "LabelStudio", reviews: Mapping[str, str]) -> str:
    """List the tasks of these images in the tab; delete the tab if there are none.

    Args:
        label_studio: the project.
        reviews: the reason, a sentence for the annotator, by image (SHA-256, hex); the first
            ``MOST_SHOWN`` are listed.

    Returns:
        URL of the tab; "" if there is none.
    """
    session, project = label_studio.session(), label_studio.found_id()
    shown: list[str] = []
    for chunk in batched(list(reviews)[:MOST_SHOWN], MOST_SHOWN):
        for task in find_tasks(session, project, chunk):
            _say_why(session, task, reviews[task["data"]["sample_id"]])
            shown.append(task["data"]["sample_id"])
    view = _bring_tab(session, project, sorted(set(shown)))
    return f"{label_studio.url.rstrip('/')}/projects/{project}/data?tab={view}" if view else ""


def _say_why(session: "httpx.Client", task: Mapping[str, Any], why: str) -> None:
    if task["data"].get("why") != why:
        session.patch(f"/api/tasks/{task['id']}/", json={"data": {**task["data"], "why": why}})


def _bring_tab(session: "httpx.Client", project: int, sample_ids: list[str]) -> int | None:
    """Create, update or delete the tab; returns its id, ``None`` if there is none."""
    with project_missing(session, project):
        views = session.get("/api/dm/views/", params={"project": str(project)}).json()
    known = [view for view in views if (view.get("data") or {}).get("title") == TAB]
    if not sample_ids:
        for view in known:
            session.delete(f"/api/dm/views/{view['id']}/")
        return None
    data = {"title": TAB, "type": "list", "filters": _filters(sample_ids)}
    if not known:
        made = session.post("/api/dm/views/", json={"project": project, "data": data}).json()
        return int(made["id"])
    if known[0]["data"].get("filters") != data["filters"]:
        path = f"/api/dm/views/{known[0]['id']}/"
        session.patch(path, json={"project": project, "data": {**known[0]["data"], **data}})
    return int(known[0]["id"])


def _filters(sample_ids: list[str]) -> dict[str, Any]:
    item = {
        "filter": "filter:tasks:data.sample_id",
        "operator": "in_list",
        "type": "String",
        "value": sample_ids,
    }
    return {"conjunction": "and", "items": [item]}
