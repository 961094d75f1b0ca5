"""What the pool is made of: pace, skips, doubts, opinions."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.annotations.label_index import LabelledView
from assets.model.feature_store import (
    EmbeddedModel,
    embedded_model,
    likely_backbone,
    read_features,
    read_probabilities,
    record_model,
    stored_features,
    stored_probabilities,
)
from assets.model.models_in_use import ModelInUse
from assets.policies import LabellingPolicy
from assets.queue.build import Situation, predictions
from assets.queue.pool import (
    Doubts,
    Images,
    Opinions,
    build_pool,
    find_doubts,
    labels_per_day,
    queue_length,
    skipped_images,
)
from labelling.labels.corrections import Correction, correction_key
from labelling.labels.schema import LabelSchema
from labelling.labels.table import LABELS_SCHEMA
from object_store.store import ObjectStore

pytestmark = pytest.mark.unit

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
SHAS = [f"{number:064x}" for number in range(8)]
LABELS = ("cat", "dog")


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    store = ObjectStore(url=tmp_path.as_uri())
    store.ensure()
    return store


def row(sha: str, *, ago: timedelta = timedelta(hours=1), **fields: Any) -> dict[str, Any]:
    given = dict.fromkeys(LABELS_SCHEMA.names)
    given |= {
        "snapshot_key": f"annotations/{sha}-{ago}-{sorted(fields)}",
        "sha256": sha,
        "labels": ["cat"],
        "status": "ok",
        "reason": "",
        "annotator": "label_studio:1",
        "source": "label_studio",
        "annotated_at": NOW - ago,
        "annotation_id": "1",
        "cancelled": False,
        "unique_id": sha[-12:],
        "skipped": False,
    }
    return given | fields


def rows(*given: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(given), schema=LABELS_SCHEMA)


# --- the pace -------------------------------------------------------------------------------


def test_the_pace_is_that_of_the_last_week() -> None:
    hours = [row(sha, ago=timedelta(hours=1)) for sha in SHAS[:4]]
    assert labels_per_day(rows(*hours), NOW) == 4
    days = [row(sha, ago=timedelta(days=day)) for day, sha in enumerate(SHAS, start=1)]
    assert labels_per_day(rows(*days), NOW) == pytest.approx(6 / 6)  # two are older than a week
    assert labels_per_day(rows(), NOW) == 0


def test_what_was_ingested_or_taken_back_is_no_pace() -> None:
    table = rows(
        row(SHAS[0], source="ingest", unique_id=""),
        row(SHAS[1], cancelled=True),
        row(SHAS[2]),
        row(SHAS[2], ago=timedelta(minutes=5), labels=["dog"]),
    )
    assert labels_per_day(table, NOW) == 1


@given(pace=st.floats(0, 1e6), days=st.floats(0.1, 60))
def test_the_queue_stays_within_its_bounds(pace: float, days: float) -> None:
    policy = LabellingPolicy(days_ahead=days)
    length = queue_length(policy, pace)
    assert policy.batch_min <= length <= policy.batch_max
    if policy.batch_min < pace * days < policy.batch_max:
        assert pace * days <= length < pace * days + 1


def test_weights_of_older_settings_are_left_out_and_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    policy = LabellingPolicy.model_validate({"weights": {"novelty": 0.5}, "batch_min": 7})
    assert policy == LabellingPolicy(batch_min=7)
    assert "[labelling.weights] has no effect any more" in caplog.text
    with pytest.raises(ValueError, match="wait"):
        LabellingPolicy.model_validate({"wait": {}})


def test_the_commented_section_of_an_older_settings_file_is_no_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert LabellingPolicy.model_validate({"weights": {}}) == LabellingPolicy()
    assert caplog.text == ""


def test_bounds_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(ValueError, match="batch_min is 50, more than batch_max, 40"):
        LabellingPolicy(batch_min=50, batch_max=40)


def test_skipped_is_who_was_only_skipped() -> None:
    other = {"unique_id": "other", "labels": ["dog"]}
    table = rows(
        row(SHAS[0], skipped=True, labels=[]),
        row(SHAS[1], skipped=True, labels=[]),
        row(SHAS[1], **other),
        row(SHAS[2], skipped=True, labels=[], cancelled=True),
        row(SHAS[3]),
    )
    assert skipped_images(table) == {SHAS[0]}


# --- what is in doubt -----------------------------------------------------------------------


def images(count: int = len(SHAS)) -> Images:
    shas = SHAS[:count]
    splits = dict(
        zip(
            shas,
            ("train", "train", "train", "test", "val", "excluded", "train", "train"),
            strict=False,
        )
    )
    return Images({sha: f"raw/{sha[-3:]}.png" for sha in shas}, splits, {sha: sha for sha in shas})


def corrected(store: ObjectStore, sha: str, label: str, at: datetime) -> None:
    correction = Correction(sha256=sha, raw_key="raw/x", labels=(label,), by="me", corrected_at=at)
    store.put(correction_key(correction), correction.to_json())


def test_a_correction_stands_until_somebody_answers_it(store: ObjectStore) -> None:
    corrected(store, SHAS[0], "cat", NOW - timedelta(hours=2))
    corrected(store, SHAS[0], "dog", NOW - timedelta(hours=1))
    corrected(store, SHAS[1], "dog", NOW - timedelta(hours=3))
    corrected(store, "f" * 64, "dog", NOW)  # not indexed yet
    corrected(store, SHAS[4], "dog", NOW)  # of the validation split
    texts = {SHAS[1]: ("label_studio", NOW - timedelta(hours=1))}
    conflict = {"sha256": SHAS[2], "labels_a": ["cat"], "labels_b": ["dog"]}
    view = LabelledView({SHAS[1]: ["cat"]}, [conflict], "1", texts)
    messages: list[str] = []
    store.put("corrections/nonsense.json", b"{}")
    store.put(f"corrections/{SHAS[6]}-{1:013d}-00000000.json", b"{}")
    doubts = find_doubts(store, view, images(), messages.append)
    assert doubts.corrections == {SHAS[0]: ("dog",)}
    assert doubts.conflicts == {SHAS[2]: "cat and dog"}
    assert any("nonsense" in text for text in messages)
    assert any(SHAS[6] in text for text in messages)
    assert doubts.without({SHAS[0]}).corrections == {}
    assert doubts.of({SHAS[2]}) == {SHAS[2]: "its labels contradict each other: cat and dog"}


def test_an_answer_in_the_same_moment_answers_a_correction(store: ObjectStore) -> None:
    corrected(store, SHAS[0], "dog", NOW)
    for ago, doubted in ((timedelta(0), {}), (timedelta(seconds=1), {SHAS[0]: ("dog",)})):
        view = LabelledView({}, [], "1", {SHAS[0]: ("label_studio", NOW - ago)})
        assert find_doubts(store, view, images()).corrections == doubted


# --- opinions and the pool ------------------------------------------------------------------


def looked(store: ObjectStore, version: str, predicted: np.ndarray, **fields: Any) -> ModelInUse:
    shas = SHAS[: len(predicted)]
    features = np.arange(len(predicted) * 3, dtype=np.float32).reshape(-1, 3) + 1
    stored_features(store, "net-1-a").append(shas, features)
    stored_probabilities(store, version).append(shas, predicted)
    given = {"digest": "d" * 64, "backbone": "net-1-a", "task": "single_label", "labels": LABELS}
    record_model(store, version, {**given, **fields})
    return ModelInUse(version, f"models/{version}/output/model.tar.gz", "prod")


def test_features_come_back_and_nothing_is_kept_twice(store: ObjectStore) -> None:
    predicted = np.array([[0.9, 0.1], [0.4, 0.6]], np.float32)
    looked(store, "train-a", predicted)
    looked(store, "train-a", predicted)
    assert len(store.list("embeddings/net-1-a")) == 1
    found = read_features(store, "net-1-a", [SHAS[1], SHAS[5], SHAS[0]])
    assert found.tolist() == [[4, 5, 6], [0, 0, 0], [1, 2, 3]]
    model = EmbeddedModel(
        model_version="train-a", digest="d", backbone="b", task="single_label", labels=LABELS
    )
    probabilities = read_probabilities(store, model, [SHAS[5], SHAS[1]])
    assert np.isnan(probabilities[0]).all()
    assert probabilities[1] == pytest.approx([0.4, 0.6])
    assert likely_backbone(store, "net", 1) == "net-1-a"
    assert likely_backbone(store, "net", 1, "crop") is None
    assert likely_backbone(store, "net", 16) is None


def test_the_pool_has_what_nobody_is_asked_about(store: ObjectStore) -> None:
    predicted = np.tile(np.array([[0.7, 0.3]], np.float32), (7, 1))
    models = [looked(store, "train-a", predicted)]
    other = looked(store, "train-b", predicted[:, [1, 0]], labels=("dog", "fox"))
    view = LabelledView({SHAS[0]: ["cat"], SHAS[3]: ["dog"]}, [], "1")
    pool = build_pool(
        store,
        images(),
        view,
        Opinions.of(store, [*models, other], ""),
        Doubts({}, {SHAS[0]: ("dog",)}),
        LabelSchema(),
        leave_out={SHAS[1]},
        limit=10,
    )
    assert pool.sha256.tolist() == [SHAS[2], SHAS[4], SHAS[6], SHAS[7]]  # not the excluded one
    assert pool.split.tolist() == ["train", "val", "train", "train"]
    assert pool.labelled_groups == {SHAS[0], SHAS[3]}
    assert pool.probabilities is not None
    assert np.isnan(pool.probabilities[3]).all()
    assert pool.probabilities[0] == pytest.approx([0.7, 0.3])  # of the first model in use
    assert pool.splits == {SHAS[0]: "train"}


def test_a_model_of_before_a_rename_is_heard_under_the_new_name(store: ObjectStore) -> None:
    predicted = np.array([[0.7, 0.3], [0.2, 0.8]], np.float32)
    looked(store, "train-a", predicted)
    looked(store, "train-b", predicted, task="multi_label", thresholds={"cat": 0.1, "dog": 0.5})
    single, multi = (embedded_model(store, version) for version in ("train-a", "train-b"))

    def shown(model: EmbeddedModel | None, **aliases: str) -> list[tuple[Any, Any]]:
        found = predictions(store, model, SHAS[:2], aliases)
        return [(one.labels, one.probabilities) for one in found.values()]

    assert shown(single, dog="hound")[1] == (("hound",), {"hound": 0.8, "cat": 0.2})
    assert shown(single, dog="pet", cat="pet")[0] == (("pet",), {"pet": 1.0})
    assert shown(multi, dog="pet", cat="pet")[1] == (("pet",), {"pet": 0.8})
    view = LabelledView({SHAS[3]: ["hound"]}, [], "1", aliases={"dog": "hound"})
    corrected(store, SHAS[0], "dog", NOW)
    assert find_doubts(store, view, images()).corrections == {SHAS[0]: ("hound",)}


def test_nobody_has_looked_yet(store: ObjectStore) -> None:
    opinions = Opinions.of(store, [ModelInUse("train-a", "k", "prod")], "")
    assert opinions == Opinions("")
    view = LabelledView({}, [], "1")
    pool = build_pool(
        store,
        images(),
        view,
        opinions,
        Doubts({}, {}),
        LabelSchema(names=LABELS),
        leave_out=(),
        limit=3,
    )
    assert len(pool) == 3
    assert pool.probabilities is None
    assert pool.labels == LABELS


def test_a_prediction_has_at_least_one_label_and_not_too_many_probabilities(
    store: ObjectStore,
) -> None:
    predicted = np.array([[0.9, 0.7], [0.2, 0.3]], np.float32)
    thresholds = {"cat": 0.5, "dog": 0.5}
    looked(store, "train-a", predicted, task="multi_label", thresholds=thresholds)
    model = Opinions.of(store, [ModelInUse("train-a", "k", "prod")], "").first
    found = predictions(store, model, [SHAS[0], SHAS[1], SHAS[5]])
    assert found[SHAS[0]].labels == ("cat", "dog")
    assert found[SHAS[1]].labels == ("dog",)
    assert SHAS[5] not in found
    assert found[SHAS[0]].probabilities == {"cat": 0.9, "dog": 0.7}


def test_the_queue_is_filled_when_a_fifth_is_missing_or_something_is_in_doubt() -> None:
    def situation(waiting: int, corrections: int = 0) -> Situation:
        doubts = Doubts({}, dict.fromkeys(SHAS[:corrections], ("dog",)))
        names = frozenset(f"{number:x}" for number in range(waiting))
        view = LabelledView({}, [], "1")
        return Situation(images(), view, Opinions(""), doubts, 0.0, 20, NOW, open=names)

    assert [situation(waiting).missing for waiting in (20, 17, 16, 0)] == [0, 0, 4, 20]
    assert [situation(waiting, 2).missing for waiting in (20, 0)] == [0, 20]
    assert [situation(waiting, 2).urgent(500) for waiting in (20, 0)] == [2, 2]
    assert situation(20, 2).urgent(1) == 1
