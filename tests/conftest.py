"""Fixtures for every folder of tests; and in CI, a skipped test is a failed one."""

import atexit
import gc
import os
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from hypothesis import settings
from hypothesis.internal.conjecture import providers

from tests import leaving, warm_programs
from tests.label_studio.fixtures import _label_studio, label_studio, label_studio_installation
from tests.patience import TEST_S
from tests.testbed.fixtures import (
    _faults_end_with_the_test,
    aws_environment,
    aws_with_stacks,
    bed,
)
from tests.warm_programs.sitecustomize import PROGRAMS, start_server

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

# Without bytecode on disk every process compiles all that it imports: 6 CPU seconds for
# `imgclf status` instead of 3, 11 for a training job's imports instead of 5.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Tests run in parallel already: PyTorch's second thread would mostly wait, and computes while it does.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# An example of Hypothesis's takes as long as it takes: its 200 ms depend on the machine.
# In CI the examples are the same each time, so that a run is judged by its change; at a desk they
# are new ones, which is where they find faults.
settings.register_profile("any machine", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("any machine")
if os.environ.get("CI"):
    # It tries constants of all modules of ours that are imported by then, which depends on the tests
    # before (and parses them all: 2.5 CPU s in each worker). At a desk it goes on doing so.
    providers._get_local_constants = lambda: providers._local_constants


MEMORY = Path("/dev/shm")
ROOM = 4 << 30
"""Bytes that the tests' files may take at most; in memory, twice as many must be free."""


def _waits_for_no_disk(folder: Path) -> bool:
    """Whether ``folder`` is a file system in memory (Linux) where programs may lie, with room."""
    if not folder.is_mount() or not os.access(folder, os.W_OK):
        return False
    here = os.statvfs(folder)
    free = min(here.f_bavail * here.f_frsize, psutil.virtual_memory().available // 2)
    return free >= ROOM and not here.f_flag & os.ST_NOEXEC


def pytest_configure(config: pytest.Config) -> None:
    """Let a test last as long as tests.patience says, and give it folders in memory: SQLite alone
    waits for the disk a thousand times in `imgclf run`. The command line and the variables win."""
    if config.option.timeout is None and "PYTEST_TIMEOUT" not in os.environ:
        config.option.timeout = TEST_S
    if _waits_for_no_disk(MEMORY):
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))
    if hasattr(config, "workerinput"):
        leaving.at_the_end()
    else:  # workers inherit it
        warm_programs.offer()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove what pytest_configure made."""
    if not hasattr(config, "workerinput"):
        warm_programs.withdraw()


LONGEST = (
    "e2e/test_up_aws.py",
    "e2e/test_scenes.py",
    "e2e/test_labelling_loop.py",
    "e2e/test_aws_line.py",
    "e2e/test_distributed.py",
    "e2e/test_kill.py",
    "e2e/test_up_label_studio.py",
    "graph/assets/model/test_embeddings.py",
    "e2e/test_postgres.py",
    "graph/assets/report/test_labelling_report.py",
    "graph/imgclf_dagster/test_line.py",
    "e2e/test_bad_input.py",
    "e2e/test_training_job.py",
    "e2e/",
    "contract/",
    "graph/",
    "unit/",
)
"""Files and folders, longest first: xdist hands them out in this order, so that no worker is left
with a long one when the others are done (`--no-loadscope-reorder`)."""


def _place(item: pytest.Item) -> int:
    """Where in ``LONGEST`` a test belongs."""
    path = item.path.as_posix()
    return next((at for at, part in enumerate(LONGEST) if f"/tests/{part}" in path), len(LONGEST))


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--order``: tests must pass in any."""
    text = "'reversed', or a seed for a random order of the tests within each file"
    parser.addoption("--order", default="", help=text)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the longest files first; within a file the order stays, unless another is asked for."""
    order = config.getoption("order")
    if order == "reversed":
        items.reverse()
    elif order:
        random.Random(order).shuffle(items)
    files = {item.path: None for item in items}
    position = {path: at for at, path in enumerate(sorted(files))}
    items.sort(key=lambda item: (_place(item), position[item.path]))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection(session: pytest.Session) -> Iterator[None]:
    """Import the tests without garbage collection, and never look at what they imported again:
    a collection of a million lasting objects takes a second."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        # At the very end: pytest collects twice before it, and libraries complain of what never is.
        atexit.register(gc.unfreeze)
        gc.enable()
        gc.set_threshold(50_000, 20, 50)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Start the warm process of programs early where tests will need it."""
    folder = os.environ.get(warm_programs.FOLDER)
    if folder and any("/tests/e2e/" in item.path.as_posix() for item in session.items):
        start_server(f"{folder}/{PROGRAMS}")


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


# Hooks, not fixtures: pytest takes 0.1 ms for each fixture of each of seven thousand tests.
@pytest.hookimpl(wrapper=True)
def pytest_runtestloop(session: pytest.Session) -> Iterator[None]:
    """Let no test wait for the disk, and make Dagster cheaper."""
    if session.config.pluginmanager.hasplugin("dsession"):  # xdist's controller: it tests nothing
        return (yield)
    with pytest.MonkeyPatch.context() as patched:
        # Tests write thousands of small objects, at some 10 ms of the disk's each;
        # tests/unit/object_store/contents/test_damage.py looks at which of them are waited for.
        patched.setattr("object_store.durable._sync", lambda descriptor: None)
        if "dagster" in sys.modules:  # a second of imports: not for tests that do without
            _spare_dagster(patched)
        return (yield)


def _spare_dagster(patched: pytest.MonkeyPatch) -> None:
    """Do once what Dagster and MLflow do again in hundreds of tests."""
    from imgclf_dagster.home.migrations import read_migrations_once
    from tests import dagster_costs

    read_migrations_once()
    dagster_costs.spare(patched)


# A command that prepares a home sets these for the process; another home's test must not see them.
_OF_A_HOME = ("DAGSTER_HOME", "IMGCLF_HOME", "IMGCLF_SETTINGS")


@contextmanager
def _home_variables_kept() -> Iterator[None]:
    before = {name: os.environ.get(name) for name in _OF_A_HOME}
    yield
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@pytest.fixture(scope="module", autouse=True)
def _home_variables_of_the_module() -> Iterator[None]:
    """Restores the variables of a home that fixtures of the module set."""
    with _home_variables_kept():
        yield


@pytest.fixture(autouse=True)
def _home_variables_of_the_test() -> Iterator[None]:
    """Restores the variables of a home that the test set."""
    with _home_variables_kept():
        yield


@pytest.fixture(scope="session")
def colour_artefact() -> Callable[..., Path]:
    """Writes a real model artefact that knows an image by its mean colour.

    ``colour_artefact(folder, labels=…, sharpness=…, task=…, thresholds=…, model_version=…)``:
    label ``i`` follows channel ``i % 3`` (red, green, blue); a higher ``sharpness`` is surer, a
    negative one always wrong. Returns the folder (``training.artefact.artefact.pack`` makes the archive).
    """
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    from training.artefact.artefact import write_manifest

    def write(
        folder: Path,
        *,
        labels: tuple[str, ...] = LABELS,
        sharpness: float = 10.0,
        task: str = "single_label",
        thresholds: dict[str, float] | None = None,
        model_version: str = "train-000000000000",
        dataset_version: str = "0" * 16,
        recipe: str = "scratch",
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
            recipe=recipe,
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
    from training.artefact.artefact import digest, pack

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
    from training.data.manifest import (
        MANIFEST_SCHEMA,
        build_shards,
        dataset_version,
        write_manifest,
    )

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
