"""ministack with one more resource type, ``Custom::Trial``, that takes its time or fails as told.

Started by ``trial_stacks(folder)`` as a process of its own. Properties of the type: ``Value``
(any), ``Seconds`` (how long it takes), ``Fail`` (fails with this reason), ``FailDelete`` (its
deletion does).
"""

import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.testbed.ministack import running_ministack, serve

TAKEN_ON_TRUST = ("AWS::Budgets::Budget", "AWS::SageMaker::ModelPackageGroup")
"""Types that ministack lacks and foundation.yaml has: accepted, and nothing is made."""


@contextmanager
def trial_stacks(folder: Path) -> Iterator[str]:
    """The URL of a ministack of its own; its log and its files lie under ``folder``."""
    with running_ministack(folder, module=__name__) as url:
        yield url


def _act(props: dict) -> dict:
    time.sleep(float(props.get("Seconds", 0)))
    if props.get("Fail"):
        raise RuntimeError(props["Fail"])
    return {"Value": props.get("Value", "")}


def _create(logical_id: str, props: dict, stack_name: str) -> tuple[str, dict]:
    return f"trial-{uuid.uuid4().hex[:8]}", _act(props)


def _update(physical_id: str, old: dict, new: dict, stack_name: str, **_: object) -> tuple:
    return physical_id, _act(new)


def _delete(physical_id: str, props: dict) -> None:
    if props.get("FailDelete"):
        raise RuntimeError(props["FailDelete"])


def _accept(logical_id: str, props: dict, stack_name: str) -> tuple[str, dict]:
    return f"{stack_name}-{logical_id}", {}


def main(parent: int) -> None:
    """Serve until told to end, or until the process ``parent`` is gone."""
    from ministack.services.cloudformation.provisioners import _RESOURCE_HANDLERS

    from tests.testbed import ministack_answers

    handlers = {"create": _create, "update": _update, "delete": _delete}
    _RESOURCE_HANDLERS["Custom::Trial"] = handlers
    for kind in TAKEN_ON_TRUST:
        _RESOURCE_HANDLERS[kind] = {"create": _accept, "delete": _delete}
    ministack_answers.correct()
    serve(parent)


if __name__ == "__main__":
    main(int(sys.argv[1]))
