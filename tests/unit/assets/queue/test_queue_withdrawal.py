"""Which tasks are taken back from Label Studio: no work of a person, nothing that is in doubt."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from assets.annotations.label_index import LabelledView
from assets.policies import LabellingPolicy
from assets.queue.build import Situation
from assets.queue.pool import Doubts, Images, Opinions
from assets.queue.sync import QueueSync
from labelling.labels.schema import LabelSchema
from object_store.store import ObjectStore
from resources.label_studio.types import TaskRef

pytestmark = pytest.mark.unit

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
LABELLED = ("free", "labelled", "begun", "conflict", "correction")
"""Images that got their label elsewhere; what is on their tasks differs."""


@dataclass
class Tasks:
    """The client of Label Studio, and its part ``withdrawals``."""

    taken: list[str] = field(default_factory=list)
    withdrawals = property(lambda self: self)

    def withdraw(self, images: Iterable[str]) -> int:
        self.taken += images
        return len(self.taken)


def test_only_untouched_tasks_of_settled_images_are_taken_back(tmp_path: Path) -> None:
    names = (*LABELLED, "open")
    images = Images(
        {name: f"raw/{name}.png" for name in names},
        dict.fromkeys(names, "train"),
        {name: name for name in names},
    )
    view = LabelledView({name: ["cat"] for name in LABELLED}, [], "1")
    doubts = Doubts({"conflict": "cat and dog"}, {"correction": ("dog",)})
    situation = Situation(images, view, Opinions(""), doubts, 0.0, 20, NOW)
    tasks = [
        TaskRef(
            number,
            name,
            is_labeled=name == "labelled",
            updated_at=NOW,
            created_at=NOW,
            annotations=1 if name == "begun" else 0,  # of two annotators, one
        )
        for number, name in enumerate((*names, "gone"), start=1)
    ]
    studio = Tasks()
    store = ObjectStore(url=tmp_path.as_uri())
    sync = QueueSync(store, studio, LabellingPolicy(), LabelSchema(), print)
    assert sync._withdraw(situation, tasks) == 2
    assert studio.taken == ["free", "gone"]
