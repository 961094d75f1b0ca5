"""Which batch is chosen: how much is missing, and that nothing in doubt is left out."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from assets.annotations.label_index import LabelledView
from assets.policies import LabellingPolicy
from assets.queue.build import Situation, choose_batch
from assets.queue.images import hidden_problem, shown_images
from assets.queue.ledger import QueueBatch
from assets.queue.pool import Doubts, Images, Opinions
from labelling.labels.schema import LabelSchema
from object_store.store import ObjectStore
from tests.pools import sha

pytestmark = pytest.mark.unit

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
SPLITS = ("train", "train", "train", "val", "test")
SEEDS = range(40)
SCHEMA = LabelSchema(names=("cat", "dog"))


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    store = ObjectStore(url=tmp_path.as_uri())
    store.ensure()
    return store


def situation(*, doubts: Doubts, waiting: int, count: int = 200, wanted: int = 20) -> Situation:
    """``count`` images without a label; ``waiting`` tasks of others."""
    shas = [sha(number) for number in range(count)]
    images = Images(
        {image: f"raw/{image[-3:]}.png" for image in shas},
        {image: SPLITS[number % 5] for number, image in enumerate(shas)},
        {image: image for image in shas},
    )
    return Situation(
        images=images,
        view=LabelledView({}, [], "1"),
        opinions=Opinions("tiny"),  # whose features are not there: picks fall by chance
        doubts=doubts,
        pace=0.0,
        wanted=wanted,
        now=NOW,
        open=frozenset(f"open-{number}" for number in range(waiting)),
    )


def corrected(count: int) -> Doubts:
    train = [number for number in range(200) if SPLITS[number % 5] == "train"]
    return Doubts({}, {sha(number): ("dog",) for number in train[:count]})


def chosen(store: ObjectStore, found: Situation, **policy: int) -> QueueBatch:
    batch = choose_batch(store, found, LabellingPolicy(**policy), SCHEMA)
    assert batch is not None
    return batch


def in_doubt(batch: QueueBatch) -> list[str]:
    reasons = ("correction", "label_conflict")
    return [image.sha256 for image in batch.images if image.reason in reasons]


@pytest.mark.parametrize("count", [1, 5, 10])
def test_a_full_queue_takes_every_new_doubt_and_nothing_else(
    store: ObjectStore, count: int
) -> None:
    for seed in SEEDS:
        batch = chosen(store, situation(doubts=corrected(count), waiting=20 + seed))
        assert in_doubt(batch) == [*corrected(count).corrections]
        assert len(batch.images) == count


def test_doubts_come_before_whatever_waits_already(store: ObjectStore) -> None:
    alone = chosen(store, situation(doubts=corrected(10), waiting=20)).images
    mixed = chosen(store, situation(doubts=corrected(10), waiting=0)).images
    for batch in (alone, mixed):
        places = [image.priority for image in batch]
        assert places == sorted(set(places))
        assert max(places[:10]) < 0.05  # the second of an ordinary batch of 20


@pytest.mark.parametrize("count", [3, 8, 15, 40])
def test_a_queue_that_is_filled_up_takes_every_new_doubt(store: ObjectStore, count: int) -> None:
    for seed in SEEDS:
        found = situation(doubts=corrected(count), waiting=seed, wanted=seed + 20)
        assert in_doubt(chosen(store, found)) == [*corrected(count).corrections]


def test_a_flood_of_doubts_is_let_in_as_it_is_answered(store: ObjectStore) -> None:
    flood = corrected(100)
    first = chosen(store, situation(doubts=flood, waiting=25), batch_max=30)
    assert in_doubt(first) == [*flood.corrections][:30]
    asked = {image.sha256 for image in first.images}
    waits = situation(doubts=flood, waiting=0)
    waits = replace(waits, open=frozenset(asked))
    assert choose_batch(store, waits, LabellingPolicy(batch_max=30), SCHEMA) is None
    answered = replace(waits, open=frozenset(sorted(asked)[5:]), done=frozenset(sorted(asked)[:5]))
    assert len(in_doubt(chosen(store, answered, batch_max=30))) == 5


def test_what_cannot_be_shown_is_neither_asked_nor_left(store: ObjectStore) -> None:
    hidden = {sha(number): f"raw/{number}?.png" for number in range(150)}
    found = replace(situation(doubts=corrected(10), waiting=0, wanted=100), hidden=hidden)
    assert len(found.left) == 50
    assert found.urgent(500) == 0
    asked = {image.sha256 for image in chosen(store, found).images}
    assert asked == found.left
    waits = replace(found, open=frozenset(asked))
    assert choose_batch(store, waits, LabellingPolicy(), SCHEMA) is None


def test_an_image_is_shown_by_the_name_that_can_be() -> None:
    names = {0: "raw/0?.png", 1: "raw/1 ", 2: "raw/2.png"}
    keys = {sha(number): key for number, key in names.items()}
    images = Images(keys, dict.fromkeys(keys, "train"), {image: image for image in keys})
    rows = [*keys.items(), (sha(0), "raw/z.png")]
    columns = {"sha256": [row[0] for row in rows], "key": [row[1] for row in rows]}
    indexed = pa.table(columns | {"status": ["ok"] * len(rows)})
    found, hidden = shown_images("s3://lake", images, indexed)
    assert [*found.keys.values()] == ["raw/z.png", "raw/1 ", "raw/2.png"]
    assert hidden == {sha(1): "raw/1 "}
    assert shown_images("file:///lake", images, indexed) == (images, {})
    (predicted,) = hidden_problem(hidden)
    assert "'raw/1 '" in predicted
    assert "under another name" in predicted
    assert hidden_problem({}) == []


def test_few_labels_do_not_make_a_choice_worth_it(store: ObjectStore) -> None:
    none = Doubts({}, {})
    assert (
        choose_batch(store, situation(doubts=none, waiting=17), LabellingPolicy(), SCHEMA) is None
    )
    assert len(chosen(store, situation(doubts=none, waiting=16)).images) == 4
