"""Jobs that tests of other things need done, and that are done once for all workers of a session.

A job's name is a hash of all that decides its outputs, and a store that has them is asked for no
other: so they are kept by name, and put into the stores of the homes that come later.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from object_store.store import ObjectStore
from resources.compute.compute import Compute, JobResult
from resources.compute.job_spec import JobSpec

MODEL = {
    "recipe": "scratch",
    "image_size": 16,
    "epochs": 4,
    "batch_size": 8,
    "learning_rate": 0.01,
    "augmentation": "none",
}
"""Hyperparameters of the model that homes share, if they have the same pictures and splits, too."""
PICTURES = 24
"""Pictures of each class (``World.add_classes``) in homes that share it."""
SPLIT = {"train": 0.6, "val": 0.2, "test": 0.2}


class DoneJobs:
    """Outputs of jobs in a folder that all workers see."""

    def __init__(self, folder: Path) -> None:
        """``folder`` is made if it is missing."""
        self._folder = folder
        folder.mkdir(exist_ok=True)

    @contextmanager
    def shared(self, compute: Compute) -> Iterator[None]:
        """As long as the block lasts, jobs of ``compute``'s class are done only if they never were."""
        run = type(compute).run

        def run_once(compute: Any, context: Any, spec: JobSpec) -> JobResult:
            kept = self._folder / spec.name
            with FileLock(f"{kept}.lock"):
                if kept.exists():
                    _put(compute.store, spec.name, kept)
                    return run(compute, context, spec)
                result = run(compute, context, spec)
                _keep(compute.store, spec.name, kept)
                return result

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(type(compute), "run", run_once)
            yield


@pytest.fixture(scope="session")
def done_jobs(tmp_path_factory: pytest.TempPathFactory) -> DoneJobs:
    """The session's; with xdist, all workers' folders lie in the controller's."""
    own = tmp_path_factory.getbasetemp()
    session = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    return DoneJobs(session / "done-jobs")


def _keep(store: ObjectStore, job: str, folder: Path) -> None:
    part = folder.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    for info in store.list(f"models/{job}/"):
        path = part / info.key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(store.get(info.key))
    part.rename(folder)


def _put(store: ObjectStore, job: str, folder: Path) -> None:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            key = path.relative_to(folder).as_posix()
            if not store.exists(key):
                store.put(key, path.read_bytes())
