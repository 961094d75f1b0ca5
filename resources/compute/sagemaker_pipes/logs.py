"""A job's output from CloudWatch: the log streams of all its hosts, read one call at a time."""

from collections import deque
from collections.abc import Callable
from typing import Any

_DRAIN_CALLS = 50
"""Most calls of :meth:`JobLogs.drain`: 50 MB of log; the rest stays in CloudWatch."""

_LOOK_EVERY = 10
"""Every tenth poll looks for streams: hosts start their output at different times."""

_PAGE = 10_000
"""Events per GetLogEvents call, the API's maximum."""


class JobLogs:
    """Reads the streams ``<prefix>*`` of a log group, each from its beginning.

    Every :meth:`poll` makes one call: it looks for streams, or reads the next stream in turn.
    """

    def __init__(
        self, client: Any, group: str, prefix: str, sink: Callable[[str, str], None], tail: int = 40
    ) -> None:
        """Prepare; nothing is called yet.

        Args:
            client: boto3's for ``logs``.
            group: log group.
            prefix: of the streams' names: ``<job>/``, before ``<host>-<number>``; of a tuning job
                ``<job>-``, before ``<number>-<hash>/<host>-<number>``.
            sink: called with host and whole lines as they arrive; of a tuning job, the host is
                ``<number>-<hash>/<host>``.
            tail: number of last lines to keep.
        """
        self._client, self._group, self._prefix, self._sink = client, group, prefix, sink
        self._tokens: dict[str, str | None] = {}
        self._turn: deque[str] = deque()
        self._look = True
        self._polls = 0
        self.tail: deque[str] = deque(maxlen=tail)

    def expect_streams(self) -> None:
        """Have the next poll look for streams: a host that starts, or starts again, has a new one."""
        self._look = True

    def poll(self) -> bool:
        """Make one call; returns whether it brought anything new."""
        self._polls += 1
        if self._look or not self._tokens or self._polls % _LOOK_EVERY == 0:
            return self._find_streams()
        self._turn.rotate(-1)
        return self._read(self._turn[-1])

    def drain(self) -> None:
        """Read the rest of every stream, with at most 50 calls."""
        self._find_streams()
        unread, calls = deque(self._tokens), 1
        while unread and calls < _DRAIN_CALLS:
            if not self._read(unread[0]):
                unread.popleft()
            unread.rotate(-1)
            calls += 1

    def _find_streams(self) -> bool:
        """Look for streams with one DescribeLogStreams call, which returns 50 at most."""
        try:
            answer = self._client.describe_log_streams(
                logGroupName=self._group, logStreamNamePrefix=self._prefix, limit=50
            )
        except self._client.exceptions.ResourceNotFoundException:  # no job has logged here yet
            return False
        self._look = False
        names = [stream["logStreamName"] for stream in answer["logStreams"]]
        new = [name for name in names if name not in self._tokens]
        self._tokens.update(dict.fromkeys(new))
        self._turn.extend(new)
        return bool(new)

    def _read(self, stream: str) -> bool:
        """Read a stream with one GetLogEvents call; returns whether there may be more."""
        # A page may be empty before the end; only a repeated token marks the end:
        # https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_GetLogEvents.html
        token = self._tokens[stream]
        answer = self._client.get_log_events(
            logGroupName=self._group,
            logStreamName=stream,
            startFromHead=True,
            limit=_PAGE,
            **({"nextToken": token} if token else {}),
        )
        self._tokens[stream] = answer["nextForwardToken"]
        lines = [event["message"].rstrip("\n") for event in answer["events"]]
        if lines:
            host = stream.removeprefix(self._prefix).rpartition("-")[0]
            self.tail.extend(lines)
            self._sink(host, "\n".join(lines))
        return bool(lines) or answer["nextForwardToken"] != token
