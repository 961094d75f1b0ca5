"""An image that is said to have none of the labels: a statement of its own, in multi_label only."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from assets.annotations.label_index import judge_labels, view_of
from assets.dataset.assembly import assemble
from assets.dataset.retraining import decide_retraining
from assets.policies import IngestionPolicy, RetrainPolicy
from imgclf_dagster.ingest.ingest import ingest
from labelling.label_studio.config import _page, is_former_page, label_config
from labelling.label_studio.tasks import read_task
from labelling.labels.agreement import agreement
from labelling.labels.consensus import vote
from labelling.labels.corrections import Correction, correction_key, parse_correction
from labelling.labels.schema import LabelSchema
from labelling.labels.snapshots import (
    AnnotationSnapshot,
    ingested_key,
    parse_ingested_key,
    parse_snapshot,
)
from labelling.labels.table import label_rows
from labelling.sources.read import read_source
from labelling.sources.reading import ReadingOptions
from object_store.store import ObjectStore
from training.curve.refit import Refit
from training.data.data import _targets, require_learnable
from training.data.manifest import dataset_version
from training.evaluation import metrics
from ui.cards import Card

pytestmark = pytest.mark.unit

START = datetime(2026, 1, 1, tzinfo=UTC)
MULTI = LabelSchema(task="multi_label", names=("cat", "dog"))
SINGLE = LabelSchema(names=("cat", "dog"))


def labelled(image: str, *labels: str, at: float = 0, **other: Any) -> tuple[str, bytes]:
    fields: dict[str, Any] = {
        "sha256": image * 64,
        "labels": labels,
        "annotator": "ann",
        "source": "ingest",
        "annotated_at": START + timedelta(minutes=at),
        "annotation_id": "raw/set/x.png",
    }
    snapshot = AnnotationSnapshot(**(fields | other))
    return ingested_key(snapshot), snapshot.to_json()


def clicked(image: str, *labels: str, by: str = "bea", **other: Any) -> tuple[str, bytes]:
    unique = f"{image}{by}".encode().hex().ljust(32, "0")[:32]
    who = {"source": "label_studio", "annotator": by, "unique_id": unique}
    return f"annotations/label_studio/{unique}.json", labelled(image, *labels, **(who | other))[1]


def rows(*items: tuple[str, bytes]) -> pa.Table:
    return label_rows(items, LabelSchema(task="multi_label"))


def test_it_is_allowed_where_an_image_may_have_several_labels() -> None:
    assert MULTI.problem(()) is None
    assert "multi_label" in (SINGLE.problem(()) or "")


def test_it_is_written_and_read_and_counts() -> None:
    key, data = labelled("a")
    assert parse_snapshot(data, key).labels == ()
    assert parse_ingested_key(key)[0] == "a" * 64
    table = rows((key, data), labelled("b", "cat"), labelled("c", "cat"), labelled("c", at=1))
    assert view_of(table, MULTI).labels == {"a" * 64: [], "b" * 64: ["cat"], "c" * 64: []}
    single = judge_labels(table, SINGLE)
    assert view_of(table, SINGLE).labels == {"b" * 64: ["cat"], "c" * 64: ["cat"]}
    assert {row["sha256"][0] for row in single.rejected.to_pylist()} == {"a", "c"}
    assert "multi_label" in single.rejected["reason"][0].as_py()


def test_it_is_neither_a_skip_nor_what_was_taken_back() -> None:
    table = rows(
        clicked("a"), clicked("b", skipped=True), clicked("c", cancelled=True), clicked("d", "cat")
    )
    view = view_of(table, MULTI)
    assert view.labels == {"a" * 64: [], "d" * 64: ["cat"]}
    assert (view.kind("a" * 64), view.kind("b" * 64)) == ("none of the labels", None)


@pytest.mark.parametrize(
    ("voices", "labels", "is_conflict"),
    [
        (["", ""], "", False),
        (["", "cat"], "", True),
        (["", "", "cat"], "", False),
        (["", "cat", "dog"], "", True),
        (["cat", "dog", "fox"], "", True),
        (["", "cat", "cat"], "cat", False),
        (["", "cat dog", "cat"], "cat", False),
    ],
)
def test_people_vote_on_it(voices: list[str], labels: str, is_conflict: bool) -> None:
    texts = [frozenset(voice.split()) for voice in voices]
    assert vote(texts, "multi_label") == (frozenset(labels.split()), is_conflict)


def test_agreement_is_computed_with_it() -> None:
    found = agreement(
        rows(clicked("a"), clicked("a", by="cem"), clicked("b", "cat"), clicked("b", by="cem")),
        "multi_label",
    )
    assert found.same == 0.5
    assert found.alpha is not None
    assert -1 <= found.alpha < 1


# --- where it comes from -------------------------------------------------------------------


@pytest.mark.parametrize(("schema", "labels"), [(MULTI, [[]]), (SINGLE, [])])
def test_an_ingest_takes_it_from_a_list(schema: LabelSchema, labels: Any, tmp_path: Path) -> None:
    source = tmp_path / "set"
    source.mkdir()
    for name, colour in (("a", "red"), ("b", "blue")):
        Image.new("RGB", (8, 8), colour).save(source / f"{name}.png")
    (source / "_classes.csv").write_text("filename,cat,dog\na.png,0,0\n")
    reading = read_source(source, ReadingOptions(task=schema.task))
    assert dict(reading.labels) == ({"a.png": ()} if labels else {})
    store = ObjectStore(url=(tmp_path / "store").as_uri())
    store.ensure()
    for again in (False, True):
        report = ingest(reading, store=store, policy=IngestionPolicy(), schema=schema)
        assert report.labelled == (0 if again else len(labels))
    assert (report.new, report.known, list(report.rejected)) == (0, 2, [])
    found = rows(*((info.key, store.get(info.key)) for info in store.list("annotations/")))
    assert list(view_of(found, schema).labels.values()) == labels


def task(*annotations: dict[str, Any]) -> dict[str, Any]:
    made = "2026-01-01T08:00:00Z"
    return {
        "id": 1,
        "project": 1,
        "updated_at": made,
        "data": {"sample_id": "a" * 64},
        "annotations": [
            {"id": number, "created_at": made, "updated_at": made, "completed_by": number, **one}
            for number, one in enumerate(annotations, 1)
        ],
    }


def test_label_studio_s_empty_answer_is_one_and_that_of_another_page_is_not() -> None:
    other = {
        "from_name": "kind",
        "to_name": "image",
        "type": "choices",
        "value": {"choices": ["x"]},
    }
    empty = {"from_name": "label", "to_name": "image", "type": "choices", "value": {"choices": []}}

    def labels(*answers: dict[str, Any]) -> list[list[str]]:
        read = read_task(task(*answers)).snapshots
        items = [(f"annotations/{one.unique_id}.json", one.to_json()) for one in read]
        return list(view_of(rows(*items), MULTI).labels.values())

    assert labels({"result": []}) == [[]]
    assert labels({"result": [empty]}) == [[]]
    assert labels({"result": [], "was_cancelled": True}) == []
    assert labels({"result": [other]}) == []
    read = read_task(task({"result": [other]})).snapshots
    table = rows(*((f"annotations/{one.unique_id}.json", one.to_json()) for one in read))
    assert "control tag 'kind'" in judge_labels(table, MULTI).rejected["reason"][0].as_py()


def test_label_studio_s_page_takes_it_and_former_pages_are_known() -> None:
    page = label_config(MULTI, MULTI.names)
    assert "required" not in page
    assert 'required="true"' in label_config(SINGLE, SINGLE.names)
    before = page.replace(" Nothing ticked says: none of these; Skip says nothing.", "").replace(
        'showInline="true"',
        'showInline="true" required="true" requiredMessage="No answer is ticked. The number of a '
        'ticked answer takes its tick away: press it again."',
    )
    assert is_former_page(before, MULTI, MULTI.names)
    assert is_former_page(_page(MULTI, MULTI.names, {}, required=True), MULTI, MULTI.names)
    assert not is_former_page(page, MULTI, MULTI.names)
    single = label_config(SINGLE, SINGLE.names)
    assert not is_former_page(single, SINGLE, SINGLE.names)


def test_a_correction_can_say_it() -> None:
    correction = Correction(
        sha256="a" * 64, raw_key="raw/a.png", labels=(), by="me", corrected_at=START
    )
    key = correction_key(correction)
    assert parse_correction(correction.to_json(), key) == correction
    card = Card("a.png", 1)
    assert card.corrected is None
    card.corrected = ()
    assert card.thanks.endswith("as none of the labels.")


# --- what is made of it --------------------------------------------------------------------


def test_it_is_in_the_data_set_and_unlabelled_images_are_not() -> None:
    images = [{"sha256": c * 64, "width": 1, "height": 1, "key": f"raw/{c}"} for c in "abc"]
    groups = [{"sha256": c * 64, "split": "train", "group_id": c, "reason": ""} for c in "abc"]
    found = assemble(
        pa.Table.from_pylist(images),
        view_of(rows(labelled("a"), labelled("b", "cat")), MULTI),
        pa.Table.from_pylist(groups),
        MULTI,
    )
    assert {row["sha256"][0]: row["labels"] for row in found.rows.to_pylist()} == {
        "a": [],
        "b": ["cat"],
    }
    assert found.unlabelled == 1
    assert len(dataset_version(found.rows)) == 16


def test_its_target_is_all_zeros_and_it_is_scored() -> None:
    table = pa.table({"sha256": ["a", "b"], "labels": [[], ["dog"]]})
    table = table.set_column(1, "labels", table["labels"].cast(pa.list_(pa.string())))
    targets = _targets(table, ("cat", "dog"), "multi_label")
    assert targets.tolist() == [[0, 0], [0, 1]]
    require_learnable(np.array([[0, 0], [0, 1], [1, 0]], np.float32), ("cat", "dog"))
    result = metrics.outcome(
        [(), ("dog",)],
        [(), ("cat",)],
        np.array([[0.1, 0.2], [0.8, 0.3]], np.float32),
        task="multi_label",
        labels=["cat", "dog"],
        model_labels=["cat", "dog"],
    )
    assert result.correct.tolist() == [True, False]
    found = metrics.scores(result, task="multi_label", labels=["cat", "dog"])
    assert found.accuracy == 0.5
    assert metrics.majority_baseline([(), (), ("dog",)]) == pytest.approx(2 / 3)


def test_what_more_labels_would_bring_is_computed_with_it() -> None:
    rng = np.random.default_rng(0)
    truth = np.zeros((60, 2), bool)
    truth[:20, 0], truth[20:40, 1] = True, True
    features = rng.normal(0, 0.2, (60, 4)).astype(np.float32)
    features[:, :2] += truth
    refit = Refit(features, truth, features, truth, "multi_label")
    logits = refit._logits(np.arange(60), 1.0)
    from training.curve.refit import _decided

    assert _decided(logits, "multi_label", none=True)[40:].sum() < 5
    assert _decided(logits, "multi_label", none=False).any(1).all()
    assert refit.marks(np.arange(60)).score > 0.9


def test_a_new_one_is_new_to_train_on() -> None:
    policy = RetrainPolicy()
    before = {"x": ["cat"]}
    people = {"y": ("label_studio", START)}
    found = decide_retraining(before, {**before, "y": []}, people, policy, START.timestamp() + 1)
    assert "1 of none of the labels" in found.reason
    assert found.due_at is not None
    assert decide_retraining(before, before, {}, policy, 0).due_at is None
