"""The whole line once, with a real training job, a real evaluation and a real endpoint host.

One model is trained for the module. ``line`` is a home with that candidate evaluated, ``hosted``
another one with it staged, and ``approved`` that one with it in production. Each test leaves them
as it found them, so that any of them runs alone and in any order.
"""

import io
import json
import re
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from mlflow.tracking import MlflowClient

from assets.challenger import plan
from assets.release.verdicts import MODEL_CHECKS, STAGING_CHECKS
from imgclf_dagster.status.training_runs import read_run
from serving.deployments import Deployment
from tests.testbed.account import aws_section
from training.artefact.evidence import read_evidence, write_evidence

pytestmark = pytest.mark.graph

LINE = ("raw_images", "annotations", "dataset", "trained_model", "evaluation_report")
RECIPE = {
    "recipe": "scratch",
    "image_size": 16,
    "epochs": 6,
    "batch_size": 8,
    "learning_rate": 0.01,
    "augmentation": "none",
}
SETTINGS = {
    "training": RECIPE,
    "gates": {"max_calibration_error": 0.5, "max_staging_latency_ms": 5000.0},
    "split": {"train": 0.6, "val": 0.2, "test": 0.2},
}


@pytest.fixture(scope="module", params=["local", "aws"])
def profile(request: pytest.FixtureRequest) -> Callable[[], dict[str, Any]]:
    """Settings of a home on each profile, with a store of its own."""
    if request.param == "local":
        return dict
    request.getfixturevalue("aws_settings")
    bed = request.getfixturevalue("bed")
    return lambda: {"profile": "aws", "aws": aws_section(bed)}


def brought_through_the_line(shop: Any) -> Any:
    """The shop with an evaluated candidate; what its store holds already is not computed again."""
    shop.outcome = shop.run(*LINE)
    assert shop.outcome.success, shop.outcome.why
    shop.version = shop.outcome.metadata("trained_model")["model_version"]
    return shop


@pytest.fixture(scope="module")
def line(
    profile: Callable[[], dict[str, Any]],
    tmp_path_factory: pytest.TempPathFactory,
    open_shop: Callable[..., Any],
) -> Any:
    """A home in which the line ran from 60 pictures to an evaluated candidate, on each profile."""
    shop = open_shop(tmp_path_factory.mktemp("line") / "home", **SETTINGS, **profile())
    shop.add_classes(20)
    return brought_through_the_line(shop)


@pytest.fixture(scope="module")
def another(
    line: Any,
    profile: Callable[[], dict[str, Any]],
    tmp_path_factory: pytest.TempPathFactory,
    open_shop: Callable[..., Any],
) -> Callable[[], Any]:
    """``another()``: a new home with the same candidate, which is not computed again."""

    def make() -> Any:
        shop = open_shop(tmp_path_factory.mktemp("another") / "home", **SETTINGS, **profile())
        there = {info.key for info in shop.store.list("")}
        for info in line.store.list(""):
            if info.key not in there:
                shop.store.put(info.key, line.store.get(info.key))
        brought_through_the_line(shop)
        assert shop.outcome.metadata("trained_model")["reused"] is True
        return shop

    return make


@pytest.fixture(scope="module")
def hosted(another: Callable[[], Any]) -> Iterator[Any]:
    """A home with the candidate registered and staged, and an endpoint host."""
    shop = another()
    with shop.endpoints.hosting(log_file=shop.home / "host.log"):
        shop.staged = shop.run("registered_package", "staging_endpoint", partition=shop.version)
        assert shop.staged.success, shop.staged.why
        assert shop.endpoints.current("prod") is None
        yield shop


@pytest.fixture(scope="module")
def approved(hosted: Any) -> Any:
    """The same, after an approval has put the candidate into production."""
    hosted.released = release(hosted)
    assert hosted.released.success, hosted.released.why
    hosted.record = hosted.endpoints.current("prod")
    return hosted


def release(hosted: Any) -> Any:
    """Approve the candidate and deploy it to production, in one run."""
    config = approval(hosted.registry.get(hosted.version))
    assets = ("release_approval", "prod_endpoint")
    return hosted.run(*assets, partition=hosted.version, config=config)


def approval(package: Any) -> dict[str, Any]:
    given = {"approved_by": "ann", "reason": "good", "digest": package.digest}
    return {"ops": {"release_approval": {"config": given}}}


@contextmanager
def tampered(line: Any, key: str, change: Callable[[bytes], bytes]) -> Iterator[None]:
    """Changes an object, for as long as the block lasts."""
    before = line.store.get(key)
    line.tamper(key, change(before))
    try:
        yield
    finally:
        line.tamper(key, before)


@contextmanager
def made_by_the_job(
    line: Any, job: str, file: str, change: Callable[[bytes], bytes]
) -> Iterator[None]:
    """Changes a file as if the job had made it so: with its sum in the record it is a damaged one."""
    with (
        tampered(line, f"models/{job}/job.json", without_sums),
        tampered(line, f"models/{job}/{file}", change),
    ):
        yield


@contextmanager
def staged_again(hosted: Any) -> Iterator[None]:
    """Puts the candidate back on staging, with its verdicts, when the block is left."""
    try:
        yield
    finally:
        assert hosted.run("staging_endpoint", partition=hosted.version).success


def verdict(line: Any, check: str) -> Any:
    return line.verdict(f"trained_model/{line.version}", check)


def test_pictures_become_an_evaluated_candidate(line: Any) -> None:
    done = line.outcome
    assert set(done.materialized) == set(LINE)
    assert all(done.checks.values()), done.checks
    trained, evaluated = done.metadata("trained_model"), done.metadata("evaluation_report")
    assert trained["digest"] == evaluated["digest"] == done.version("trained_model")
    assert trained["dataset_version"] == done.version("dataset")
    assert evaluated["accuracy"] > 0.8
    assert evaluated["champion"] == "none"
    for name in ("confusion_matrix", "mistakes", "per_class", "reliability"):
        assert "(data:image/" in evaluated[name]
    assert "| red |" in evaluated["scores_by_class"]
    assert line.instance.get_dynamic_partitions("model_version") == [line.version]
    for check in MODEL_CHECKS:
        assert verdict(line, check).passed
        assert verdict(line, check).digest == trained["digest"]


def test_the_training_can_be_compared_in_mlflow_and_by_imgclf_runs(line: Any) -> None:
    done, version = line.outcome, line.version
    trained, evaluated = done.metadata("trained_model"), done.metadata("evaluation_report")
    assert "(data:image/jpeg;base64," in trained["augmented batch"]
    stored = read_run(line.store, version, {})
    assert stored is not None
    assert stored.hyperparameters["epochs"] == RECIPE["epochs"]
    assert stored.test
    assert stored.test.accuracy == pytest.approx(evaluated["accuracy"])
    if line.settings.profile == "aws":  # which has no MLflow, but metrics of SageMaker's
        assert "mlflow_run" not in trained
        client = line.compute.session.client("sagemaker")
        job = client.describe_training_job(TrainingJobName=version)
        metrics = {item["MetricName"]: item["Value"] for item in job["FinalMetricDataList"]}
        assert metrics.keys() == {"train_loss", "val_loss", "val_accuracy", "val_macro_f1"}
        return
    client = MlflowClient(line.settings.mlflow_uri)
    run = client.get_run(trained["mlflow_run"])
    assert run.info.run_name == version
    assert run.data.params["epochs"] == str(RECIPE["epochs"])
    assert run.data.metrics["test_accuracy"] == pytest.approx(evaluated["accuracy"])
    assert (run.data.tags["digest"], run.info.status) == (trained["digest"], "FINISHED")
    history = client.get_metric_history(run.info.run_id, "val_loss")
    assert [one.step for one in history] == list(range(1, RECIPE["epochs"] + 1))
    times = [run.info.start_time, *(one.timestamp for one in history), run.info.end_time]
    assert times == sorted(times)
    assert {file.path for file in client.list_artifacts(run.info.run_id)} == {
        *("augmented_batch.jpg", "history.json", "history.png", "metrics.json")
    }


def test_the_same_again_computes_nothing(line: Any) -> None:
    again = line.run(*LINE)
    assert again.metadata("trained_model").get("mlflow_run") == line.outcome.metadata(
        "trained_model"
    ).get("mlflow_run")
    assert again.metadata("trained_model")["reused"] is True
    assert again.metadata("evaluation_report")["reused"] is True
    for asset in LINE:
        assert again.version(asset) == line.outcome.version(asset)


def test_a_challenger_is_measured_trained_and_compared(
    line: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "ENOUGH_TRAINING_IMAGES", 1)
    monkeypatch.setattr(plan, "ENOUGH_TEST_IMAGES", 1)
    # Its weights stay as they were: those of the model that it starts from.
    given = {**RECIPE, "epochs": 1, "learning_rate": 1e-9, "start_from": line.version}
    config = {"ops": {"challenger_model": {"config": given}}}
    done = line.run("challenger_model", config=config)
    assert done.success, done.why
    shown = done.metadata("challenger_model")
    assert shown["won"] is False, shown["outcome"]
    assert re.search(r"it is not better: macro-F1 (\S+) against \1 of", shown["outcome"])
    assert shown["compared_with"] == line.version
    assert 0 < shown["planned_seconds"] < 30 * 60
    stored = read_run(line.store, shown["model_version"], {})
    assert stored is not None
    assert stored.challenge
    assert stored.challenge.comparison == shown["comparisons"][0]
    assert stored.test, "its comparison tells, as it has no evaluation of its own"
    again = line.run("challenger_model", config=config)
    assert again.metadata("challenger_model")["reused"] is True
    evaluated = line.run("evaluation_report").metadata("evaluation_report")
    assert (evaluated["model_version"], evaluated["reused"]) == (line.version, True)


def test_a_wrong_configuration_is_refused_before_anything_starts(line: Any) -> None:
    for wrong, text in (
        ({"dataset_version": "0" * 16}, "there is no data set version '0000000000000000'"),
        ({"epochs": 0}, "epochs"),
    ):
        refused = line.run("trained_model", config={"ops": {"trained_model": {"config": wrong}}})
        assert not refused.success
        assert text in refused.why


def test_a_net_that_answers_unlike_in_training_stops_the_run(line: Any) -> None:
    with made_by_the_job(line, line.version, "output/output.tar.gz", other_probabilities):
        done = line.run("trained_model", "evaluation_report")
    assert not done.success
    assert done.checks == {"export_matches_training": False}
    assert done.materialized == ["trained_model"]
    assert verdict(line, "export_matches_training").blocks
    assert "largest difference" in verdict(line, "export_matches_training").reason
    assert line.check("trained_model", "export_matches_training").success
    assert not verdict(line, "export_matches_training").blocks


def without_sums(record: bytes) -> bytes:
    """A job's record as older versions wrote it."""
    return json.dumps({**json.loads(record), "sha256": {}}).encode()


def other_probabilities(archive: bytes) -> bytes:
    """The training job's evidence, as if torch had answered otherwise."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        files = {member.name: tar.extractfile(member).read() for member in tar}
    images, probabilities = read_evidence(io.BytesIO(files["export_check.npz"]))
    sink = io.BytesIO()
    write_evidence(sink, images, np.roll(probabilities, 1, axis=1))
    files["export_check.npz"] = sink.getvalue()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return packed.getvalue()


def no_better_than_guessing(report: dict[str, Any]) -> None:
    report["accuracy"] = report["majority_baseline_accuracy"]


def surer_than_right(report: dict[str, Any]) -> None:
    report["calibration_error"], report["calibration_chance"] = 0.9, 0.1


def worse_at_blue(report: dict[str, Any]) -> None:
    scores = {
        name: report[name]
        for name in (
            "accuracy",
            "macro_f1",
            "log_loss",
            "calibration_error",
            "calibration_chance",
            "confusion_matrix",
        )
    }
    report["champion"] = {
        **scores,
        "per_class": {label: {**row, "recall": 1.0} for label, row in report["per_class"].items()},
        "model_version": "train-champion",
        "digest": "c" * 64,
    }
    report["per_class"]["blue"]["recall"] = 0.2
    report["mcnemar_p"] = 0.01
    report["paired"] = {
        label: {"only_candidate": 0, "only_champion": 8 * (label == "blue")}
        for label in report["labels"]
    }


@pytest.mark.parametrize(
    ("gate", "spoil", "expected"),
    [
        ("beats_champion", no_better_than_guessing, "commonest labels"),
        ("calibration_within_bound", surer_than_right, "calibration error 0.9"),
        ("no_slice_regression", worse_at_blue, "blue 0.800"),
    ],
)
def test_a_gate_that_is_missed_keeps_the_candidate_out(
    line: Any, gate: str, spoil: Callable[[dict[str, Any]], None], expected: str
) -> None:
    def change(data: bytes) -> bytes:
        report = json.loads(data)
        spoil(report)
        return json.dumps(report).encode()

    job = line.outcome.metadata("evaluation_report")["job"]
    with made_by_the_job(line, job, "processing/report.json", change):
        assert line.check("evaluation_report", gate).checks == {gate: False}
        assert verdict(line, gate).blocks
        assert expected in verdict(line, gate).reason
        refused = line.run("registered_package", "staging_endpoint", partition=line.version)
        assert refused.materialized == []
        assert f"{gate} failed" in refused.why
    line.check("evaluation_report", gate)
    assert not verdict(line, gate).blocks


def test_a_candidate_that_missed_a_gate_gets_no_partition(
    line: Any, open_shop: Callable[..., Any]
) -> None:
    strict = line.with_settings(gates={"max_calibration_error": 0.0})
    strict.instance = type(line.instance).ephemeral()
    job = line.outcome.metadata("evaluation_report")["job"]

    def worthless(data: bytes) -> bytes:
        return json.dumps({**json.loads(data), "accuracy": 0.0}).encode()

    with made_by_the_job(line, job, "processing/report.json", worthless):
        done = strict.run("dataset", "trained_model", "evaluation_report")
    assert done.checks["beats_champion"] is False
    assert strict.instance.get_dynamic_partitions("model_version") == []
    line.check("evaluation_report", "beats_champion")


@pytest.mark.parametrize("profile", ["local"], indirect=True)  # SageMaker is always there
def test_without_a_host_it_is_registered_and_staging_says_what_is_missing(
    another: Callable[[], Any],
) -> None:
    home = another()
    done = home.run("registered_package", "staging_endpoint", partition=home.version)
    assert done.materialized == ["registered_package"]
    assert "imgclf up" in done.why
    assert home.store.list("endpoints/staging") == []
    for check in STAGING_CHECKS:
        again = home.check("staging_endpoint", check, partition=home.version)
        assert again.checks == {check: False}
        assert "no endpoint host answers" in verdict(home, check).reason


def test_a_candidate_is_registered_and_staged(hosted: Any) -> None:
    assert hosted.staged.checks == dict.fromkeys(STAGING_CHECKS, True)
    package = hosted.registry.get(hosted.version)
    assert package.digest == hosted.outcome.version("trained_model")
    assert hosted.endpoints.describe("staging").digest == package.digest


def test_staging_is_checked_though_the_pictures_were_deleted(hosted: Any) -> None:
    pictures = {info.key: hosted.store.get(info.key) for info in hosted.store.list("raw")}
    for key in pictures:
        hosted.store.delete(key)
    done = hosted.check("staging_endpoint", "staging_serves_digest", partition=hosted.version)
    for key, data in pictures.items():
        hosted.store.put(key, data)
    assert done.checks == {"staging_serves_digest": True}


def test_staging_that_labels_unlike_the_evaluation_is_found(hosted: Any) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    def turned(data: bytes) -> bytes:
        table = pq.read_table(io.BytesIO(data))
        position = table.schema.get_field_index("predicted")
        other = [["blue" if row == ["red"] else "red"] for row in table["predicted"].to_pylist()]
        column = pa.array(other, table.schema.field("predicted").type)
        sink = io.BytesIO()
        pq.write_table(table.set_column(position, table.schema.field(position), column), sink)
        return sink.getvalue()

    job = hosted.outcome.metadata("evaluation_report")["job"]
    with staged_again(hosted):
        with made_by_the_job(hosted, job, "processing/predictions.parquet", turned):
            done = hosted.check(
                "staging_endpoint", "staging_serves_digest", partition=hosted.version
            )
        assert done.checks == {"staging_serves_digest": False}
        reason = verdict(hosted, "staging_serves_digest").reason
        assert "got other labels than in the evaluation" in reason


def test_staging_that_serves_another_model_is_found(hosted: Any) -> None:
    other = hosted.candidate("train-other", sharpness=3.0)
    given = {"deployed_by": "ann", "reason": "test", "model_version": other.model_version}
    with staged_again(hosted):
        hosted.endpoints.deploy(
            Deployment(stage="staging", digest=other.digest, model_key=other.model_key, **given)
        )
        done = hosted.check("staging_endpoint", "staging_serves_digest", partition=hosted.version)
        assert done.checks == {"staging_serves_digest": False}
        found = verdict(hosted, "staging_serves_digest")
        assert found.blocks
        assert f"answered by digest {other.digest[:12]}" in found.reason


def test_staging_that_answers_too_slowly_is_found_and_stops_the_approval(hosted: Any) -> None:
    hasty = hosted.with_settings(gates={"max_staging_latency_ms": 0.001})
    before = hosted.endpoints.current("prod")
    with staged_again(hosted):
        done = hasty.run("staging_endpoint", partition=hosted.version)
        assert not done.success
        assert done.checks == {
            "staging_serves_digest": True,
            "staging_latency_within_budget": False,
        }
        reason = verdict(hosted, "staging_latency_within_budget").reason
        assert "budget 0.001 ms" in reason
        assert "staging_latency_within_budget failed" in release(hosted).why
        assert hosted.endpoints.current("prod") == before


def test_an_approval_puts_it_into_production(approved: Any, photo: Callable[..., bytes]) -> None:
    package, record = approved.registry.get(approved.version), approved.record
    assert (record.digest, record.deployed_by, record.reason) == (package.digest, "ann", "good")
    answer = approved.endpoints.invoke("prod", photo(4242, "green"), "image/png")
    assert answer["digest"] == package.digest
    assert answer["predictions"][0]["labels"][0]["label"] == "green"
    before = len(approved.endpoints.history("prod"))
    again = approved.run("prod_endpoint", partition=approved.version)
    assert again.success
    assert len(approved.endpoints.history("prod")) == before


def test_a_rejection_returns_to_the_version_before(approved: Any) -> None:
    from imgclf_dagster.decisions import undone_rejection

    second = approved.candidate("train-second", sharpness=5.0)
    approved.approve(second)
    assert approved.run("prod_endpoint", partition="train-second").success
    approved.reject(second)
    target, config = undone_rejection(approved.endpoints, approved.registry) or ("", {})
    assert target == approved.version
    assert approved.run("prod_endpoint", partition=target, config=config).success
    record = approved.endpoints.current("prod")
    assert record.model_version == approved.version
    assert record.deployed_by == "bob"
    assert record.reason == "train-second was rejected: bad"
    assert undone_rejection(approved.endpoints, approved.registry) is None
