"""The line that looks at a Label Studio which is played, with a clock that tests set."""

from pathlib import Path
from typing import Any

import pytest

from assets.annotations import label_studio_poll
from assets.annotations.label_index import index_snapshots, labelled_view, labels_table
from assets.annotations.label_studio_poll import PollCursor, poll
from assets.policies import LabellingPolicy
from labelling.labels.schema import LabelSchema
from object_store.store import ObjectStore
from tests.label_studio.played import START, PlayedLabelStudio

NOW = START.timestamp()
OVERLAP_S = 120.0


class Line:
    """The store, a cursor that goes through JSON, and a clock."""

    def __init__(self, store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self.store, self.server, self.cursor = store, PlayedLabelStudio(), "{}"
        self.clock = NOW
        self.messages: list[str] = []
        monkeypatch.setattr(label_studio_poll.time, "time", lambda: self.clock)

    def look(self, *, seconds: float = 5, every_s: float = 1e9, **policy: Any) -> PollCursor:
        """A tick, ``seconds`` after the last."""
        self.clock += seconds
        cursor = PollCursor.model_validate_json(self.cursor)
        chosen = LabellingPolicy(poll_overlap_s=OVERLAP_S, reconcile_every_s=every_s, **policy)
        try:
            poll(self.server, self.store, cursor, chosen, self.messages.append)
        finally:
            self.cursor = cursor.model_dump_json()
        return cursor

    @property
    def labels(self) -> dict[int, list[str]]:
        index_snapshots(self.store, labels_table(self.store))
        view = labelled_view(self.store, LabelSchema())
        return {int(image, 16): names for image, names in view.labels.items()}

    @property
    def snapshots(self) -> int:
        return len(self.store.list("annotations/"))


@pytest.fixture
def line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Line:
    store = ObjectStore(url=tmp_path.as_uri())
    store.ensure()
    return Line(store, monkeypatch)
