"""A model in production that cannot be read keeps no candidate out: it counts as no champion, and
report, metadata and checks say so."""

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest

from assets.evaluation import champion as champions
from assets.evaluation import evaluation_report as evaluation
from assets.evaluation.champion import NONE_YET, Champion, find_champion, unless_seen
from assets.evaluation.records import newest_evaluation
from object_store.errors import KeyMissing, StoreError, StoreMissing, StoreUnavailable
from object_store.store import ObjectStore
from resources.compute.job_spec import JobSpec
from serving.deployments import record_key

pytestmark = pytest.mark.graph

OLD, NEW = "train-old", "train-new"
LABELS = ("red", "green", "blue")


class Outputs(dict[str, bytes]):
    """What a job without pictures left."""

    def __missing__(self, name: str) -> bytes:
        raise KeyMissing(f"the job did not write {name}")


@pytest.fixture
def played(shop: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A home in which the evaluation's job is played: what it reports depends on its inputs."""
    shop.specs = []

    def run(_: object, context: object, spec: JobSpec) -> Any:
        shop.specs.append(spec)
        data = json.dumps(report(with_champion="champion" in spec.channels)).encode()
        shop.store.create(f"models/{spec.name}/processing/report.json", data)
        return SimpleNamespace(reused=False, seconds=0.1, details={})

    def outputs(_: object, job: str, kind: str) -> dict[str, bytes]:
        return Outputs({"report.json": shop.store.get(f"models/{job}/processing/report.json")})

    monkeypatch.setattr(type(shop.compute), "run", run)
    monkeypatch.setattr(type(shop.compute), "outputs", outputs)
    card = {"version": "d" * 16, "task": "single_label", "labels": list(LABELS), "shards": []}
    monkeypatch.setattr(evaluation, "read_card", lambda *_: card)
    return shop


def report(*, with_champion: bool) -> dict[str, Any]:
    scores = {
        "accuracy": 0.9,
        "macro_f1": 0.9,
        "log_loss": 0.3,
        "calibration_error": 0.02,
        "calibration_chance": 0.05,
        "per_class": {
            label: {"precision": 0.9, "recall": 0.9, "f1": 0.9, "support": 17} for label in LABELS
        },
        "confusion_matrix": [[15, 1, 1], [1, 15, 1], [1, 1, 15]],
    }
    champion = {**scores, "macro_f1": 0.75, "model_version": OLD, "digest": "c" * 64}
    counts = {label: {"only_candidate": 0, "only_champion": 0} for label in LABELS}
    return {
        **scores,
        "model_version": NEW,
        "digest": "d" * 64,
        "dataset_version": "d" * 16,
        "task": "single_label",
        "labels": list(LABELS),
        "n_test": 51,
        "n_val": 51,
        "majority_baseline_accuracy": 0.4,
        "val": None,
        "champion": champion if with_champion else None,
        "mcnemar_p": 1.0 if with_champion else None,
        "paired": counts if with_champion else {},
        "images_per_second": 100.0,
    }


def evaluated(shop: Any) -> Any:
    """The run that evaluates a new candidate."""
    candidate = shop.candidate(NEW, register=False, sharpness=2.0)
    texts = {"model_version": NEW, "digest": candidate.digest, "dataset_version": "d" * 16}
    shop.instance.report_runless_asset_event(
        dg.AssetMaterialization("trained_model", metadata=texts)
    )
    done = shop.run("evaluation_report")
    assert done.success, done.why
    return done


def missing_artefact(shop: Any, record: Any) -> str:
    shop.store.delete(record.model_key)
    return str(record.model_key)


def cut_artefact(shop: Any, record: Any) -> str:
    data = shop.store.get(record.model_key)
    shop.tamper(record.model_key, data[: len(data) // 2])
    return str(record.model_key)


def empty_artefact(shop: Any, record: Any) -> str:
    shop.tamper(record.model_key, b"")
    return str(record.model_key)


def another_artefact(shop: Any, record: Any) -> str:
    other = shop.candidate("train-other", register=False, sharpness=7.0)
    shop.tamper(record.model_key, shop.store.get(other.model_key))
    return f"{record.model_key} has digest {other.digest[:12]}"


def empty_record(shop: Any, record: Any) -> str:
    shop.tamper(record_key(record), b"")
    return record_key(record)


def cut_record(shop: Any, record: Any) -> str:
    shop.tamper(record_key(record), shop.store.get(record_key(record))[:70])
    return record_key(record)


@pytest.mark.parametrize(
    "spoil",
    [
        missing_artefact,
        cut_artefact,
        empty_artefact,
        another_artefact,
        empty_record,
        cut_record,
    ],
)
def test_what_cannot_be_read_counts_as_no_champion_and_is_named_by_its_key(
    played: Any, deployed: Callable[..., Any], spoil: Callable[[Any, Any], str]
) -> None:
    record = deployed(played, played.approve(played.candidate(OLD)))
    reported = spoil(played, record)
    done = evaluated(played)
    assert all(done.checks.values()), done.checks
    assert set(played.specs[0].channels) == {"dataset", "model"}
    found = done.metadata("evaluation_report")
    kept = newest_evaluation(played.store, NEW)
    assert found["champion"] == "none"
    assert kept is not None
    for text in (
        found["no_champion"],
        kept["no_champion"],
        *(
            played.verdict(f"trained_model/{NEW}", check).reason
            for check in ("beats_champion", "no_slice_regression")
        ),
    ):
        assert f"the model in production, {OLD}, cannot be read and counts as no champion" in text
        assert reported in text
        assert "imgclf rollback" in text


def test_features_that_the_last_evaluation_left_are_given_to_the_next(played: Any) -> None:
    evaluated(played)
    (first,) = played.specs
    assert "known_features" not in first.channels
    left = f"models/{first.name}/processing/test_features.parquet"
    played.store.put(left, b"rows")
    candidate = played.candidate("train-newer", register=False, sharpness=3.0)
    texts = {"model_version": "train-newer", "digest": candidate.digest}
    played.instance.report_runless_asset_event(
        dg.AssetMaterialization("trained_model", metadata={**texts, "dataset_version": "d" * 16})
    )
    assert played.run("evaluation_report").success
    assert played.specs[1].channels["known_features"].keys == (left,)


def test_a_champion_is_reported_with_its_scores_on_the_same_images(
    played: Any, deployed: Callable[..., Any]
) -> None:
    deployed(played, played.approve(played.candidate(OLD)))
    found = evaluated(played).metadata("evaluation_report")
    assert set(played.specs[0].channels) == {"dataset", "model", "champion"}
    assert (found["champion"], found["champion_macro_f1"], found["macro_f1"]) == (OLD, 0.75, 0.9)
    assert found["test_images"] == 51
    assert "no_champion" not in found


def test_without_a_champion_the_reason_is_reported(
    played: Any, deployed: Callable[..., Any]
) -> None:
    assert evaluated(played).metadata("evaluation_report")["no_champion"] == NONE_YET
    package = played.candidate(OLD)
    deployed(played, played.approve(package))
    itself = find_champion(played.store, played.endpoints, package.digest)
    assert itself.record is None
    assert "it is the model in production" in itself.why_none


@pytest.mark.parametrize("trouble", [StoreUnavailable, StoreMissing])
def test_a_store_that_does_not_answer_says_nothing_about_the_champion(
    shop: Any,
    deployed: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    trouble: type[StoreError],
) -> None:
    deployed(shop, shop.approve(shop.candidate(OLD)))

    def get(*_: object) -> bytes:
        raise trouble("not now")

    monkeypatch.setattr(ObjectStore, "get", get)
    with pytest.raises(trouble):
        find_champion(shop.store, shop.endpoints, "f" * 64)


def data_set(store: ObjectStore, version: str, **splits: int) -> None:
    """A data set of some images by split, numbered from 0 on."""
    names = [split for split, count in splits.items() for _ in range(count)]
    rows = [{"sha256": f"{number:064x}", "split": split} for number, split in enumerate(names)]
    manifests[version] = pa.Table.from_pylist(rows)


manifests: dict[str, pa.Table] = {}


@pytest.mark.parametrize(
    ("generation", "before", "expected"),
    [
        (0, {"train": 13}, ""),
        (1, {"test": 13}, ""),
        (1, {"train": 10, "test": 3}, "was trained on 1 of the 4 test images"),
        (1, {"val": 13}, "was trained on 4 of the 4 test images"),
        (1, None, "cannot be read"),
    ],
    ids=["not dealt again", "none seen", "one seen", "all seen in validation", "not known"],
)
def test_a_champion_that_has_seen_the_test_images_is_no_champion(
    monkeypatch: pytest.MonkeyPatch, generation: int, before: dict[str, int] | None, expected: str
) -> None:
    store: Any = object()
    data_set(store, "new", train=9, test=4)
    if before is not None:
        data_set(store, "old", **before)
    known = {"dataset_version": "old"} if before is not None else None
    monkeypatch.setattr(champions, "generation_number", lambda _: generation)
    monkeypatch.setattr(champions, "newest_evaluation", lambda *_: known)
    monkeypatch.setattr(champions, "read_dataset_manifest", lambda _, version: manifests[version])
    champion = Champion(SimpleNamespace(model_version=OLD))
    found = unless_seen(store, champion, "new")
    if not expected:
        assert found is champion
    else:
        assert found.record is None
        assert expected in found.why_none
        assert OLD in found.why_none
    assert unless_seen(store, Champion(None, NONE_YET), "new").why_none == NONE_YET


def versions(shop: Any) -> list[str]:
    """The model versions that may be released, as far as Dagster knows."""
    return list(shop.instance.get_dynamic_partitions("model_version"))


def test_the_gates_make_the_version_releasable_and_the_report_alone_does_not(played: Any) -> None:
    evaluated(played)
    played.instance.delete_dynamic_partition("model_version", NEW)
    job = played.definitions.get_repository_def().get_implicit_global_asset_job_def()
    alone = job.get_subset(
        asset_selection={dg.AssetKey("evaluation_report")}, asset_check_selection=set()
    ).execute_in_process(instance=played.instance)
    assert alone.success
    assert alone.get_asset_check_evaluations() == []
    assert versions(played) == []
    assert played.check("evaluation_report", "beats_champion").success
    assert versions(played) == [NEW]


def test_a_version_of_which_one_gate_fails_is_never_releasable(played: Any) -> None:
    job = evaluated(played).metadata("evaluation_report")["job"]
    played.instance.delete_dynamic_partition("model_version", NEW)
    key = f"models/{job}/processing/report.json"
    worthless = {**json.loads(played.store.get(key)), "accuracy": 0.0}
    played.tamper(key, json.dumps(worthless).encode())
    done = played.run("evaluation_report")
    assert done.checks == {
        "beats_champion": False,
        "no_slice_regression": True,
        "calibration_within_bound": True,
    }
    assert versions(played) == []
