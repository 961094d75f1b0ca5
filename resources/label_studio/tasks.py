"""Reading the tasks of a Label Studio project: by time of change, by id, and by image.

Pages begin after the last value seen, not at a page number: numbered pages shift when tasks change
meanwhile, and the page after the last is a 404. The server uses only the first key of an ordering,
so tasks changed in the same microsecond are read separately, by id.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any, TypeVar

import httpx

from resources.label_studio.projects import project_missing
from resources.label_studio.types import TaskRef

CHANGES_PAGE = 100
"""Tasks per page with all their fields: some kB each."""

TASKS_PAGE = 1_000
LOOKUP_PAGE = 100
"""Hashes per request: the URL stays below 8 kB, the default limit of nginx as a proxy."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIELDS = "id,data,is_labeled,created_at,updated_at,total_annotations,cancelled_annotations"
_ALL_FIELDS = f"{_FIELDS},draft_exists,predictions"

TaskJson = dict[str, Any]
T = TypeVar("T")


def changed_since(
    session: httpx.Client, project: int, moment: datetime | None, limit: int
) -> Iterator[TaskJson]:
    """Yield tasks by time of change; see :meth:`LabelStudio.changed_since`.

    Args:
        session: open connection to the server.
        project: the project's id.
        moment: earliest change, with a time zone; ``None``: all tasks.
        limit: yield at most this many.
    """

    def ask(last: str | None, size: int) -> list[TaskJson]:
        since = last or _stamp(moment or _EPOCH)
        operator = "greater" if last else "greater_or_equal"
        return _page(session, project, [_updated(operator, since)], "tasks:updated_at", size)

    def ask_same(stamp: str, last_id: int, size: int) -> list[TaskJson]:
        filters = [_updated("equal", stamp), _number("id", "greater", last_id)]
        return _page(session, project, filters, "tasks:id", size)

    for page in _runs(ask, ask_same):
        wanted = page[:limit]
        yield from wanted
        limit -= len(wanted)
        if limit <= 0:
            return


def all_tasks(session: httpx.Client, project: int, after: int = 0) -> Iterator[TaskRef]:
    """Yield the project's tasks that have a ``sample_id``, in order of id.

    Args:
        session: open connection to the server.
        project: the project's id.
        after: only tasks with a greater id.
    """
    for task in _by_id(session, project, [], last=after):
        if task["data"].get("sample_id"):
            yield task_ref(task)


def open_tasks(session: httpx.Client, project: int) -> Iterator[TaskJson]:
    """Yield all tasks without annotations, ours or not, with drafts and predictions."""
    nothing_said = _number("total_annotations", "equal", 0)
    return _by_id(session, project, [nothing_said], whole=True)


def all_tasks_whole(session: httpx.Client, project: int) -> Iterator[TaskJson]:
    """Yield all tasks, ours or not, with drafts and predictions."""
    return _by_id(session, project, [], whole=True)


def whole_task(session: httpx.Client, project: int, task: int) -> TaskJson:
    """Return one task with annotations, predictions and drafts; empty if there is none.

    Args:
        session: open connection to the server.
        project: the project's id.
        task: id of the task.
    """
    # Not by `GET /api/tasks/{id}`, which has the ML backend predict.
    page = _page(session, project, [_number("id", "equal", task)], "tasks:id", 1)
    return page[0] if page else {}


def find_tasks(
    session: httpx.Client, project: int, sample_ids: Iterable[str], *, whole: bool = False
) -> Iterator[TaskJson]:
    """Yield the tasks of these images: data, state, number of annotations.

    An image may have several tasks (imported by hand). In order of id within 100 hashes.

    Args:
        session: open connection to the server.
        project: the project's id.
        sample_ids: of the images.
        whole: whether to add drafts and predictions, which takes twice as long.
    """
    for chunk in batched(sample_ids, LOOKUP_PAGE):
        known = _one_of("data.sample_id", "String", chunk)
        yield from _by_id(session, project, [known], whole=whole)


def tasks_with_ids(session: httpx.Client, project: int, ids: Iterable[int]) -> Iterator[TaskJson]:
    """Yield the tasks with these ids; faster than ``find_tasks``, since ids are indexed.

    Args:
        session: open connection to the server.
        project: the project's id.
        ids: of the tasks.
    """
    for chunk in batched(ids, TASKS_PAGE // 2):
        yield from _by_id(session, project, [_one_of("id", "Number", chunk)])


def task_ref(task: Mapping[str, Any]) -> TaskRef:
    """Convert a task's JSON to a reference."""
    return TaskRef(
        id=int(task["id"]),
        sample_id=str(task["data"]["sample_id"]),
        is_labeled=bool(task["is_labeled"]),
        updated_at=datetime.fromisoformat(task["updated_at"]),
        created_at=datetime.fromisoformat(task["created_at"]),
        annotations=int(task["total_annotations"]),
    )


def is_labelled(task: Mapping[str, Any]) -> bool:
    """Whether somebody labelled or skipped the task (of ``find_tasks``)."""
    return bool(task["is_labeled"] or task["total_annotations"] or task["cancelled_annotations"])


def is_touched(task: Mapping[str, Any]) -> bool:
    """Whether somebody has labelled or skipped the task (a whole one), or has a draft of it."""
    return is_labelled(task) or bool(task["draft_exists"])


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield lists of at most ``size`` items (itertools has this from Python 3.12)."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def _runs(
    ask: Callable[[str | None, int], list[TaskJson]],
    ask_same: Callable[[str, int, int], list[TaskJson]],
) -> Iterator[list[TaskJson]]:
    """Yield pages in order of change; none ends between tasks that changed at the same time."""
    last: str | None = None
    while True:
        page = ask(last, CHANGES_PAGE)
        if len(page) < CHANGES_PAGE:
            yield page
            return
        stamp = page[-1]["updated_at"]
        whole = [task for task in page if task["updated_at"] != stamp]
        if whole:
            yield whole
            last = _normal(whole[-1]["updated_at"])
            continue
        last, last_id = _normal(stamp), 0
        while same := ask_same(last, last_id, CHANGES_PAGE):
            yield same
            last_id = int(same[-1]["id"])


def _by_id(
    session: httpx.Client,
    project: int,
    filters: Sequence[Mapping[str, Any]],
    *,
    whole: bool = False,
    last: int = 0,
) -> Iterator[TaskJson]:
    include = _ALL_FIELDS if whole else _FIELDS
    while True:
        after = [*filters, _number("id", "greater", last)]
        page = _page(session, project, after, "tasks:id", TASKS_PAGE, include=include, whole=whole)
        yield from page
        if len(page) < TASKS_PAGE:
            return
        last = int(page[-1]["id"])


def _page(
    session: httpx.Client,
    project: int,
    filters: Sequence[Mapping[str, Any]],
    ordering: str,
    size: int,
    *,
    include: str = "",
    whole: bool = True,
) -> list[TaskJson]:
    """Return the first ``size`` tasks that match all ``filters``."""
    query = {"filters": {"conjunction": "and", "items": list(filters)}, "ordering": [ordering]}
    params = {
        "project": str(project),
        "page_size": str(size),
        "fields": "all" if whole else "task_only",
        "resolve_uri": "false",
        "query": json.dumps(query, separators=(",", ":")),
    }
    with project_missing(session, project):
        answer = session.get(
            "/api/tasks/", params=params | ({"include": include} if include else {})
        )
    tasks: list[TaskJson] = answer.json()["tasks"]
    return tasks


def _one_of(column: str, kind: str, values: Sequence[str] | Sequence[int]) -> dict[str, Any]:
    return {
        "filter": f"filter:tasks:{column}",
        "operator": "in_list",
        "type": kind,
        "value": list(values),
    }


def _number(column: str, operator: str, value: int) -> dict[str, Any]:
    return {
        "filter": f"filter:tasks:{column}",
        "operator": operator,
        "type": "Number",
        "value": value,
    }


def _updated(operator: str, stamp: str) -> dict[str, Any]:
    return {
        "filter": "filter:tasks:updated_at",
        "operator": operator,
        "type": "Datetime",
        "value": stamp,
    }


def _normal(stamp: str) -> str:
    """Add microseconds to a time: the server omits them when they are 0, but filters need them."""
    return _stamp(datetime.fromisoformat(stamp))


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
