"""What is demanded of a package before it is deployed, sentence by sentence."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import assets.release.verification as verification
import training.artefact.artefact
from assets.dataset.versions import record_sources
from assets.evaluation.records import evaluations_prefix, record_evaluation
from assets.model.digest import actual_digest
from assets.release.verdicts import (
    DATASET_CHECKS,
    MODEL_CHECKS,
    SOURCE_CHECKS,
    STAGING_CHECKS,
    record_verdict,
)
from assets.release.verification import (
    approval_objections,
    artefact_objections,
    dataset_objections,
    is_overtaken,
    overtaken_objections,
    package_objections,
)
from object_store.contents.damage import DamagedObject
from object_store.errors import KeyMissing
from object_store.store import ObjectStore
from resources.registry.registry import ModelPackage
from serving.deployments import DeploymentRecord
from training.errors import ArtefactError

pytestmark = pytest.mark.unit

DIGEST, OTHER = "a" * 64, "b" * 64


def package(version: str = "train-1", digest: str = DIGEST, **changes: Any) -> ModelPackage:
    fields: dict[str, Any] = {
        "model_version": version,
        "digest": digest,
        "model_key": f"models/{version}/output/model.tar.gz",
        "dataset_version": "d1",
        "code_version": "1",
    }
    return ModelPackage(**{**fields, **changes})


def approved(version: str, digest: str, **changes: Any) -> ModelPackage:
    return package(version, digest, **{"approval_status": "Approved", "approver": "ann", **changes})


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    store = ObjectStore(url=(tmp_path / "store").as_uri())
    store.ensure()
    return store


def let_through(store: ObjectStore) -> None:
    """Everything that a package of ``DIGEST`` needs."""
    evaluation = {
        "job": "j",
        "model_version": "train-1",
        "digest": DIGEST,
        "model_key": "k",
        "dataset_version": "d1",
        "code_version": "1",
        "task": "single_label",
        "labels": [],
        "metrics": {},
        "evaluation_run": "",
    }
    record_evaluation(store, "train-1", evaluation)
    record_sources(store, "d1", {"raw_images": "r1", "annotations": "a1"})
    subjects = {
        "dataset/d1": DATASET_CHECKS,
        "raw_images/r1": SOURCE_CHECKS["raw_images"],
        "annotations/a1": SOURCE_CHECKS["annotations"],
        "trained_model/train-1": (*MODEL_CHECKS, *STAGING_CHECKS),
    }
    for subject, checks in subjects.items():
        for check in checks:
            record_verdict(
                store, subject=subject, check=check, passed=True, reason="", digest=DIGEST
            )


@pytest.fixture
def checked(store: ObjectStore) -> ObjectStore:
    """All that ``package()`` needs is there; its artefact is never read."""
    let_through(store)
    store.put(package().model_key, b"not unpacked")
    return store


def fail(store: ObjectStore, subject: str, check: str) -> None:
    record_verdict(store, subject=subject, check=check, passed=False, reason="no", digest=DIGEST)


def test_a_package_with_all_of_its_checks_may_be_deployed(checked: ObjectStore) -> None:
    assert package_objections(checked, package(), after_staging=True) == []


def test_each_check_of_the_model_the_data_and_its_sources_counts(checked: ObjectStore) -> None:
    for subject, check in (
        ("dataset/d1", "class_floor_met"),
        ("raw_images/r1", "images_readable"),
        ("annotations/a1", "labels_known"),
        ("trained_model/train-1", "beats_champion"),
        ("trained_model/train-1", "staging_serves_digest"),
    ):
        fail(checked, subject, check)
    texts = [
        "class_floor_met failed: no",
        "images_readable failed: no",
        "labels_known failed: no",
        "beats_champion failed: no",
    ]
    assert package_objections(checked, package()) == texts
    after = [*texts, "staging_serves_digest failed: no"]
    assert package_objections(checked, package(), after_staging=True) == after


def test_verdicts_of_another_digest_do_not_count(checked: ObjectStore) -> None:
    found = package_objections(checked, package(digest=OTHER), after_staging=True)
    wanted = (*MODEL_CHECKS, *STAGING_CHECKS)
    of_other = "was evaluated for digest aaaaaaaaaaaa, not bbbbbbbbbbbb"
    assert found == [f"{check} {of_other}" for check in wanted]


def test_an_artefact_that_is_gone_is_an_objection(checked: ObjectStore) -> None:
    key = package().model_key
    checked.delete(key)
    (found,) = package_objections(checked, package())
    assert found.startswith("the artefact cannot be used: ")
    assert key in found


def test_only_the_registered_artefact_may_be_deployed(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verification, "actual_digest", lambda store, key: DIGEST)
    assert artefact_objections(store, package()) == []
    texts = ["the artefact has digest aaaaaaaaaaaa, registered is bbbbbbbbbbbb"]
    assert artefact_objections(store, package(digest=OTHER)) == texts


@pytest.mark.parametrize("error", [KeyMissing("gone"), DamagedObject("k", "cut", "file:///s")])
def test_an_artefact_that_cannot_be_used_is_an_objection(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    asked = []

    def unusable(store: ObjectStore, key: str) -> str:
        asked.append((store, key))
        raise error

    monkeypatch.setattr(verification, "actual_digest", unusable)
    texts = [f"the artefact cannot be used: {error}"]
    assert artefact_objections(store, package()) == texts
    assert asked == [(store, package().model_key)]


def test_an_evaluation_that_is_not_there_or_damaged_is_an_objection(checked: ObjectStore) -> None:
    key = f"{evaluations_prefix('train-1')}9999999999990.json"
    checked.put(key, b"{}")
    (found,) = package_objections(checked, package())
    assert found.startswith(f"its evaluation cannot be read: {key} in {checked.url} is damaged")
    for info in checked.list(evaluations_prefix("train-1")):
        checked.delete(info.key)
    assert package_objections(checked, package()) == ["train-1 was never evaluated"]


def test_a_data_set_that_is_not_there_or_damaged_is_an_objection(checked: ObjectStore) -> None:
    text = f"the data set d2 is not in the store {checked.url}"
    assert dataset_objections(checked, "d2") == [text]
    assert package_objections(checked, package(dataset_version="d2")) == [text]
    key = "datasets/d1/sources/9999999999990.json"
    checked.put(key, b"{}")
    (found,) = dataset_objections(checked, "d1")
    begin = f"the sources of data set d1 cannot be read: {key} in {checked.url}"
    assert found.startswith(begin)


def test_the_artefact_is_unpacked_from_where_it_lies(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    key = "models/train-1/output/model.tar.gz"
    store.put(key, b"archive")
    seen = []

    def unpack(archive: Path, folder: Path) -> Path:
        seen.append((archive, archive.read_bytes(), folder.name))
        assert folder.parent.name.startswith("imgclf-")
        assert folder.parent.is_dir()
        return folder

    monkeypatch.setattr(training.artefact.artefact, "unpack", unpack)
    monkeypatch.setattr(training.artefact.artefact, "digest", lambda folder: f"of {folder.name}")
    assert actual_digest(store, key) == "of model"
    monkeypatch.setattr(ObjectStore, "local_path", lambda self, key: None)
    assert actual_digest(store, key) == "of model"
    assert [name for _, _, name in seen] == ["model", "model"]
    assert {data for _, data, _ in seen} == {b"archive"}
    assert tmp_path in seen[0][0].parents
    assert seen[1][0].name == "model.tar.gz"
    assert tmp_path not in seen[1][0].parents, "a bucket's is downloaded"
    with pytest.raises(KeyMissing):
        actual_digest(store, "models/train-2/output/model.tar.gz")


@pytest.mark.parametrize("sep", [": ", " "])
def test_a_damaged_artefact_is_named_by_its_key(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch, sep: str
) -> None:
    key = "models/train-1/output/model.tar.gz"
    store.put(key, b"archive")

    def unpack(archive: Path, folder: Path) -> Path:
        raise ArtefactError(f"{archive}{sep}was cut")

    monkeypatch.setattr(training.artefact.artefact, "unpack", unpack)
    with pytest.raises(DamagedObject) as raised:
        actual_digest(store, key)
    assert (raised.value.key, raised.value.flaw) == (key, "was cut")
    assert f"{key} in {store.url} is damaged (was cut)" in str(raised.value)


def test_only_an_approval_by_somebody_lets_a_package_into_production() -> None:
    assert approval_objections(approved("train-1", DIGEST)) == []
    nobody = approved("train-1", DIGEST, approver="")
    assert approval_objections(nobody) == ["train-1 has no approver"]
    rejected = package(approval_status="Rejected", approver="bob", approval_reason="bad")
    assert approval_objections(rejected) == ["train-1 was rejected by bob: bad"]
    waits = ["train-1 waits for approval (imgclf approve train-1)"]
    assert approval_objections(package()) == waits


def served(digest: str = OTHER, at: int = 1000, decision: int = 0) -> DeploymentRecord:
    return DeploymentRecord.at(
        at,
        stage="prod",
        model_version="train-2",
        digest=digest,
        model_key="k",
        deployed_by="ann",
        reason="",
        decision=decision,
    )


def moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, tz=UTC)


def test_numbered_decisions_are_compared_by_their_numbers() -> None:
    live = approved("train-2", OTHER, decision=5)
    for decision, overtaken in ((4, True), (5, True), (6, False)):
        mine = approved("train-1", DIGEST, decision=decision)
        assert is_overtaken(mine, served(at=10**12), [mine, live]) is overtaken
        assert is_overtaken(mine, served(decision=5), [mine]) is overtaken
    mine = approved("train-1", DIGEST, decision=6)
    assert is_overtaken(mine, served(decision=7), [mine, live])
    assert not is_overtaken(mine, served(decision=2), [mine, package("train-3", "c" * 64)])


def test_one_without_a_number_has_its_time() -> None:
    for at, overtaken in ((999, True), (1000, True), (1001, False)):
        mine = approved("train-1", DIGEST, approval_changed_at=moment(at))
        assert is_overtaken(mine, served(at=1000), [mine]) is overtaken
        assert is_overtaken(mine, served(at=1, decision=1000), [mine]) is overtaken


def test_an_overtaken_approval_is_reported_with_what_overtook_it() -> None:
    live = approved("train-2", OTHER, decision=5, approver="bob")
    mine = approved("train-1", DIGEST, decision=4)
    packages = [mine, live]
    assert overtaken_objections(mine, served(), packages) == [
        "its approval was superseded by that of train-2 by bob, which is in production: approve "
        "train-1 again to deploy it instead"
    ]
    assert overtaken_objections(mine, None, packages) == []
    assert overtaken_objections(mine, served(DIGEST), packages) == []
    assert overtaken_objections(mine, served(), [mine]) == [], "nobody knows what serves"
    rejected = live.model_copy(update={"approval_status": "Rejected"})
    assert overtaken_objections(mine, served(), [mine, rejected]) == []
    later = approved("train-1", DIGEST, decision=6)
    assert overtaken_objections(later, served(), [later, live]) == []
