"""The evaluation job, run whole in process on small images and a model that knows colours."""

import hashlib
import io
import json
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from assets.evaluation.gates import evaluate_gates
from assets.policies import GatePolicy
from training import evaluate
from training.artefact.artefact import pack
from training.artefact.predictor import OnnxPredictor
from training.artefact.split import SplitModel
from training.data import inference, known_features
from training.data.inference import Sample
from training.data.known_features import TEST_FEATURES
from training.data.manifest import MANIFEST_SCHEMA, build_shards, write_manifest
from training.errors import PermanentFailure
from training.evaluation.report import EvaluationReport

pytestmark = pytest.mark.unit

COLOURS = {"red": (230, 20, 20), "green": (20, 230, 20), "blue": (20, 20, 230)}
PICTURES = ("confusion_matrix.png", "mistakes.png", "per_class.png", "reliability.png")


def png(colour: tuple[int, int, int], number: int) -> bytes:
    """A plain image; ``number`` makes its size and its bytes its own."""
    sink = io.BytesIO()
    image = Image.new("RGB", (20 + number % 3, 20 + number % 2), colour)
    image.putpixel((0, 0), (number % 256, number // 256, 7))
    image.save(sink, "PNG")
    return sink.getvalue()


@dataclass(frozen=True)
class Job:
    """A processing container on disk."""

    root: Path
    monkeypatch: pytest.MonkeyPatch

    @property
    def output(self) -> Path:
        return self.root / "processing" / "output"

    def channel(self, name: str) -> Path:
        return self.root / "processing" / "input" / name

    def put_data(self, images: Sequence[tuple[bytes, tuple[str, ...], str]]) -> None:
        """Images as (bytes, labels, split)."""
        shas = [hashlib.sha256(data).hexdigest() for data, _, _ in images]
        places = {}
        for shard in build_shards(
            [(sha, data) for sha, (data, _, _) in zip(shas, images, strict=True)]
        ):
            path = self.channel("dataset") / shard.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(shard.data)
            places |= {member.sha256: (shard.name, member) for member in shard.members}
        rows = []
        for number, (sha, (data, labels, split)) in enumerate(zip(shas, images, strict=True)):
            shard_name, member = places[sha]
            width, height = Image.open(io.BytesIO(data)).size
            rows.append(
                {
                    "sha256": sha,
                    "labels": labels,
                    "split": split,
                    "group_id": sha,
                    "width": width,
                    "height": height,
                    "raw_key": f"raw/photos/{number:04d}.png",
                    "shard": shard_name,
                    "offset": member.offset,
                    "length": member.length,
                }
            )
        (self.channel("dataset") / "v1").mkdir(parents=True)
        table = MANIFEST_SCHEMA.empty_table().from_pylist(rows, schema=MANIFEST_SCHEMA)
        (self.channel("dataset") / "v1" / "manifest.parquet").write_bytes(write_manifest(table))

    def run(self, *more: str, pictures: bool = False) -> dict:
        """The report. ``pictures`` are half of the time; a failing one is only a warning."""
        if not pictures:
            self.monkeypatch.setattr(evaluate, "_draw", lambda *_: None)
        self.monkeypatch.setenv("IMGCLF_ML_ROOT", str(self.root))
        self.monkeypatch.setattr(sys, "argv", ["evaluate", "--dataset_version", "v1", *more])
        evaluate.main()
        return json.loads((self.output / "report.json").read_text(encoding="utf-8"))


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    (tmp_path / "ml" / "config").mkdir(parents=True)
    (tmp_path / "ml" / "config" / "processingjobconfig.json").write_text("{}", encoding="utf-8")
    return Job(tmp_path / "ml", monkeypatch)


@pytest.fixture
def put_model(
    job: Job, colour_artefact: Callable[..., Path], tmp_path: Path
) -> Callable[..., None]:
    def put(channel: str, **what: object) -> None:
        folder = colour_artefact(tmp_path / f"artefact-{channel}", **what)
        pack(folder, job.channel(channel) / "train-x" / "output" / "model.tar.gz")

    return put


def colour_images(
    splits: dict[str, int], mislabelled: int = 0
) -> list[tuple[bytes, tuple[str, ...], str]]:
    """``splits`` images a colour and split; in test the first reds are labelled blue."""
    images = []
    for split, count in splits.items():
        for label, colour in COLOURS.items():
            for number in range(count):
                wrong = split == "test" and label == "red" and number < mislabelled
                data = png(colour, len(images))
                images.append((data, ("blue" if wrong else label,), split))
    return images


def test_a_probe_is_not_scored_on_the_validation_images_that_it_learnt_from(
    job: Job, put_model: Callable[..., None]
) -> None:
    job.put_data(colour_images({"train": 1, "val": 2, "test": 3}))
    put_model("model", recipe="probe")

    report = job.run()

    assert (report["n_test"], report["n_val"], report["val"]) == (9, 0, None)
    assert pq.read_table(job.output / "predictions.parquet")["split"].to_pylist() == ["test"] * 9


def test_leaves_a_true_report_predictions_and_pictures(
    job: Job, put_model: Callable[..., None]
) -> None:
    job.put_data(colour_images({"train": 4, "val": 2, "test": 20}, mislabelled=2))
    put_model("model", labels=("blue", "red", "green"), model_version="train-new")
    # The fixture's labels follow channels by position: blue sees red, red sees green, green blue.
    report = job.run(pictures=True)
    assert report["accuracy"] == pytest.approx(2 / 60), "only the two mislabelled reds"

    assert EvaluationReport.model_validate(report)
    assert (report["n_test"], report["n_val"], report["model_version"]) == (60, 6, "train-new")
    assert report["labels"] == ["blue", "red", "green"]
    # Rows true, columns predicted: 20 blues said green and 2 said blue; 18 reds said blue; …
    assert report["confusion_matrix"] == [[2, 0, 20], [18, 0, 0], [0, 20, 0]]
    assert report["majority_baseline_accuracy"] == pytest.approx(22 / 60)
    assert report["champion"] is report["mcnemar_p"] is None
    assert report["val"]["accuracy"] == 0

    table = pq.read_table(job.output / "predictions.parquet")
    assert table.schema.equals(evaluate.PREDICTIONS_SCHEMA)
    labels = json.loads(table.schema.metadata[b"labels"])
    for row in table.to_pylist():
        assert row["predicted"] == [labels[int(np.argmax(row["probabilities"]))]]
    assert table["split"].to_pylist() == ["test"] * 60 + ["val"] * 6
    right = [row["labels"] == row["predicted"] for row in table.to_pylist()[:60]]
    assert sum(right) == 2
    for name in PICTURES:
        with Image.open(job.output / name) as picture:
            assert picture.format == "PNG"
            assert min(picture.size) > 200
            assert len(picture.convert("RGB").getcolors(1 << 24)) > 20
    assert list(job.root.glob("tmp*")) == [], "the unpacked models are gone"


def test_a_data_set_laid_out_by_whole_keys_is_found(
    job: Job, put_model: Callable[..., None]
) -> None:
    """As some report of SageMaker's ManifestFile: <channel>/<the store's prefix>/datasets/..."""
    job.put_data(colour_images({"train": 1, "val": 1, "test": 4}))
    put_model("model", model_version="train-new")
    relative = job.channel("dataset").rename(job.root / "aside")
    (job.channel("dataset") / "line").mkdir(parents=True)
    relative.rename(job.channel("dataset") / "line" / "datasets")
    assert job.run()["accuracy"] == 1


def test_a_champion_of_before_a_class_was_renamed_gets_it_right(
    job: Job, put_model: Callable[..., None]
) -> None:
    job.put_data(colour_images({"train": 1, "test": 5}))
    put_model("model", model_version="train-new")
    put_model("champion", labels=("red", "green", "navy"), model_version="train-old")
    assert job.run()["champion"]["accuracy"] == pytest.approx(10 / 15)
    report = job.run("--renamed", json.dumps({"navy": "blue"}))
    assert report["champion"]["accuracy"] == 1
    assert report["champion"]["per_class"]["blue"]["recall"] == 1
    assert report["accuracy"] == 1


def test_the_champion_is_measured_on_the_same_images(
    job: Job, put_model: Callable[..., None]
) -> None:
    job.put_data(colour_images({"train": 1, "val": 1, "test": 20}))
    put_model("model", model_version="train-new")
    # Knows no blue: what it says to blue images is wrong, whatever it is.
    put_model("champion", labels=("red", "green"), model_version="train-old", sharpness=5.0)
    report = job.run()

    assert report["accuracy"] == 1
    champion = report["champion"]
    assert champion["model_version"] == "train-old"
    assert champion["digest"] != report["digest"]
    assert champion["accuracy"] == pytest.approx(40 / 60)
    assert champion["per_class"]["blue"] == {
        "precision": 0, "recall": 0, "f1": 0, "support": 20,
        "average_precision": pytest.approx(1 / 3),  # of no order at all
    }  # fmt: skip
    assert report["paired"]["blue"] == {"only_candidate": 20, "only_champion": 0}
    assert report["paired"]["red"] == {"only_candidate": 0, "only_champion": 0}
    assert report["mcnemar_p"] == pytest.approx(2 * 0.5**20)
    assert all(gate.passed for gate in evaluate_gates(report, GatePolicy()))


@pytest.mark.parametrize("whose", ["its own", "another model's", "other code's", "damaged"])
def test_the_champion_answers_an_image_once(
    whose: str, job: Job, put_model: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its answers of its own evaluation count; anything else is predicted again."""
    job.put_data(colour_images({"train": 1, "val": 1, "test": 2}))
    put_model("model", model_version="train-old", sharpness=5.0)
    before = job.run()
    rows = pq.read_table(job.output / "predictions.parquet").slice(0, 4)
    metadata = dict(rows.schema.metadata)
    metadata |= {"another model's": {b"digest": b"0"}, "other code's": {b"code_version": b"0"}}.get(
        whose, {}
    )
    folder = job.channel("champion_answers")
    folder.mkdir(parents=True)
    pq.write_table(rows.replace_schema_metadata(metadata), folder / "predictions.parquet")
    if whose == "damaged":
        (folder / "predictions.parquet").write_bytes(b"PAR1")
    shutil.rmtree(job.channel("model"))
    put_model("model", model_version="train-new", sharpness=9.0)
    put_model("champion", model_version="train-old", sharpness=5.0)
    seen: list[tuple[str, int]] = []
    real = evaluate.predict

    def counted(model: OnnxPredictor, samples: list[Sample], *more: Any) -> Any:
        seen.append((model.manifest.model_version, len(samples)))
        return real(model, samples, *more)

    monkeypatch.setattr(evaluate, "predict", counted)
    report = job.run()

    assert ("train-old", 2 if whose == "its own" else 6) in seen
    assert ("train-new", 6) in seen
    for score in ("digest", "accuracy", "log_loss", "macro_f1", "confusion_matrix"):
        assert report["champion"][score] == before[score]


def test_a_candidate_that_forgot_a_class_fails_its_gates(
    job: Job, put_model: Callable[..., None]
) -> None:
    job.put_data(colour_images({"train": 1, "val": 1, "test": 20}))
    put_model("model", labels=("red", "green"), model_version="train-new")
    put_model("champion", model_version="train-old")
    report = job.run()

    assert report["labels"] == ["red", "green", "blue"], "the data set's labels count, too"
    assert report["per_class"]["blue"]["recall"] == 0
    gates = {gate.name: gate for gate in evaluate_gates(report, GatePolicy())}
    assert not gates["beats_champion"].passed
    assert not gates["no_slice_regression"].passed
    assert gates["no_slice_regression"].numbers["regressed"] == "blue"


def test_multi_label_is_judged_by_whole_label_sets(
    job: Job, put_model: Callable[..., None]
) -> None:
    purple, grey = (240, 10, 240), (10, 10, 10)
    wanted = [(purple, ("blue", "red")), (COLOURS["green"], ("green",)), (purple, ("red",))]
    images = [
        (png(colour, 100 * index + number), labels, split)
        for index, split in enumerate(("train", "val", "test"))
        for number, (colour, labels) in enumerate(wanted * 5)
    ]
    images.append((png(grey, 999), ("green",), "test"))
    job.put_data(images)
    put_model("model", task="multi_label")
    report = job.run(pictures=True)

    assert report["task"] == "multi_label"
    assert report["accuracy"] == pytest.approx(10 / 16), "5 are given too much, 1 nothing"
    assert report["majority_baseline_accuracy"] == pytest.approx(6 / 16)
    # [rightly absent, wrongly predicted, missed, rightly given]
    assert dict(zip(report["labels"], report["confusion_matrix"], strict=True)) == {
        "red": [6, 0, 0, 10],
        "green": [10, 0, 1, 5],
        "blue": [6, 5, 0, 5],
    }
    assert report["per_class"]["blue"]["precision"] == pytest.approx(0.5)
    assert report["micro_f1"] == pytest.approx(2 * 20 / (2 * 20 + 6))
    assert report["mean_average_precision"] == pytest.approx(
        np.mean([row["average_precision"] for row in report["per_class"].values()])
    )
    assert set(report["thresholds"]) == set(report["labels"])
    for name in ("accuracy", "macro_f1", "micro_f1", "mean_average_precision"):
        low, high = report["intervals"][name]
        assert low <= report[name] <= high, name
        assert 0.05 < high - low < 0.6, name
    assert report["binary"] is None
    predicted = pq.read_table(job.output / "predictions.parquet")["predicted"].to_pylist()
    assert [] in predicted
    assert ["red", "blue"] in predicted or ["blue", "red"] in predicted
    assert all((job.output / name).exists() for name in PICTURES)


def test_two_classes_are_judged_at_other_thresholds_too(
    job: Job, put_model: Callable[..., None]
) -> None:
    images = colour_images({"train": 1, "val": 1, "test": 6})
    job.put_data([image for image in images if image[1] != ("green",)][:-2])
    put_model("model", labels=("red", "blue"))
    report = job.run(pictures=True)
    assert (job.output / evaluate.CURVES).exists()
    binary = report["binary"]
    assert (binary["positive"], binary["roc_auc"]) == ("blue", 1)
    assert report["per_class"]["blue"]["support"] == 4
    assert {point["threshold"] for point in binary["points"]} >= {0.1, 0.5, 0.9}
    assert EvaluationReport.model_validate(report).accuracy_name == "accuracy"


def test_decodes_no_more_than_two_windows_ahead(
    job: Job, put_model: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory does not grow with the test split: images wait in at most two windows."""
    job.put_data(colour_images({"train": 1, "test": 60}))
    put_model("model")
    held = {"decoded": 0, "answered": 0, "most": 0}
    load, predict = inference.load_pixels, inference.OnnxPredictor.predict_images

    def counting_load(*arguments: object) -> np.ndarray:
        held["decoded"] += 1
        return load(*arguments)

    def counting_predict(self: object, images: list[np.ndarray]) -> np.ndarray:
        held["most"] = max(held["most"], held["decoded"] - held["answered"])
        held["answered"] += len(images)
        return predict(self, images)

    monkeypatch.setattr(inference, "load_pixels", counting_load)
    monkeypatch.setattr(inference.OnnxPredictor, "predict_images", counting_predict)
    report = job.run()
    assert held["answered"] == report["n_test"] == 180
    assert held["most"] <= 2 * inference.WINDOW


def test_an_image_that_broke_is_set_aside_by_name_for_all_models(
    job: Job, put_model: Callable[..., None]
) -> None:
    images = colour_images({"train": 1, "val": 2, "test": 4})
    broken = (images[0][0][:60], ("red",), "test")
    job.put_data([*images, broken, (images[1][0][:60], ("blue",), "val")])
    put_model("model")
    put_model("champion")
    report = EvaluationReport.model_validate(job.run())
    assert (report.n_test, report.n_val) == (12, 6)
    names = {f"raw/photos/{len(images) + more:04d}.png" for more in (0, 1)}
    assert set(report.set_aside) == names
    assert all("truncated or broken" in why for why in report.set_aside.values())
    assert sum(map(sum, report.confusion_matrix)) == 12
    assert report.champion is not None
    assert sum(map(sum, report.champion.confusion_matrix)) == 12


def test_an_image_that_a_shard_lost_is_set_aside_and_most_of_them_stop_the_job(
    job: Job, put_model: Callable[..., None]
) -> None:
    images = colour_images({"train": 1, "test": 4})
    job.put_data(images)
    put_model("model")
    (shard,) = (job.channel("dataset") / "shards").iterdir()
    whole = shard.read_bytes()
    place = whole.index(images[-1][0])
    shard.write_bytes(whole[: place + 30] + b"?" + whole[place + 31 :])
    report = EvaluationReport.model_validate(job.run())
    assert report.n_test == 11
    assert "not those that were indexed" in next(iter(report.set_aside.values()))
    shard.write_bytes(whole[: len(whole) // 4])
    with pytest.raises(PermanentFailure, match=r"of 12 images .* cannot be read.*doctor --store"):
        job.run()


@pytest.fixture
def evaluated(
    job: Job, put_model: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[dict[str, Any], dict[str, int]]]:
    """Evaluates a probe on nine test images; returns the report, and how many images the net and the
    whole graph were given. ``known``: features that an earlier evaluation left."""
    job.put_data(colour_images({"train": 1, "test": 3}))
    counts: dict[str, int] = {}
    for name, module, at in (("answer", SplitModel, 1), ("predict", known_features, 1)):
        real = getattr(module, name)

        def counted(*given: Any, real: Any = real, name: str = name, at: int = at) -> Any:
            counts[name] = counts.get(name, 0) + len(given[at])
            return real(*given)

        monkeypatch.setattr(module, name, counted)

    def run(known: bytes | None = None, **model: object) -> tuple[dict[str, Any], dict[str, int]]:
        for channel in ("model", "known_features"):
            shutil.rmtree(job.channel(channel), ignore_errors=True)
        put_model("model", **{"recipe": "probe", **model})
        if known is not None:
            job.channel("known_features").mkdir(parents=True)
            (job.channel("known_features") / TEST_FEATURES).write_bytes(known)
        counts.clear()
        (job.output / TEST_FEATURES).unlink(missing_ok=True)
        return job.run(), dict(counts)

    return run


def test_a_later_probe_needs_no_net_for_images_whose_features_are_known(
    job: Job, evaluated: Callable[..., tuple[dict[str, Any], dict[str, int]]]
) -> None:
    _, counts = evaluated(sharpness=5.0)
    assert counts == {"answer": 9, "predict": 9}  # of few images, the whole graph checks all
    known = (job.output / TEST_FEATURES).read_bytes()
    alone, _ = evaluated(sharpness=9.0, labels=("red", "green"))
    report, counts = evaluated(known, sharpness=9.0, labels=("red", "green"))
    assert counts == {"predict": 9}
    assert (job.output / TEST_FEATURES).read_bytes() == known
    assert report["images_per_second"] > 0
    for given in (report, alone):
        del given["images_per_second"]
    assert report == alone


def test_an_image_without_known_features_is_computed(
    job: Job, evaluated: Callable[..., tuple[dict[str, Any], dict[str, int]]], tmp_path: Path
) -> None:
    report, _ = evaluated()
    rows = pq.read_table(job.output / TEST_FEATURES)
    pq.write_table(rows.slice(0, 4), tmp_path / "some")
    again, counts = evaluated((tmp_path / "some").read_bytes())
    assert counts == {"answer": 5, "predict": 4}
    assert again["log_loss"] == report["log_loss"]
    assert pq.read_table(job.output / TEST_FEATURES).equals(rows)


@pytest.mark.parametrize("fault", ["another body's", "damaged", "of another width", "not finite"])
def test_features_that_cannot_be_its_own_are_not_used(
    fault: str,
    job: Job,
    evaluated: Callable[..., tuple[dict[str, Any], dict[str, int]]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(evaluate.Phases, "warn", lambda _, text: warnings.append(text))
    evaluated()
    rows = pq.read_table(job.output / TEST_FEATURES)
    metadata = dict(rows.schema.metadata)
    values = np.array(rows["features"].to_pylist(), np.float32)
    if fault == "another body's":
        metadata[b"body"] = b"0"
    elif fault == "of another width":
        values = values[:, :2]
    elif fault == "not finite":
        values[0, 0] = np.nan
    features = pa.FixedSizeListArray.from_arrays(values.ravel(), values.shape[1])
    table = pa.table({"sha256": rows["sha256"], "features": features})
    pq.write_table(table.replace_schema_metadata(metadata), tmp_path / "file")
    known = (tmp_path / "file").read_bytes()
    _, counts = evaluated(b"PAR1" if fault == "damaged" else known)
    assert counts["answer"] == 9
    # Another net is no fault.
    assert len(warnings) == (fault != "another body's")
    assert all("test_features.parquet of an earlier evaluation" in text for text in warnings)


def test_a_head_that_answers_otherwise_than_the_whole_graph_is_not_believed(
    job: Job,
    evaluated: Callable[..., tuple[dict[str, Any], dict[str, int]]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(evaluate.Phases, "warn", lambda _, text: warnings.append(text))
    report, _ = evaluated()
    assert warnings == []
    rows = pq.read_table(job.output / TEST_FEATURES)
    wrong = rows.set_column(1, "features", rows["features"].combine_chunks()[::-1])
    pq.write_table(wrong.replace_schema_metadata(rows.schema.metadata), tmp_path / "file")
    again, counts = evaluated((tmp_path / "file").read_bytes())
    assert counts["predict"] == 9 + 9
    assert len(warnings) == 1
    assert "the whole graph answers all images" in warnings[0]
    assert again["log_loss"] == report["log_loss"]
    assert not (job.output / TEST_FEATURES).exists()


def test_a_model_whose_net_was_trained_leaves_no_features(
    job: Job, evaluated: Callable[..., tuple[dict[str, Any], dict[str, int]]]
) -> None:
    _, counts = evaluated(recipe="finetune")
    assert counts == {}
    assert not (job.output / TEST_FEATURES).exists()


def test_an_unreadable_image_leaves_no_features(job: Job, put_model: Callable[..., None]) -> None:
    images = colour_images({"train": 1, "test": 4})
    job.put_data([*images, (images[0][0][:60], ("red",), "test")])
    put_model("model", recipe="probe")
    report = job.run()
    assert (report["n_test"], len(report["set_aside"])) == (12, 1)
    assert pq.read_table(job.output / TEST_FEATURES).num_rows == 12


@pytest.mark.parametrize("fault", ["no test", "no model", "two models", "no version", "torn"])
def test_what_cannot_be_evaluated_is_a_permanent_failure_with_a_remedy(
    job: Job, put_model: Callable[..., None], fault: str
) -> None:
    job.put_data(
        colour_images({"train": 2, "val": 2} | ({} if fault == "no test" else {"test": 2}))
    )
    put_model("model")
    archive = job.channel("model") / "train-x" / "output" / "model.tar.gz"
    match fault:
        case "no model":
            archive.unlink()
        case "two models":
            archive.with_name("old").mkdir()
            (archive.with_name("old") / "model.tar.gz").write_bytes(archive.read_bytes())
        case "no version":
            (job.channel("dataset") / "v1").rename(job.channel("dataset") / "v2")
        case "torn":
            archive.write_bytes(archive.read_bytes()[:200])
    texts = {
        "no test": "no image in its test split",
        "no model": "holds 0 files named model.tar.gz",
        "two models": "holds 2 files named model.tar.gz",
        "no version": r"v1/manifest\.parquet is not a data set manifest",
        "torn": r"is not a readable model\.tar\.gz",
    }
    with pytest.raises(PermanentFailure, match=texts[fault]):
        job.run()
    assert (job.root / "output" / "failure").exists()
