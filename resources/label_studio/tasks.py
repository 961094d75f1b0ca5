"""Reading the tasks of a Label Studio project: by time of change, by id, and by image (SHA-256).

Pages begin after the last value seen, not at a page number: numbered pages shift when tasks change
meanwhile, and the page after the last is a 404. The server uses only the first key of an ordering,
so tasks changed in the same microsecond are read separately, by id.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any, TypeVar

from resources.label_studio.connection import Connection
from resources.label_studio.types import TaskRef

CHANGES_PAGE = 100
"""Tasks per page with all their fields: some kB each."""

TASKS_PAGE = 1_000
LOOKUP_PAGE = 100
"""Hashes per request: the URL stays below 8 kB, the default limit of nginx as a proxy."""

_PATH = "/api/tasks/"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIELDS = "id,data,is_labeled,created_at,updated_at,total_annotations,cancelled_annotations"
_ALL_FIELDS = f"{_FIELDS},draft_exists,predictions"

TaskJson = dict[str, Any]
T = TypeVar("T")


class TasksApi:
    """Requests that read tasks. ``TaskJson`` is the API's JSON."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def list_refs(self, after: int = 0, limit: int | None = None) -> list[TaskRef]:
        """List the project's tasks that have a ``sample_id``, in order of id, without annotations.

        Args:
            after: only tasks with a greater id.
            limit: most tasks (a thousand take about 0.3 s); default: all.
        """
        tasks = self._by_id([], after=after)
        ours = (parse_task(task) for task in tasks if task["data"].get("sample_id"))
        return [*islice(ours, limit)]

    def changed_since(self, moment: datetime | None, *, limit: int) -> Iterator[TaskJson]:
        """Yield tasks that changed at or after ``moment`` (all, if ``None``), oldest change first.

        Each has all fields: data, meta, annotations, predictions, drafts. Deleted tasks are not
        included (see ``list_refs``). A task that changes meanwhile is yielded again in its new state;
        none is left out.

        Args:
            moment: with a time zone. Choose one before the last change that you saw, since the
                server's transactions may end in another order than they began.
            limit: yield at most this many.
        """

        def read_after(last: str | None, size: int) -> list[TaskJson]:
            since = last or _format_time(moment or _EPOCH)
            operator = "greater" if last else "greater_or_equal"
            return self._page([_updated(operator, since)], "tasks:updated_at", size)

        def read_same(time: str, last_id: int, size: int) -> list[TaskJson]:
            """Read tasks that changed in the same microsecond.

            Args:
                time: of the change.
                last_id: only tasks with a greater id.
                size: read at most this many.
            """
            filters = [_updated("equal", time), _number("id", "greater", last_id)]
            return self._page(filters, "tasks:id", size)

        for page in _pages(read_after, read_same):
            wanted = page[:limit]
            yield from wanted
            limit -= len(wanted)
            if limit <= 0:
                return

    def count_untouched(self) -> int:
        """Count the tasks that nobody has labelled or skipped."""
        columns = ("total_annotations", "cancelled_annotations")
        filters = [_number(column, "equal", 0) for column in columns]
        params = self._params(filters, 1, whole=False) | {"include": "id"}
        with self._connection.project_missing():
            return int(self._connection.http.get(_PATH, params=params).json()["total"])

    def find(self, sample_ids: Iterable[str], *, whole: bool = False) -> Iterator[TaskJson]:
        """Yield the tasks of these images: data, state, number of annotations.

        An image may have several tasks (imported by hand). In order of id within 100 hashes.

        Args:
            sample_ids: of the images.
            whole: whether to add drafts and predictions, which takes twice as long.
        """
        for chunk in batched(sample_ids, LOOKUP_PAGE):
            yield from self._by_id([_one_of("data.sample_id", "String", chunk)], whole=whole)

    def with_ids(self, ids: Iterable[int]) -> Iterator[TaskJson]:
        """Yield the tasks with these ids; faster than ``find``, since ids are indexed."""
        for chunk in batched(ids, TASKS_PAGE // 2):
            yield from self._by_id([_one_of("id", "Number", chunk)])

    def all_whole(self) -> Iterator[TaskJson]:
        """Yield all tasks, ours or not, with drafts and predictions."""
        return self._by_id([], whole=True)

    def unannotated_whole(self) -> Iterator[TaskJson]:
        """Yield all tasks without annotations, ours or not, with drafts and predictions."""
        return self._by_id([_number("total_annotations", "equal", 0)], whole=True)

    def whole(self, task: int) -> TaskJson:
        """Return one task with annotations, predictions and drafts; empty if there is none."""
        # Not by `GET /api/tasks/{id}`, which has the ML backend predict.
        page = self._page([_number("id", "equal", task)], "tasks:id", 1)
        return page[0] if page else {}

    def _by_id(
        self, filters: Sequence[Mapping[str, Any]], *, whole: bool = False, after: int = 0
    ) -> Iterator[TaskJson]:
        """Yield the tasks that match all filters, in order of id, from ``after`` on."""
        include = _ALL_FIELDS if whole else _FIELDS
        while True:
            later = [*filters, _number("id", "greater", after)]
            page = self._page(later, "tasks:id", TASKS_PAGE, include=include, whole=whole)
            yield from page
            if len(page) < TASKS_PAGE:
                return
            after = int(page[-1]["id"])

    def _page(
        self,
        filters: Sequence[Mapping[str, Any]],
        ordering: str,
        size: int,
        *,
        include: str = "",
        whole: bool = True,
    ) -> list[TaskJson]:
        """Return the first ``size`` tasks that match all ``filters``."""
        params = self._params(filters, size, ordering, whole=whole)
        params |= {"resolve_uri": "false"} | ({"include": include} if include else {})
        with self._connection.project_missing():
            answer = self._connection.http.get(_PATH, params=params)
        tasks: list[TaskJson] = answer.json()["tasks"]
        return tasks

    def _params(
        self, filters: Sequence[Mapping[str, Any]], size: int, *ordering: str, whole: bool
    ) -> dict[str, str]:
        query = {"filters": {"conjunction": "and", "items": [*filters]}, "ordering": [*ordering]}
        return {
            "project": str(self._connection.id),
            "page_size": str(size),
            "fields": "all" if whole else "task_only",
            "query": json.dumps(query, separators=(",", ":")),
        }


def parse_task(task: Mapping[str, Any]) -> TaskRef:
    """Convert a task's JSON."""
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


def _pages(
    read_after: Callable[[str | None, int], list[TaskJson]],
    read_same: Callable[[str, int, int], list[TaskJson]],
) -> Iterator[list[TaskJson]]:
    """Yield pages in order of change; none ends between tasks that changed at the same time.

    Args:
        read_after: returns the first tasks that changed after a time (``None``: the first of all),
            given the most to return.
        read_same: returns the first tasks that changed exactly at a time, with a greater id than
            the second argument, given the most to return.
    """
    last: str | None = None
    while True:
        page = read_after(last, CHANGES_PAGE)
        if len(page) < CHANGES_PAGE:
            yield page
            return
        time = page[-1]["updated_at"]
        whole = [task for task in page if task["updated_at"] != time]
        if whole:
            yield whole
            last = _with_microseconds(whole[-1]["updated_at"])
            continue
        last, last_id = _with_microseconds(time), 0
        while same := read_same(last, last_id, CHANGES_PAGE):
            yield same
            last_id = int(same[-1]["id"])


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


def _updated(operator: str, time: str) -> dict[str, Any]:
    return {
        "filter": "filter:tasks:updated_at",
        "operator": operator,
        "type": "Datetime",
        "value": time,
    }


def _with_microseconds(time: str) -> str:
    """Add microseconds to a time: the server omits them when they are 0, but filters need them."""
    return _format_time(datetime.fromisoformat(time))


def _format_time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
