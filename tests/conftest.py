"""Fixtures for every folder of tests; and in CI, a skipped test is a failed one."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.label_studio.fixtures import _label_studio, label_studio, label_studio_installation
from tests.testbed.fixtures import (
    _faults_end_with_the_test,
    aws_environment,
    aws_with_stacks,
    bed,
)

__all__ = [
    "_faults_end_with_the_test",
    "_label_studio",
    "aws_environment",
    "aws_with_stacks",
    "bed",
    "label_studio",
    "label_studio_installation",
]

LABELS = ("red", "green", "blue")


def _skipped_in_ci(config: pytest.Config) -> list[pytest.TestReport | pytest.CollectReport]:
    """The tests that CI, which has everything they need, has skipped.

    With xdist only the controller has a terminal, and all the reports.
    """
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    if not os.environ.get("CI") or terminal is None or hasattr(config, "workerinput"):
        return []
    return list(terminal.stats.get("skipped", []))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a session in CI that skipped something: it did not test what it says."""
    if _skipped_in_ci(session.config) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Name what was skipped in CI, and why."""
    skipped = _skipped_in_ci(config)
    if skipped:
        terminalreporter.section("skipped in CI, which counts as failed", red=True)
    for report in skipped:
        reason = report.longrepr[-1] if isinstance(report.longrepr, tuple) else report.longrepr
        terminalreporter.line(f"{report.nodeid}: {reason}")


@pytest.fixture(scope="session")
def colour_artefact() -> Callable[..., Path]:
    """Writes a real model artefact that knows an image by its mean colour.

    ``colour_artefact(folder, labels=…, sharpness=…, task=…, thresholds=…, model_version=…)``:
    label ``i`` follows channel ``i % 3`` (red, green, blue); a higher ``sharpness`` is surer, a
    negative one always wrong. Returns the folder (``training.artefact.pack`` makes the archive).
    """
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    from training.artefact import write_manifest

    def write(
        folder: Path,
        *,
        labels: tuple[str, ...] = LABELS,
        sharpness: float = 10.0,
        task: str = "single_label",
        thresholds: dict[str, float] | None = None,
        model_version: str = "train-000000000000",
        dataset_version: str = "0" * 16,
    ) -> Path:
        weights = np.zeros((3, len(labels)), dtype=np.float32)
        for index in range(len(labels)):
            weights[index % 3, index] = sharpness / 255
        bias = np.full(len(labels), -sharpness / 2, dtype=np.float32)
        activation = (
            helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1)
            if task == "single_label"
            else helper.make_node("Sigmoid", ["logits"], ["probabilities"])
        )
        graph = helper.make_graph(
            [
                helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
                helper.make_node("ReduceMean", ["pixels", "axes"], ["mean"], keepdims=0),
                helper.make_node("Gemm", ["mean", "weights", "bias"], ["logits"]),
                activation,
            ],
            "colour",
            [helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", "h", "w", 3])],
            [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", len(labels)])],
            [
                numpy_helper.from_array(weights, "weights"),
                numpy_helper.from_array(bias, "bias"),
                numpy_helper.from_array(np.array([1, 2], dtype=np.int64), "axes"),
            ],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
        folder.mkdir(parents=True, exist_ok=True)
        onnx.save(model, folder / "model.onnx")
        (folder / "model.pt").write_bytes(b"no state")
        write_manifest(
            folder,
            task=task,
            labels=labels,
            input_size=32,
            thresholds=thresholds or (dict.fromkeys(labels, 0.5) if task == "multi_label" else {}),
            dataset_version=dataset_version,
            code_version="1",
            model_version=model_version,
            recipe="scratch",
            architecture="colour",
            opset=20,
            created_by="tests",
        )
        return folder

    return write


@pytest.fixture(scope="session")
def publish_model(
    colour_artefact: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., tuple[str, str]]:
    """Puts a colour artefact into a local store as a training job would.

    ``publish_model(store_dir, model_version, **of_colour_artefact)`` returns (digest, model key).
    """
    from training.artefact import digest, pack

    def publish(store_dir: Path, model_version: str, **fields: object) -> tuple[str, str]:
        folder = colour_artefact(
            tmp_path_factory.mktemp("artefact"), model_version=model_version, **fields
        )
        key = f"models/{model_version}/output/model.tar.gz"
        pack(folder, store_dir / key)
        return digest(folder), key

    return publish


@pytest.fixture(scope="session")
def training_job() -> Callable[..., Path]:
    """Lays out a training job's container, as SageMaker would.

    ``training_job(root, images, task=…, **hyperparameters)``: ``images`` are (uint8 array, labels,
    split) triples. Returns ``root``, to be named by ``IMGCLF_ML_ROOT``.
    """
    import hashlib
    import io
    import json

    import numpy as np
    import pyarrow as pa
    from PIL import Image

    from training.config import Hyperparameters
    from training.manifest import MANIFEST_SCHEMA, build_shards, dataset_version, write_manifest

    def png(array: np.ndarray) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(array).save(buffer, "PNG")
        return buffer.getvalue()

    def layout(
        root: Path,
        images: list[tuple[np.ndarray, list[str], str]],
        *,
        task: str = "single_label",
        labels: list[str] | None = None,
        **hyperparameters: object,
    ) -> Path:
        files = {hashlib.sha256(data).hexdigest(): data for data in (png(i) for i, _, _ in images)}
        channel = root / "input" / "data" / "dataset"
        (channel / "shards").mkdir(parents=True)
        places = {}
        for shard in build_shards(files.items()):
            (channel / shard.name).write_bytes(shard.data)
            places.update({member.sha256: (shard.name, member) for member in shard.members})
        rows = []
        for sha256, (array, names, split) in zip(files, images, strict=True):
            shard_name, member = places[sha256]
            rows.append(
                {
                    "sha256": sha256,
                    "labels": names,
                    "split": split,
                    "group_id": sha256,
                    "width": array.shape[1],
                    "height": array.shape[0],
                    "raw_key": f"raw/{sha256[:8]}.png",
                    "shard": shard_name,
                    "offset": member.offset,
                    "length": member.length,
                }
            )
        table = pa.Table.from_pylist(rows, schema=MANIFEST_SCHEMA)
        version = dataset_version(table)
        (channel / version).mkdir()
        (channel / version / "manifest.parquet").write_bytes(write_manifest(table))
        known = labels or sorted({name for _, names, _ in images for name in names})
        (channel / version / "card.json").write_text(json.dumps({"task": task, "labels": known}))
        given = {
            **Hyperparameters.model_validate(hyperparameters).to_strings(),
            "dataset_version": version,
            "model_version": "train-000000000000",
        }
        (root / "input" / "config").mkdir(parents=True)
        (root / "input" / "config" / "hyperparameters.json").write_text(json.dumps(given))
        return root

    return layout
