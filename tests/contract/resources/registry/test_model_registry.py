"""Contract of the model registry port, run against each of its adapters."""

import json
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from object_store.store import ObjectStore
from resources.aws.session import AwsSession
from resources.registry import mlflow as mlflow_registry
from resources.registry import mlflow_database
from resources.registry.mlflow import MlflowRegistry
from resources.registry.registry import (
    DecisionOvertaken,
    DigestMismatch,
    ModelPackage,
    ModelRegistry,
    PackageMissing,
    RegistryError,
)
from resources.registry.sagemaker import DECISIONS, SageMakerRegistry
from tests.testbed.bed import TestBed

pytestmark = pytest.mark.contract

REPOSITORY = Path(__file__).parents[4]


@pytest.fixture
def mlflow(
    empty_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MlflowRegistry]:
    working_directory = tmp_path / "cwd"
    working_directory.mkdir()
    monkeypatch.chdir(working_directory)
    home = tmp_path / "a home"
    home.mkdir()
    shutil.copy(empty_database, home / "mlflow.db")
    yield MlflowRegistry(tracking_uri=f"sqlite:///{home / 'mlflow.db'}", project="shop")
    assert not list(working_directory.iterdir()), "written into the working directory"


@pytest.fixture
def sagemaker(bed: TestBed, aws_environment: None) -> SageMakerRegistry:
    """SageMaker's registry in the test bed; a group and a bucket of its own."""
    bucket = bed.bucket()
    store = ObjectStore(url=f"s3://{bucket}/pre fix")
    store.ensure()
    image = "123456789012.dkr.ecr.us-east-1.amazonaws.com/imgclf:1"
    return SageMakerRegistry(
        session=AwsSession(), store=store, project="shop", image_uri=image, package_group=bucket
    )


@pytest.fixture(params=["mlflow", "sagemaker"])
def registry(request: pytest.FixtureRequest) -> ModelRegistry:
    found: ModelRegistry = request.getfixturevalue(request.param)
    return found


def package(version: str = "train-1", digest: str = "a" * 64, **fields: object) -> ModelPackage:
    return ModelPackage.model_validate(
        {
            "model_version": version,
            "digest": digest,
            "model_key": f"models/{version}/output/model.tar.gz",
            "model_uri": f"file:///store/models/{version}/output/model.tar.gz",
            "dataset_version": "d" * 16,
            "code_version": "1",
            "labels": ("cat", "dog"),
            "metrics": {"accuracy": 0.9},
            **fields,
        }
    )


def test_registering_is_idempotent_and_starts_pending(registry: ModelRegistry) -> None:
    wanted = package(approval_status="Approved", approver="sneaky")
    first = registry.register(wanted)
    assert registry.register(wanted) == first == registry.get("train-1")
    assert first.immutable() == package()
    assert first.approval_status == "PendingManualApproval"
    assert first.approver == ""
    assert first.created_at is not None
    assert registry.list() == (first,)


def test_a_model_version_never_changes(registry: ModelRegistry) -> None:
    registry.register(package())
    with pytest.raises(DigestMismatch, match=r"train-1 is registered with digest aaaa"):
        registry.register(package(digest="b" * 64))
    assert registry.get("train-1").digest == "a" * 64


def test_list_is_newest_first_and_empty_at_first(registry: ModelRegistry) -> None:
    assert list(registry.list()) == []
    for number in range(12):  # MLflow sorts its version numbers as text in places
        registry.register(package(f"train-{number}"))
    assert [p.model_version for p in registry.list()] == [f"train-{n}" for n in range(11, -1, -1)]


def test_missing_package_is_named(registry: ModelRegistry) -> None:
    with pytest.raises(PackageMissing, match="train-9"):
        registry.get("train-9")
    with pytest.raises(PackageMissing, match="train-9"):
        registry.set_approval("train-9", "Approved", by="me", reason="", digest="a" * 64)


def test_approval_says_who_why_and_when(registry: ModelRegistry) -> None:
    registry.register(package())
    registry.register(package("train-2"))
    decide = {"by": "ann", "reason": "looks right", "digest": "a" * 64}
    approved = registry.set_approval("train-1", "Approved", **decide)
    assert (approved.approval_status, approved.approver) == ("Approved", "ann")
    assert approved.approval_reason == "looks right"
    assert approved.approval_changed_at is not None
    assert registry.register(package()) == approved, "registering again keeps the approval"
    assert registry.get("train-2").approval_status == "PendingManualApproval"
    rejected = registry.set_approval("train-1", "Rejected", by="bob", reason="no", digest="a" * 64)
    assert (rejected.approval_status, rejected.approver) == ("Rejected", "bob")


def test_each_decision_is_a_new_one_whatever_it_says(registry: ModelRegistry) -> None:
    """The same words twice are two decisions: what stands in between was decided in between."""
    for version in ("train-1", "train-2"):
        registry.register(package(version))
    decided = [
        registry.set_approval(version, status, by="ann", reason="good", digest="a" * 64)
        for version, status in (
            ("train-1", "Approved"),
            ("train-2", "Approved"),
            ("train-1", "Approved"),
            ("train-2", "Rejected"),
            ("train-1", "Approved"),
        )
    ]
    assert [item.decision for item in decided] == [1, 2, 3, 4, 5]
    assert registry.decisions("train-1") == (decided[0], decided[2], decided[4])
    assert registry.decisions("train-2") == (decided[1], decided[3])
    assert registry.get("train-1") == decided[4]
    assert {item.decision for item in registry.list()} == {4, 5}


@pytest.mark.parametrize("ahead", [timedelta(), timedelta(days=365)])
def test_a_decision_comes_after_those_of_an_older_home(
    registry: ModelRegistry, ahead: timedelta
) -> None:
    """Commit 884d3c5 gave decisions no number, and a clock may have been ahead at that."""
    for version in ("train-1", "train-2"):
        registry.register(package(version))
    moment = datetime.now(UTC) + ahead
    decided_by_884d3c5(registry, "train-1", moment)
    old = registry.get("train-1")
    assert (old.approval_status, old.approver, old.decision) == ("Approved", "ann", 0)
    assert old.decided_at == moment
    new = registry.set_approval("train-2", "Approved", by="bob", reason="", digest="a" * 64)
    assert new.decision == old.decision_order + 1
    again = registry.set_approval("train-1", "Approved", by="ann", reason="ok", digest="a" * 64)
    assert again.decision == new.decision + 1
    assert registry.decisions("train-1")[-1] == again


def decided_by_884d3c5(registry: ModelRegistry, version: str, moment: datetime) -> None:
    if isinstance(registry, MlflowRegistry):
        number = registry.get(version).registry_version
        for key, value in (
            ("approver", "ann"),
            ("approval_reason", "ok"),
            ("approval_changed_at", moment.isoformat()),
            ("approval_status", "Approved"),
        ):
            registry._client().set_model_version_tag("shop", number, key, value)
        return
    assert isinstance(registry, SageMakerRegistry)
    text = {"status": "Approved", "by": "ann", "reason": "ok", "at": moment.isoformat()}
    registry.session.client("sagemaker").update_model_package(
        ModelPackageArn=registry._require(version)["ModelPackageArn"],
        ModelApprovalStatus="Approved",
        ApprovalDescription=json.dumps(text),
    )


def test_approval_of_another_digest_or_by_nobody_changes_nothing(registry: ModelRegistry) -> None:
    registered = registry.register(package())
    with pytest.raises(DigestMismatch):
        registry.set_approval("train-1", "Approved", by="me", reason="", digest="b" * 64)
    with pytest.raises(RegistryError, match="who decides"):
        registry.set_approval("train-1", "Approved", by=" ", reason="", digest="a" * 64)
    assert registry.get("train-1") == registered


def test_the_model_card_is_the_description_of_the_version(mlflow: MlflowRegistry) -> None:
    from mlflow.tracking import MlflowClient

    known = mlflow.register(package(card="# card\n" + "long " * 2000))
    shown = MlflowClient(mlflow.tracking_uri).get_model_version("shop", known.registry_version)
    assert shown.description.startswith("# card\nlong")
    assert len(shown.description) == 5000


@pytest.mark.parametrize("survives", range(6))
def test_a_decision_that_is_cut_short_at_a_server_approves_nothing(
    mlflow: MlflowRegistry, monkeypatch: pytest.MonkeyPatch, survives: int
) -> None:
    monkeypatch.setattr(mlflow_database, "set_tags", lambda *_: False)
    mlflow.register(package())
    mlflow.set_approval("train-1", "Approved", by="ann", reason="ok", digest="a" * 64)
    from mlflow.tracking import MlflowClient

    write, written = MlflowClient.set_model_version_tag, []

    def dying(self: MlflowClient, name: str, version: str, key: str, value: str) -> None:
        if len(written) > survives:
            raise KeyboardInterrupt
        written.append(key)
        write(self, name, version, key, value)

    decide = {"by": "bob", "reason": "no", "digest": "a" * 64}
    with monkeypatch.context() as cut:
        cut.setattr(MlflowClient, "set_model_version_tag", dying)
        with pytest.raises(KeyboardInterrupt):
            mlflow.set_approval("train-1", "Rejected", **decide)
    assert mlflow.get("train-1").approval_status == "PendingManualApproval"
    assert mlflow.set_approval("train-1", "Rejected", **decide).approval_status == "Rejected"


def test_a_decision_in_the_file_is_written_whole_or_not_at_all(
    mlflow: MlflowRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow.register(package())
    approved = mlflow.set_approval("train-1", "Approved", by="ann", reason="ok", digest="a" * 64)
    tags = mlflow_registry.approval_tags

    def cut(*args: Any, **fields: Any) -> Iterator[tuple[str, str]]:
        yield from tags(*args, **fields)[:3]
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(mlflow_registry, "approval_tags", cut)
        with pytest.raises(KeyboardInterrupt):
            mlflow.set_approval("train-1", "Rejected", by="bob", reason="no", digest="a" * 64)
    assert mlflow.get("train-1") == approved


def by_client(registry: MlflowRegistry, monkeypatch: pytest.MonkeyPatch) -> Sequence[ModelPackage]:
    """The packages as MLflow's own client reads them."""
    with monkeypatch.context() as patched:
        patched.setattr(mlflow_database, "model_versions", lambda *_: None)
        return registry.list()


def test_the_file_is_read_and_tagged_as_mlflow_does(
    mlflow: MlflowRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        mlflow.register(package(f"train-{number}", labels=("猫", 'a "quote"')))
    mlflow.set_approval("train-1", "Approved", by="ann", reason="gut: ü", digest="a" * 64)
    read = mlflow.list()
    assert by_client(mlflow, monkeypatch) == read
    assert [item.approver for item in read] == ["", "ann", ""]
    client = mlflow._client()
    client.set_model_version_tag("shop", read[0].registry_version, "approval_status", "Rejected")
    client.delete_model_version("shop", read[1].registry_version)
    assert [(item.model_version, item.approval_status) for item in mlflow.list()] == [
        ("train-2", "Rejected"),
        ("train-0", "PendingManualApproval"),
    ]
    assert by_client(mlflow, monkeypatch) == mlflow.list()


def altered(mlflow: MlflowRegistry, statement: str) -> None:
    with closing(sqlite3.connect(str(mlflow._database()))) as connection:
        connection.execute(statement)
        connection.commit()


def test_tables_of_another_mlflow_are_left_to_its_client(mlflow: MlflowRegistry) -> None:
    mlflow.register(package())
    database = mlflow._database()
    assert database is not None
    [version] = mlflow_database.model_versions(database, "shop") or ()
    altered(mlflow, "ALTER TABLE model_version_tags ADD COLUMN author TEXT")
    assert mlflow_database.model_versions(database, "shop") is None
    assert not mlflow_database.set_tags(database, version, [("a", "b")])
    assert mlflow.get("train-1").digest == "a" * 64
    decided = mlflow.set_approval("train-1", "Approved", by="ann", reason="ok", digest="a" * 64)
    assert mlflow.get("train-1") == decided


def test_a_file_that_is_no_mlflow_is_left_to_its_client(tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch()
    assert mlflow_database.model_versions(tmp_path / "empty.db", "shop") is None
    assert mlflow_database.model_versions(tmp_path / "none.db", "shop") is None
    assert not (tmp_path / "none.db").exists()


def test_nothing_is_tagged_of_a_version_that_is_gone(mlflow: MlflowRegistry) -> None:
    database = mlflow._database()
    assert database is not None
    gone = mlflow_database.TaggedVersion("shop", 7, 0, {})
    assert not mlflow_database.set_tags(database, gone, [("a", "b")])


def test_packages_are_read_and_decided_about_without_importing_mlflow(
    mlflow: MlflowRegistry,
) -> None:
    mlflow.register(package())
    code = (
        "import sys\n"
        "from resources.registry.mlflow import MlflowRegistry\n"
        f"registry = MlflowRegistry(tracking_uri={mlflow.tracking_uri!r}, project='shop')\n"
        "registry.list(), registry.decisions('train-1')\n"
        "registry.set_approval('train-1', 'Approved', by='ann', reason='', digest='a' * 64)\n"
        "print('mlflow' in sys.modules)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY
    )
    assert ran.stdout == "False\n"
    assert mlflow.get("train-1").approver == "ann"


def test_racing_registrations_make_one_package(mlflow: MlflowRegistry) -> None:
    def register() -> None:
        MlflowRegistry(tracking_uri=mlflow.tracking_uri, project="shop").register(package())

    threads = [threading.Thread(target=register) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    from mlflow.tracking import MlflowClient

    client = MlflowClient(mlflow.tracking_uri, mlflow.tracking_uri)
    assert len(client.search_model_versions("name = 'shop'")) == 1


def test_evaluation_is_logged_once_and_completed_after_a_crash(
    mlflow: MlflowRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.tracking import MlflowClient

    picture = tmp_path / "confusion_matrix.png"
    picture.write_bytes(b"picture")
    logged = {
        "params": {"recipe": "probe"},
        "metrics": {"accuracy": 0.9},
        "artifacts": {"plots/confusion_matrix.png": picture},
    }
    with monkeypatch.context() as cut:
        cut.setattr(MlflowClient, "log_artifact", lambda *_: sys.exit("killed"))
        with pytest.raises(SystemExit):
            mlflow.log_evaluation("train-1", **logged)
    run_id = mlflow.log_evaluation("train-1", **logged)
    assert mlflow.log_evaluation("train-1", **logged) == run_id
    client = MlflowClient(mlflow.tracking_uri)
    experiment = client.get_experiment_by_name("shop")
    [run] = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.params == {"recipe": "probe"}
    assert run.data.metrics == {"accuracy": 0.9}
    assert [f.path for f in client.list_artifacts(run_id, "plots")] == [
        "plots/confusion_matrix.png"
    ]
    again = mlflow.log_evaluation("train-1", **{**logged, "metrics": {"accuracy": 0.8}})
    assert again != run_id, "another result is another run"
    registered = mlflow.register(package(evaluation_run=run_id))
    assert registered.evaluation_run == run_id


def test_mlflow_is_told_to_send_no_telemetry(
    mlflow: MlflowRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_DISABLE_TELEMETRY", raising=False)
    mlflow.prepare()
    from mlflow.environment_variables import MLFLOW_DISABLE_TELEMETRY

    assert MLFLOW_DISABLE_TELEMETRY.get()


# --- SageMaker only ---------------------------------------------------------------------------


def decide(registry: SageMakerRegistry, status: str, by: str, reason: str) -> ModelPackage:
    return registry.set_approval("train-1", status, by=by, reason=reason, digest="a" * 64)


def in_console(registry: SageMakerRegistry, **changes: str) -> None:
    """What a person changes in the console, or another tool."""
    client = registry.session.client("sagemaker")
    [summary] = client.list_model_packages(ModelPackageGroupName=registry.group)[
        "ModelPackageSummaryList"
    ]
    client.update_model_package(ModelPackageArn=summary["ModelPackageArn"], **changes)


def test_a_list_that_lags_behind_hides_nothing(bed: TestBed, sagemaker: SageMakerRegistry) -> None:
    bed.fault("ListModelPackages", "stale", times=4)
    try:
        assert sagemaker.register(package()).registry_version == "1"
        assert sagemaker.register(package()).registry_version == "1", "the token makes it the same"
        assert sagemaker.get("train-1").digest == "a" * 64
    finally:
        bed.clear_faults()
    with pytest.raises(PackageMissing):
        sagemaker.get("train-2")
    assert [found.registry_version for found in sagemaker.list()] == ["1"]


def test_metrics_and_lineage_can_be_read_in_the_console(
    sagemaker: SageMakerRegistry, tmp_path: Path
) -> None:
    picture = tmp_path / "confusion_matrix.png"
    picture.write_bytes(b"picture")
    given = {"params": {"recipe": "probe"}, "metrics": {"accuracy": 0.9}}
    run = sagemaker.log_evaluation("train-1", **given, artifacts={"plots/c.png": picture})
    assert sagemaker.log_evaluation("train-1", **given, artifacts={"plots/c.png": picture}) == run
    sagemaker.register(package(evaluation_run=run, labels=('a "quoted" (label)', "猫")))
    assert sagemaker.get("train-1").labels == ('a "quoted" (label)', "猫")
    client = sagemaker.session.client("sagemaker")
    [summary] = client.list_model_packages(ModelPackageGroupName=sagemaker.group)[
        "ModelPackageSummaryList"
    ]
    described = client.describe_model_package(ModelPackageName=summary["ModelPackageArn"])
    metadata = described["CustomerMetadataProperties"]
    assert metadata["digest"] == "a" * 64
    assert metadata["dataset_version"] == "d" * 16
    assert metadata["metric.accuracy"] == "0.9"
    [container] = described["InferenceSpecification"]["Containers"]
    assert container["ModelDataUrl"] == sagemaker.store.uri("models/train-1/output/model.tar.gz")
    statistics = described["ModelMetrics"]["ModelQuality"]["Statistics"]["S3Uri"]
    assert statistics == sagemaker.store.uri(f"{run}/metrics.json")
    assert sagemaker.store.get(f"{run}/plots/c.png") == b"picture"


def test_a_decision_in_the_console_counts_and_names_who_made_it(
    sagemaker: SageMakerRegistry,
) -> None:
    sagemaker.register(package())
    in_console(sagemaker, ModelApprovalStatus="Approved", ApprovalDescription="good, says Ann")
    approved = sagemaker.get("train-1")
    assert approved.approval_status == "Approved"
    assert approved.approval_reason == "good, says Ann"
    assert approved.approver
    assert approved.approval_changed_at is not None
    assert list(sagemaker.list()) == [approved]
    decide(sagemaker, "Approved", "bob", "mine")
    in_console(sagemaker, ModelApprovalStatus="Rejected")
    rejected = sagemaker.get("train-1")
    assert rejected.approval_status == "Rejected"
    assert (rejected.approver == "bob", rejected.approval_reason) == (False, "")


def test_the_listing_follows_every_decision_and_describes_nothing_twice(
    sagemaker: SageMakerRegistry, bed: TestBed
) -> None:
    sagemaker.register(package())
    for status, by in (("Approved", "ann"), ("Approved", "bob"), ("Rejected", "ann")):
        decide(sagemaker, status, by, "because")
        [listed] = sagemaker.list()
        assert (listed.approval_status, listed.approver) == (status, by)
    described = len(bed.calls("DescribeModelPackage"))
    sagemaker.list()
    assert len(bed.calls("DescribeModelPackage")) == described
    kept = [info.key for info in sagemaker.store.list(DECISIONS)]
    assert len(kept) == 3, "SageMaker keeps the last decision only"


def test_a_decision_killed_before_it_was_kept_is_kept_by_the_next_one(
    sagemaker: SageMakerRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    sagemaker.register(package())
    with monkeypatch.context() as cut:
        cut.setattr(SageMakerRegistry, "_keep", lambda _, known: known.approver and sys.exit())
        with pytest.raises(SystemExit):
            decide(sagemaker, "Approved", "ann", "good")
    assert sagemaker.get("train-1").approver == "ann", "one call decides"
    decide(sagemaker, "Approved", "bob", "mine")
    assert [known.approver for known in sagemaker.decisions("train-1")] == ["ann", "bob"]


def test_racing_registrations_in_sagemaker_make_one_package(sagemaker: SageMakerRegistry) -> None:
    threads = [threading.Thread(target=lambda: sagemaker.register(package())) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    client = sagemaker.session.client("sagemaker")
    listed = client.list_model_packages(ModelPackageGroupName=sagemaker.group)
    assert len(listed["ModelPackageSummaryList"]) == 1


def test_a_package_of_another_store_in_the_group_hides_none_of_ours(
    sagemaker: SageMakerRegistry, bed: TestBed
) -> None:
    ours = sagemaker.register(package())
    store = ObjectStore(url=f"s3://{bed.bucket()}/other")
    store.ensure()
    twin = SageMakerRegistry(
        session=AwsSession(),
        store=store,
        project="shop",
        image_uri=sagemaker.image_uri,
        package_group=sagemaker.group,
    )
    twin.register(package("train-2"))
    assert sagemaker.list() == (ours,)


def test_what_aws_refuses_names_package_and_remedy(
    sagemaker: SageMakerRegistry, bed: TestBed
) -> None:
    sagemaker.register(package())
    bed.fault("ListModelPackages", "throttle")
    assert sagemaker.get("train-1").digest == "a" * 64, "a throttled call is tried again"
    with pytest.raises(RegistryError, match="shorten the reason"):
        decide(sagemaker, "Approved", "ann", "x" * 2000)
    with pytest.raises(ClientError):
        in_console(sagemaker, ModelApprovalStatus="approved")


def test_a_decision_by_a_former_look_is_refused_and_recorded_nowhere(
    registry: ModelRegistry,
) -> None:
    seen = registry.register(package("train-1"))
    decision: dict[str, Any] = {"reason": "so", "digest": seen.digest}
    registry.set_approval("train-1", "Approved", by="anna", **decision, after=seen.decision_order)
    with pytest.raises(DecisionOvertaken, match="approved by anna at the same time: so"):
        registry.set_approval("train-1", "Rejected", by="bert", **decision, after=0)
    assert [known.approver for known in registry.decisions("train-1")] == ["anna"]
    known = registry.get("train-1").decision_order
    assert registry.set_approval("train-1", "Rejected", by="bert", **decision, after=known)
