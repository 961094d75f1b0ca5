"""What ministack's CloudFormation answers otherwise than CloudFormation, put right.

``correct()`` is called in ministack's process before it serves.
"""

import datetime
import itertools
from typing import Any

Answer = tuple[int, dict[str, str], bytes]


def correct() -> None:
    """Answers that botocore can parse, error codes of the service model, events in order."""
    from ministack.services.cloudformation import handlers, stacks

    actions = handlers._ACTION_HANDLERS
    delete, execute = actions["DeleteChangeSet"], actions["ExecuteChangeSet"]

    def deleted(params: Any) -> Answer:
        status, headers, body = delete(params)
        empty = b"<DeleteChangeSetResult></DeleteChangeSetResult><ResponseMetadata>"
        return status, headers, body.replace(b"<ResponseMetadata>", empty)

    def executed(params: Any) -> Answer:
        status, headers, body = execute(params)
        return (
            status,
            headers,
            body.replace(b"InvalidChangeSetStatusException", b"InvalidChangeSetStatus"),
        )

    actions |= {"DeleteChangeSet": deleted, "ExecuteChangeSet": executed}
    count = itertools.count()

    def now() -> str:
        """Never the same twice: ministack sorts the events by it, and tells equals in disorder."""
        moment = datetime.datetime.now(datetime.UTC)
        return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}{next(count):06}Z"

    stacks.now_iso = now
