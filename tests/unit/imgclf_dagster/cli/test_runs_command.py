"""``imgclf runs``: what each training was made from and how good it is, from the store alone."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from scipy.stats import binomtest
from typer.testing import CliRunner, Result

from imgclf_dagster.cli.main import app
from imgclf_dagster.status.training_runs import Score
from object_store.store import ObjectStore
from training.config import Hyperparameters

pytestmark = pytest.mark.unit

OF_OLDER_CODE = ("hyperparameters", "started_at", "ended_at")
"""Fields that job.json did not have until December 2026."""


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    monkeypatch.setenv("IMGCLF_HOME", str(tmp_path / "home"))
    store = ObjectStore(url=(tmp_path / "home" / "store").as_uri())
    store.ensure()
    return store


def overwrite(store: ObjectStore, key: str, data: bytes) -> None:
    store.delete(key)
    store.put(key, data)


def trained(
    store: ObjectStore, version: str, *, data: str = "d1", **changes: Any
) -> dict[str, Any]:
    """Put the record of a training into the store."""
    metrics = {"val_accuracy": 0.9, "val_loss": 0.25, "train_images": 800.0, "val_images": 200.0}
    metrics |= changes.pop("metrics", {})
    record = {
        "name": version,
        "hyperparameters": {
            **Hyperparameters(**changes).to_strings(),
            "dataset_version": data,
            "model_version": version,
        },
        "started_at": "2026-03-02T08:00:00+00:00",
        "ended_at": "2026-03-02T08:03:00+00:00",
        "finished_at": "2026-03-02T08:03:01+00:00",
        "seconds": 180.0,
        "metadata": {
            "digest": {"raw_value": "a" * 64, "type": "__infer__"},
            **{n: {"raw_value": v, "type": "__infer__"} for n, v in metrics.items()},
        },
        "messages": [],
    }
    store.put(f"models/{version}/job.json", json.dumps(record).encode())
    return record


def evaluated(
    store: ObjectStore, version: str, accuracy: float, *, data: str = "d1", **changes: Any
) -> None:
    record = {
        **dict.fromkeys(("job", "digest", "model_key", "code_version", "evaluation_run"), "x"),
        "model_version": version,
        "dataset_version": data,
        "task": "single_label",
        "labels": ["a", "b"],
        "metrics": {"accuracy": accuracy, "log_loss": 0.3, "test_images": 250.0},
        **changes,
    }
    key = f"models/{version}/evaluations/0000000000001.json"
    store.put(key, json.dumps(record).encode())


def challenged(store: ObjectStore, version: str, other: str, **changes: Any) -> None:
    """Put the record of a challenger into the store, and the report of its comparison."""
    record = {
        "base": other,
        "request": "x",
        "reason": f"challenger {version} does not become the candidate: it is not better",
        "compared_with": other,
        "comparison": "eval-c1",
        "model_version": version,
        **changes,
    }
    store.put("materializations/challenger_model/run-1.json", json.dumps(record).encode())
    recall = {"precision": 0.9, "recall": 0.9, "f1": 0.9, "support": 250}
    scores: dict[str, Any] = {
        **dict.fromkeys(("macro_f1", "calibration_error", "calibration_chance"), 0.1),
        "log_loss": 0.2,
        "accuracy": 0.86,
        "intervals": {"accuracy": [0.81, 0.91]},
        "confusion_matrix": [[250]],
        "per_class": {"a": recall},
        "digest": "d",
    }
    report = {
        **scores,
        "model_version": version,
        "champion": {**scores, "accuracy": 0.88, "model_version": other},
        "dataset_version": "d1",
        "task": "single_label",
        "labels": ["a"],
        **{"n_test": 250, "n_val": 200, "val": None, "mcnemar_p": 0.5},
        "majority_baseline_accuracy": 0.5,
        "paired": {"a": {"only_candidate": 1, "only_champion": 6}},
        "images_per_second": 9.0,
    }
    store.put("models/eval-c1/processing/report.json", json.dumps(report).encode())


def imgclf(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["runs", *arguments])


def listed(*arguments: str) -> Any:
    answer = imgclf(*arguments, "--json")
    assert answer.exit_code == 0, answer.output
    return json.loads(answer.stdout)


def test_runs_are_listed_newest_first_with_intervals_and_stage(store: ObjectStore) -> None:
    assert "nothing was trained yet" in imgclf().stdout
    trained(store, "train-a1", recipe="finetune", architecture="resnet18", epochs=3)
    evaluated(store, "train-a1", 0.88)
    folds = {"cross_validation_folds": 5.0}
    trained(store, "train-b2", recipe="probe", data="d[2]", metrics=folds)
    store.put("models/eval-1/job.json", b"of another kind")
    store.put("endpoints/prod/1700000000000-train-a1.json", b"{}")
    newest, oldest = listed()
    assert [newest["model_version"], oldest["model_version"]] == ["train-b2", "train-a1"]
    assert (oldest["stages"], newest["stages"]) == (["prod"], [])
    assert oldest["hyperparameters"]["epochs"] == 3
    assert (oldest["images"], oldest["seconds"]) == (800, 180.0)
    assert newest["images"] == 1_000, "the head of a probe is fitted on both splits"
    assert oldest["test"]["images"] == 250
    assert newest["validation"]["images"] == 1_000, "each was held out once"
    assert newest["validation"]["cross_validation_folds"] == 5
    assert oldest["validation"]["cross_validation_folds"] == 1
    assert (newest["no_test"], newest["test"]) == ("not evaluated", None)
    shown = imgclf().stdout
    assert (
        "train-a1  production\n    finetune resnet18, trained on 800 images of data set d1\n"
        in shown
    )
    assert "2026-03-02 08:03 UTC, 3 min" in shown
    assert "validation accuracy 0.900 (0.851 to 0.934, 200 images), test accuracy 0.880 (" in shown
    assert "cross-validated accuracy 0.900 (0.880 to 0.917, 1,000 images)" in shown
    assert "of data set d[2]" in shown
    assert [run["model_version"] for run in listed("--last", "1")] == ["train-b2"]
    assert "older ones: --last 0 lists all" in imgclf("--last", "1").stdout
    assert len(listed("--last", "0")) == 2


@pytest.mark.parametrize(("right", "of"), [(0, 10), (10, 10), (176, 200), (1, 3)])
def test_the_interval_is_wilsons(right: int, of: int) -> None:
    expected = binomtest(right, of).proportion_ci(method="wilson")
    assert Score(right / of, of).interval == pytest.approx((expected.low, expected.high), abs=1e-6)
    assert Score(0.5, 0).interval is None


def test_the_interval_of_an_evaluation_is_shown_as_it_found_it(store: ObjectStore) -> None:
    trained(store, "train-a1")
    metrics = {"accuracy": 0.8, "accuracy_low": 0.7, "accuracy_high": 0.95, "test_images": 40.0}
    evaluated(store, "train-a1", 0.8, task="multi_label", metrics=metrics)
    assert "test subset accuracy 0.800 (0.700 to 0.950, 40 images)" in imgclf().stdout
    assert listed()[0]["test"]["interval"] == [0.7, 0.95]


def test_two_runs_are_compared_by_what_differs(store: ObjectStore) -> None:
    trained(store, "train-a1", recipe="finetune", architecture="resnet18", epochs=3)
    trained(store, "train-b2", recipe="finetune", architecture="resnet18", epochs=6,
            metrics={"val_accuracy": 0.95, "temperature": 1.5})  # fmt: skip
    evaluated(store, "train-a1", 0.88)
    evaluated(store, "train-b2", 0.91)
    facts = listed("compare", "train-a1", "b2")
    assert facts["hyperparameters"] == {"epochs": [3, 6]}
    assert facts["metrics"] == {
        "val_accuracy": [0.9, 0.95],
        "temperature": [None, 1.5],
        "test_accuracy": [0.88, 0.91],
    }
    assert (facts["notes"], facts["of_other_images"]) == ([], [])
    shown = imgclf("compare", "train-a1", "train-b2").stdout
    assert "epochs: 3 → 6" in shown
    assert "val_accuracy: 0.9 → 0.95  (+0.05)" in shown
    assert "test_accuracy: 0.88 → 0.91  (+0.03)" in shown
    assert "temperature: – → 1.5" in shown
    assert "hyperparameters that differ\n    none" in imgclf("compare", "a1", "a1").stdout


def test_scores_of_other_data_sets_are_not_subtracted(store: ObjectStore) -> None:
    trained(store, "train-a1")
    trained(store, "train-b2", data="d2", metrics={"val_accuracy": 0.95, "val_images": 210.0})
    evaluated(store, "train-a1", 0.88)
    evaluated(store, "train-b2", 0.91, data="d2")
    of_validation, of_test = listed("compare", "a1", "b2")["notes"]
    assert "train-a1 are of 200 validation images of data set d1, " in of_validation
    assert "train-b2 are of 210 validation images of data set d2" in of_validation
    assert "the test images differ (data sets d1 and d2)" in of_test
    shown = imgclf("compare", "a1", "b2").stdout
    assert "val_accuracy: 0.9 → 0.95  (of other images)" in shown
    assert "test_accuracy: 0.88 → 0.91  (of other images)" in shown
    assert "val_images: 200 → 210  (+10)" in shown


def test_a_cross_validation_is_not_subtracted_from_a_validation(store: ObjectStore) -> None:
    trained(store, "train-a1", recipe="finetune")
    folds = {"cross_validation_folds": 5.0, "val_accuracy": 0.95}
    trained(store, "train-b2", recipe="probe", metrics=folds)
    trained(store, "train-c3", recipe="probe", metrics={**folds, "val_accuracy": 0.97})
    for version, accuracy in (("train-a1", 0.88), ("train-b2", 0.9), ("train-c3", 0.9)):
        scores = {"accuracy": accuracy, "cross_validated_accuracy": accuracy + 0.01}
        evaluated(store, version, accuracy, metrics=scores)
    facts = listed("compare", "a1", "b2")
    assert facts["of_other_images"] == ["val_accuracy", "cross_validated_accuracy"]
    (note,) = facts["notes"]
    assert "those of train-a1 are of 200 validation images of data set d1, " in note
    assert "5-fold cross-validation over its 1,000 training and validation images" in note
    shown = imgclf("compare", "a1", "b2").stdout
    assert "val_accuracy: 0.9 → 0.95  (of other images)" in shown
    assert "test_accuracy: 0.88 → 0.9  (+0.02)" in shown
    assert "val_accuracy: 0.95 → 0.97  (+0.02)" in imgclf("compare", "b2", "c3").stdout


@pytest.mark.parametrize("comparison", ["eval-c1", ""], ids=["named", "older code"])
def test_a_challenger_that_lost_has_the_scores_of_its_comparison(
    store: ObjectStore, comparison: str
) -> None:
    trained(store, "train-a1", recipe="probe")
    evaluated(store, "train-a1", 0.88)
    trained(store, "train-c3", recipe="finetune")
    challenged(store, "train-c3", "train-a1", comparison=comparison)
    shown = imgclf().stdout
    assert "test accuracy 0.860 (0.810 to 0.910, 250 images)\n" in shown
    assert "    challenger: did not become the candidate in place of train-a1\n" in shown
    assert "not evaluated" not in shown
    facts = listed("compare", "train-a1", "train-c3")
    assert facts["metrics"]["test_accuracy"] == [0.88, 0.86]
    assert "challenger train-c3 does not become the candidate: it is not better" in facts["notes"]
    probe, challenger = facts["runs"]
    assert probe["challenger"] is None
    assert challenger["tested_on"] == "d1"
    assert challenger["challenger"]["won"] is False


def test_a_challenger_that_is_the_candidate_has_the_scores_of_its_evaluation(
    store: ObjectStore,
) -> None:
    trained(store, "train-c3", recipe="finetune")
    challenged(store, "train-c3", "train-a1", won=True)
    evaluated(store, "train-c3", 0.95)
    shown = imgclf().stdout
    assert "test accuracy 0.950 (" in shown
    assert "challenger: became the candidate in place of train-a1" in shown


def test_a_challenger_without_a_comparison_says_why(store: ObjectStore) -> None:
    trained(store, "train-c3", recipe="finetune")
    why = "challenger train-c3 does not become the candidate: the data set changed meanwhile"
    challenged(store, "train-c3", "train-a1", compared_with="", comparison="", reason=why)
    assert f"not evaluated\n    {why}\n" in imgclf().stdout


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("materializations/challenger_model/run-1.json", "not evaluated (KEY is damaged ("),
        ("models/eval-c1/processing/report.json", "KEY is damaged ("),
    ],
)
def test_a_damaged_record_of_a_challenger_is_said(store: ObjectStore, key: str, said: str) -> None:
    trained(store, "train-c3", recipe="finetune")
    challenged(store, "train-c3", "train-a1")
    overwrite(store, key, b"{")
    (run,) = listed()
    assert run["no_test"].startswith(said.replace("KEY", key))


def test_a_search_for_hyperparameters_is_no_training_run(store: ObjectStore) -> None:
    trained(store, "train-a1")
    search = {**trained(store, "train-5e"), "module": "training.tune"}
    overwrite(store, "models/train-5e/job.json", json.dumps(search).encode())
    assert [run["model_version"] for run in listed("--last", "1")] == ["train-a1"]
    assert "older" not in imgclf().stdout
    refused = imgclf("compare", "train-a1", "train-5e")
    assert refused.exit_code == 1
    assert "a search for hyperparameters (imgclf tune) is no training run" in refused.output


def test_a_name_that_is_none_or_several_is_refused(store: ObjectStore) -> None:
    for version in ("train-a1", "train-a2"):
        trained(store, version)
    refused = imgclf("compare", "train-a1", "train-a")
    assert refused.exit_code == 1
    assert "'train-a' begins 2 versions: train-a2, train-a1" in refused.output
    refused = imgclf("compare", "train-a1", "x[/]")
    assert refused.exit_code == 1
    assert "there is no training run 'x[/]'" in refused.output


def test_damage_is_said_and_the_others_are_listed(store: ObjectStore) -> None:
    trained(store, "train-a1")
    trained(store, "train-b2")
    evaluated(store, "train-b2", 0.9)
    overwrite(store, "models/train-a1/job.json", b"\x00" * 50)
    store.put("models/train-b2/evaluations/0000000000002.json", b"{")
    newest, broken = sorted(listed(), key=lambda run: run["model_version"], reverse=True)
    assert "models/train-a1/job.json is damaged" in broken["problem"]
    assert "0000000000002.json is damaged" in newest["no_test"]
    assert newest["validation"]["accuracy"] == 0.9
    assert "is damaged" in imgclf("compare", "train-a1", "train-b2").stdout


def test_hyperparameters_of_older_code_come_from_dagsters_events(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in ("train-a1", "train-b2"):
        record = trained(store, version)
        old = {name: value for name, value in record.items() if name not in OF_OLDER_CODE}
        overwrite(store, f"models/{version}/job.json", json.dumps(old).encode())
    made = dg.AssetMaterialization(
        "trained_model",
        metadata={
            "model_version": "train-a1",
            "dataset_version": "d1",
            "configuration": dg.MetadataValue.json({"recipe": "scratch", "epochs": 4}),
        },
    )

    def instance() -> dg.DagsterInstance:
        found = dg.DagsterInstance.ephemeral()
        found.report_runless_asset_event(made)
        return found

    monkeypatch.setattr("imgclf_dagster.home.home.prepare_home", lambda _: None)
    monkeypatch.setattr(dg.DagsterInstance, "get", instance)
    known, forgotten = sorted(listed(), key=lambda run: run["model_version"])
    assert known["hyperparameters"] == {"recipe": "scratch", "epochs": 4}
    assert known["dataset_version"] == "d1"
    assert known["ended_at"] == "2026-03-02T08:03:01+00:00", "when the record was written"
    assert known["started_at"] == "2026-03-02T08:00:01+00:00"
    assert forgotten["hyperparameters"] == {}
    assert (known["images"], forgotten["images"]) == (800, None)
    shown = imgclf("compare", "a1", "b2").stdout
    assert "recipe unknown, 800 training images, 200 validation images\n" in shown
    assert "those of train-b2 are of 200 validation images of an unknown data set" in shown
    assert "train-b2 was trained by older code, and Dagster has forgotten" in shown


def test_nothing_heavy_is_imported(store: ObjectStore) -> None:
    trained(store, "train-c3")
    challenged(store, "train-c3", "train-a1")
    program = (
        "import sys\n"
        "from imgclf_dagster.cli.main import load_command\n"
        "load_command('runs').main(['--json'], standalone_mode=False)\n"
        "heavy = {'dagster', 'mlflow', 'torch', 'pandas', 'scipy', 'boto3', 'sagemaker'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.PIPE)
