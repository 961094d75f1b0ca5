"""Jobs of training and evaluation that are played: each leaves what its like would leave."""

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from resources.compute.compute import JobResult
from resources.compute.job_spec import JobSpec
from training.artefact.evidence import write_evidence
from training.artefact.predictor import OnnxPredictor

LABELS = ["blue", "green", "red"]


def scores(version: str, digest: str, macro_f1: float) -> dict[str, Any]:
    of_a_class = {"precision": 0.9, "recall": 0.9, "f1": 0.9, "support": 8}
    return {
        "accuracy": macro_f1,
        "macro_f1": macro_f1,
        "log_loss": 0.3,
        "calibration_error": 0.02,
        "calibration_chance": 0.05,
        "per_class": dict.fromkeys(LABELS, of_a_class),
        "confusion_matrix": [[8, 0, 0], [0, 8, 0], [0, 0, 8]],
        "model_version": version,
        "digest": digest,
    }


class PlayedJobs:
    """Plays the jobs of a home.

    Attributes:
        asked: the jobs, in order.
        macro_f1: by recipe, of its model.
        epoch_s: seconds of an epoch, as measured.
    """

    def __init__(self, world: Any, publish: Callable[..., tuple[str, str]]) -> None:
        self.world, self.publish = world, publish
        self.asked: list[JobSpec] = []
        self.macro_f1 = {"probe": 0.9, "finetune": 0.95}
        self.epoch_s = 60.0
        self.done: set[str] = set()
        self.models: dict[str, tuple[str, str]] = {}

    @property
    def modules(self) -> list[str]:
        return [spec.module.removeprefix("training.") for spec in self.asked]

    def run(self, context: Any, spec: JobSpec) -> JobResult:
        is_new = spec.name not in self.done
        if is_new:
            self.done.add(spec.name)
            self.asked.append(spec)
            {"train": self.train, "step_time": self._step_time, "evaluate": self._evaluate}[
                spec.module.removeprefix("training.")
            ](spec)
        return JobResult(spec.name, not is_new, False, 1.0, {}, [])

    def _step_time(self, spec: JobSpec) -> None:
        found = {"seconds": self.epoch_s, "cpu_seconds": 2 * self.epoch_s, "cores": 1}
        trained = [one for one in self.asked if one.module == "training.train"]
        rows = self.world.manifest(trained[-1].hyperparameters["dataset_version"])
        images = sum(row["split"] == "train" for row in rows.values())
        found |= {"images": images, "val_images": 1, "device": "cpu"}
        self._output(spec, {"step_time.json": json.dumps(found).encode()})

    def version_of(self, recipe: str) -> str:
        """The first model of a recipe."""
        return next(name for name, known in self.models.values() if known == recipe)

    def train(self, spec: JobSpec) -> None:
        recipe = json.loads(spec.hyperparameters["recipe"])
        store = self.world.settings.store_dir
        digest, key = self.publish(
            store,
            spec.name,
            labels=tuple(LABELS),
            sharpness=5.0 + len(self.models),
            dataset_version=spec.hyperparameters["dataset_version"],
        )
        self.models[digest] = (spec.name, recipe)
        metrics = {"digest": digest, "seconds_fit": 1.0, "seconds_export": 3.0}
        self._output(
            spec,
            {
                "metrics.json": json.dumps(metrics).encode(),
                "export_check.npz": self._evidence(store / key),
            },
        )

    def _evidence(self, archive: Path) -> bytes:
        folder = archive.parent / "unpacked"
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
        images = [np.full((8, 8, 3), value, np.uint8) for value in (10, 200)]
        answered = OnnxPredictor(folder).predict_images(images)
        write_evidence(archive.parent / "evidence.npz", images, answered)
        return (archive.parent / "evidence.npz").read_bytes()

    def _evaluate(self, spec: JobSpec) -> None:
        keys = [
            spec.channels[name].keys[0] for name in ("model", "champion") if name in spec.channels
        ]
        names = [key.split("/")[1] for key in keys]
        by_name = {name: (digest, recipe) for digest, (name, recipe) in self.models.items()}
        own, *others = [
            scores(name, by_name[name][0], self.macro_f1[by_name[name][1]]) for name in names
        ]
        paired = {label: {"only_candidate": 0, "only_champion": 0} for label in LABELS}
        report = {
            **own,
            "dataset_version": spec.hyperparameters["dataset_version"],
            "task": "single_label",
            "labels": LABELS,
            "n_test": 24,
            "n_val": 24,
            "majority_baseline_accuracy": 0.3,
            "val": None,
            "champion": others[0] if others else None,
            "mcnemar_p": 0.04 if others else None,
            "paired": paired if others else {},
            "images_per_second": 100.0,
        }
        key = f"models/{spec.name}/processing/report.json"
        self.world.store.put(key, json.dumps(report).encode())

    def _output(self, spec: JobSpec, files: dict[str, bytes]) -> None:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
            for name, data in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
        self.world.store.put(f"models/{spec.name}/output/output.tar.gz", buffer.getvalue())
