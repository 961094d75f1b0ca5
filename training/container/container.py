"""The folders and parameters of a job's container, on SageMaker or on this machine.

Layouts:
    training    https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo-running-container.html
    processing  https://docs.aws.amazon.com/sagemaker/latest/dg/build-your-own-processing-container.html
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from training.errors import PermanentFailure

ROOT_VARIABLE = "IMGCLF_ML_ROOT"
"""Environment variable with another root folder than ``/opt/ml``, for jobs on this machine."""

MAX_FAILURE_CHARACTERS = 1024
"""Characters of a failure file that SageMaker keeps (FailureReason)."""

Kind = Literal["training", "processing"]


@dataclass(frozen=True)
class JobContainer:
    """The inputs, outputs and parameters of a job in SageMaker's container layout.

    Attributes:
        root: the container's ``/opt/ml``.
        kind: of the job, which determines the layout.
        hyperparameters: the job's parameters as strings: ``hyperparameters.json`` of a training
            job, ``--key value`` arguments of a processing job.
    """

    root: Path
    kind: Kind
    hyperparameters: Mapping[str, str]

    @classmethod
    def from_environment(cls, arguments: Sequence[str] | None = None) -> Self:
        """Return the container that this process runs in.

        Args:
            arguments: the command line of a processing job; default: ``sys.argv[1:]``.

        Raises:
            PermanentFailure: the hyperparameters or the arguments cannot be read.
        """
        root = Path(os.environ.get(ROOT_VARIABLE, "/opt/ml"))
        if (root / "config" / "processingjobconfig.json").exists():
            parameters = _parse_arguments(sys.argv[1:] if arguments is None else arguments)
            return cls(root, "processing", parameters)
        return cls(root, "training", _read_hyperparameters(root))

    def _channel_path(self, name: str) -> Path:
        if self.kind == "training":
            return self.root / "input" / "data" / name
        return self.root / "processing" / "input" / name

    def has_channel(self, name: str) -> bool:
        """Whether the job has the input channel ``name``."""
        return self._channel_path(name).is_dir()

    def channel(self, name: str, holding: str = "*") -> Path:
        """Return the folder of an input channel to which its files' paths are relative.

        Args:
            name: of the channel.
            holding: pattern of ``Path.glob`` that matches files directly in that folder.

        Raises:
            PermanentFailure: the job does not have that channel.
        """
        # AWS does not document whether SageMaker places the objects of a ManifestFile by their
        # paths in the manifest or by their whole keys, and users report both
        # (https://github.com/aws/sagemaker-python-sdk/issues/723), so both are accepted.
        path = self._channel_path(name)
        if not path.is_dir():
            given = ", ".join(sorted(p.name for p in path.parent.glob("*"))) or "none"
            raise PermanentFailure(
                f"the {self.kind} job has no input channel {name!r} (folder {path}); "
                f"channels given: {given}. Add it to the job's channels."
            )
        if any(path.glob(holding)):
            return path
        deeper = {found.parents[holding.count("/")] for found in path.rglob(holding)}
        return deeper.pop() if len(deeper) == 1 else path

    def optional_channel(self, name: str, holding: str = "*") -> Path | None:
        """Return :meth:`channel`'s folder; ``None`` if the job does not have that channel."""
        return self.channel(name, holding) if self.has_channel(name) else None

    @property
    def model_dir(self) -> Path:
        """Files here become ``model.tar.gz`` (training jobs)."""
        return _made(self.root / "model")

    @property
    def output_dir(self) -> Path:
        """Everything else the job leaves: reports, histories, plots."""
        if self.kind == "training":
            return _made(self.root / "output" / "data")
        return _made(self.root / "processing" / "output")

    @property
    def checkpoint_dir(self) -> Path:
        """Survives a restart of the job; empty on its first attempt."""
        return _made(self.root / "checkpoints")

    @property
    def scratch_dir(self) -> Path:
        """Room for what can be computed again; lost when the job's machine is."""
        return _made(self.root / "scratch")

    def write_failure(self, text: str) -> None:
        """Write the reason of a failure to SageMaker's failure file, cut at 1,024 characters.

        FailureReason of a training job is ``failure``, ExitMessage of a processing job is
        ``message``: https://docs.aws.amazon.com/sagemaker/latest/dg/byoc-metadata.html
        """
        folder = _made(self.root / "output")
        for name in ("failure", "message") if self.kind == "processing" else ("failure",):
            (folder / name).write_text(text[:MAX_FAILURE_CHARACTERS], encoding="utf-8")


def _made(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


def _read_hyperparameters(root: Path) -> dict[str, str]:
    path = root / "input" / "config" / "hyperparameters.json"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PermanentFailure(
            f"{path} is missing: this is not a SageMaker container. "
            f"Point {ROOT_VARIABLE} at a folder in the layout of /opt/ml."
        ) from None
    except ValueError as error:
        raise PermanentFailure(f"{path} is not JSON ({error}); write the job again.") from error
    if not isinstance(values, dict):
        raise PermanentFailure(f"{path} must hold one JSON object of strings.")
    return {str(key): str(value) for key, value in values.items()}


def _parse_arguments(arguments: Sequence[str]) -> dict[str, str]:
    """Parse ``--key value`` pairs; a value may begin with hyphens."""
    keys, values = arguments[::2], arguments[1::2]
    wrong = [key for key in keys if not key.startswith("--") or len(key) < 3]
    if wrong or len(keys) != len(values):
        raise PermanentFailure(
            f"the job's arguments must be pairs of --key value; got {' '.join(arguments)!r}"
        )
    return {key[2:]: value for key, value in zip(keys, values, strict=True)}
