"""A job's folder on this machine: SageMaker's container layout, its process, its outputs.

``<jobs_dir>/<job>/ml`` is the container's ``/opt/ml``. The process has a session of its own and
outlives the orchestrator, so that killing Dagster loses no training; it is found again by the
root folder in its environment. ``launch.json`` is written before the process starts: without that
file there is no process.
"""

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from object_store.durable import put_in_place
from object_store.errors import KeyMissing
from object_store.store import ObjectStore
from training.container.container import ROOT_VARIABLE

if TYPE_CHECKING:
    from resources.compute.job_spec import JobSpec

_TAIL_BYTES = 16_384

_BACKGROUND = 10
"""Niceness of a job in the background: with Linux's scheduler another program on the same core gets
nine tenths of it (weights 1024 and 110, sched(7)); without one, the job loses nothing."""


@dataclass(frozen=True)
class LocalLaunch:
    """A start of the job's process.

    Attributes:
        start_after: key of the last Pipes message before it, if any.
        launched_at: seconds since the epoch.
    """

    start_after: str | None
    launched_at: float


@dataclass(frozen=True)
class JobFolder:
    """The folder of one job; ``path`` need not exist."""

    path: Path

    @property
    def root(self) -> Path:
        """The job's ``/opt/ml``."""
        return self.path / "ml"

    @property
    def log(self) -> Path:
        """What the process wrote to stdout and stderr."""
        return self.path / "log.txt"

    @property
    def model_dir(self) -> Path:
        """What becomes ``model.tar.gz``."""
        return self.root / "model"

    @property
    def failure(self) -> str:
        """The failure file's text, "" if there is none."""
        path = self.root / "output" / "failure"
        return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""

    def output_dir(self, kind: str) -> Path:
        """Return the folder where a job of this kind writes all outputs but the model."""
        return self.root / ("output/data" if kind == "training" else "processing/output")

    def tail(self, lines: int = 20) -> str:
        """Return the last lines of the log, "" if there is no log."""
        if not self.log.is_file():
            return ""
        with self.log.open("rb") as file:
            file.seek(max(0, self.log.stat().st_size - _TAIL_BYTES))
            text = file.read().decode("utf-8", "replace")
        return "\n".join(text.splitlines()[-lines:])

    # --- before the process ----------------------------------------------------------------

    def lay_out(self, spec: "JobSpec", store: ObjectStore) -> None:
        """Write configuration and inputs; of an earlier attempt only checkpoints are kept.

        Raises:
            KeyMissing: an input is not in the store.
            FileNotFoundError: a file of a local channel does not exist.
        """
        for name in ("input", "config", "processing", "model", "output"):
            if (self.root / name).exists():
                shutil.rmtree(self.root / name)
        if spec.kind == "training":
            inputs = self.root / "input" / "data"
            config = {name: {"TrainingInputMode": "File"} for name in spec.all_channels}
            _write_json(self.root / "input/config/hyperparameters.json", spec.hyperparameters)
            _write_json(self.root / "input/config/inputdataconfig.json", config)
            _write_json(self.root / "input/config/resourceconfig.json", _RESOURCES)
        else:
            inputs = self.root / "processing" / "input"
            job = {"ProcessingJobName": spec.name, "Environment": spec.environment}
            _write_json(self.root / "config/processingjobconfig.json", job)
            _write_json(self.root / "config/resourceconfig.json", _RESOURCES)
        for folder in (
            inputs,
            self.model_dir,
            self.root / "checkpoints",
            self.output_dir(spec.kind),
        ):
            folder.mkdir(parents=True, exist_ok=True)
        for name, channel in spec.channels.items():
            for key in channel.keys:
                _bring(store, key, inputs / name / channel.relative(key))
        for name, local in spec.local_channels.items():
            for path in local.paths:
                if not path.is_file():
                    raise FileNotFoundError(f"channel {name!r}: {path} is not a file")
                _link(path, inputs / name / path.name)

    # --- the process -----------------------------------------------------------------------

    def start(
        self, spec: "JobSpec", pipes: Mapping[str, str], start_after: str | None
    ) -> psutil.Process:
        """Start the job's process in a session of its own, after :meth:`lay_out`.

        Args:
            spec: the job.
            pipes: environment variables of Dagster Pipes.
            start_after: key of the last Pipes message before this start, if any.
        """
        _write_json(
            self.path / "launch.json", {"start_after": start_after, "launched_at": time.time()}
        )
        command = [sys.executable, "-m", "training.launcher", spec.module, *spec.arguments]
        environment = {
            **os.environ,
            **spec.environment,
            **pipes,
            ROOT_VARIABLE: str(self.root),
            "TRAINING_JOB_NAME": spec.name,
            "PYTHONPATH": os.pathsep.join(
                [_code_folder(), os.environ.get("PYTHONPATH", "")]
            ).rstrip(os.pathsep),
            "PYTHONUNBUFFERED": "1",
        }
        with self.log.open("ab") as log:
            process = psutil.Popen(
                command,
                cwd=self.root,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        if spec.background:
            with suppress(psutil.NoSuchProcess):
                process.nice(
                    _BACKGROUND
                )  # its threads and processes, all started later, inherit it
        return process

    def launch(self) -> LocalLaunch | None:
        """Return the last start; ``None`` if there was none or ``launch.json`` is damaged."""
        # Only a power cut damages it, and that ended the process, too.
        try:
            values = json.loads((self.path / "launch.json").read_text(encoding="utf-8"))
            return LocalLaunch(values["start_after"], float(values["launched_at"]))
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def forget_launch(self) -> None:
        """Delete ``launch.json`` after the process has ended, so that the next run starts again."""
        (self.path / "launch.json").unlink(missing_ok=True)

    def running(self) -> psutil.Process | None:
        """Find the job's process: the session leader with this root folder in its environment."""
        for process in psutil.process_iter(["environ"]):
            environment = process.info["environ"] or {}
            if environment.get(ROOT_VARIABLE) == str(self.root) and _leads_session(process):
                return process
        return None

    def remove(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.path)


def terminate(process: psutil.Process, grace_s: float) -> None:
    """Terminate a job's process group: SIGTERM, and SIGKILL after ``grace_s`` seconds."""
    for number, patience in ((signal.SIGTERM, grace_s), (signal.SIGKILL, None)):
        try:
            os.killpg(process.pid, number)
            process.wait(timeout=patience)
        except ProcessLookupError:
            return
        except psutil.TimeoutExpired:
            continue


_RESOURCES = {"current_host": "algo-1", "hosts": ["algo-1"], "network_interface_name": "lo"}


def _bring(store: ObjectStore, key: str, target: Path) -> None:
    """Place an object in a channel: a link if the store is a folder, else a download."""
    source = store.local_path(key)
    if source is None:
        store.download(key, target)
        return
    if not source.is_file():
        raise KeyMissing(f"{key} is not in the store {store.url}")
    _link(source, target)


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        target.hardlink_to(source.resolve())
    except OSError:  # another file system
        target.symlink_to(source.resolve())


def _write_json(path: Path, values: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.part")
    partial.write_text(json.dumps(values), encoding="utf-8")
    put_in_place(partial, path)


def _code_folder() -> str:
    """Return the folder that contains the ``training`` package, for the job's PYTHONPATH."""
    found = importlib.util.find_spec("training")
    locations = (found.submodule_search_locations if found else None) or [""]
    return str(Path(next(iter(locations))).resolve().parent)


def _leads_session(process: psutil.Process) -> bool:
    try:
        return os.getsid(process.pid) == process.pid
    except ProcessLookupError:
        return False
