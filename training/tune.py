"""The search for hyperparameters on one machine: ``python -m training.tune``.

Channels as of ``training.train``, with ``weights-0``, ``weights-1`` … for the nets of the search space
in its order. All trials share one process: imports and decoding are paid once. Outputs:
``search.json``, ``study.db`` and pictures.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from dagster_pipes import PipesContext
from pydantic import BaseModel, ConfigDict, ValidationError

from object_store.durable import put_in_place
from training.artefact.artefact import Task
from training.backbones.weights import weights_in
from training.config import Hyperparameters
from training.container.container import JobContainer
from training.container.hardware import yield_cores
from training.container.leaving import leave
from training.container.phases import Phases
from training.container.pipes import open_pipes
from training.container.quick_imports import without_collection
from training.data.manifest import CARD, ManifestError, read_card
from training.data.set_aside import optional_picture
from training.errors import PermanentFailure
from training.tuning.pictures import RATES, draw_rates, draw_search
from training.tuning.space import SearchSpace, tried
from training.tuning.storage import open_storage, storage_url
from training.tuning.study import STUDY, TRIALS, Limits, Report, Search

if TYPE_CHECKING:
    from training.data.data import DataSource, LabelledImages
    from training.fitting.architectures import Classifier
    from training.images.preprocessing import Preprocessing

SEARCH = "search.json"

Method = Literal["trials", "learning_rate"]


class SearchResult(BaseModel):
    """What a search found.

    Attributes:
        chosen: the best values, by hyperparameter.
        val_loss: of the best trial; ``None``: a range test has none.
        trials: number of trials.
        pruned: of these, those that were ended early.
        failed: of these, those that failed.
        seconds: of all trials together.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    chosen: dict[str, Any]
    val_loss: float | None
    trials: int
    pruned: int
    failed: int
    seconds: float


@dataclass(frozen=True)
class SearchJob:
    """A search, as its container describes it.

    Attributes:
        name: of the job.
        method: trials: all that the space declares; learning_rate: a range test of that alone.
        base: hyperparameters of what is not searched.
        space: what is searched.
        limits: when it ends.
        task: single_label or multi_label.
        labels: names of the classes.
        dataset_version: of the data set.
        dataset: folder of the data set channel.
        weights: file of pretrained weights by net; ``None``: it is downloaded.
    """

    name: str
    method: Method
    base: Hyperparameters
    space: SearchSpace
    limits: Limits
    task: Task
    labels: tuple[str, ...]
    dataset_version: str
    dataset: Path
    weights: Mapping[str, Path | None]

    @classmethod
    def from_container(cls, container: JobContainer) -> Self:
        """Read the search from its container.

        Raises:
            PermanentFailure: a hyperparameter is missing or wrong, or there is no data set.
        """
        given = container.hyperparameters
        try:
            version = given["dataset_version"]
            dataset = container.channel("dataset", f"{version}/{CARD}")
            card = read_card(dataset / version / CARD)
            space = SearchSpace.model_validate_json(given["space"])
            files = weights_in(container, "+".join(space.architectures))
            return cls(
                name=given.get("search", "hyperparameters"),
                method=json.loads(given["method"]),
                base=Hyperparameters.from_strings(given),
                space=space,
                limits=Limits(json.loads(given["trials"]), json.loads(given["seconds"])),
                task=card.task,
                labels=card.labels,
                dataset_version=version,
                dataset=dataset,
                weights=dict(zip(space.architectures, files, strict=True)),
            )
        except KeyError as error:
            raise PermanentFailure(f"the job lacks the hyperparameter {error}; add it") from None
        except ManifestError as error:
            raise PermanentFailure(str(error)) from error
        except (ValidationError, json.JSONDecodeError) as error:
            raise PermanentFailure(f"a hyperparameter of the job is wrong: {error}") from error


def main() -> None:
    """Run the job in this process's container; writes SageMaker's failure file if it fails."""
    yield_cores()
    with open_pipes() as pipes:
        container = JobContainer.from_environment()
        try:
            found = tune(container, pipes)
        except Exception as error:
            container.write_failure(f"{type(error).__name__}: {error}")
            raise
        pipes.report_asset_materialization(metadata=found.model_dump(exclude={"chosen"}))


def tune(container: JobContainer, pipes: PipesContext) -> SearchResult:
    """Search, and write the outputs.

    Args:
        container: gives the job's parameters, inputs and output folders.
        pipes: for logs and progress messages.

    Raises:
        PermanentFailure: the data or the configuration is invalid, the database for searches cannot
            be used, or no trial came to an end.
    """
    phases = Phases(pipes, container)
    job = SearchJob.from_container(container)
    if job.method == "trials" and (url := storage_url()):
        open_storage(url)  # a wrong one is known before PyTorch is loaded
    phases.begin("imports", "loading PyTorch")
    with without_collection("lightning.pytorch"):
        from training.data.data import DataSource

    source = DataSource(
        job.dataset, job.dataset_version, job.task, job.labels, container.scratch_dir
    )
    if job.method == "learning_rate":
        found = _rate_found(job, source, container, phases, pipes)
    else:
        found = _searched(job, source, container, phases, pipes)
    (container.output_dir / SEARCH).write_text(found.model_dump_json(), encoding="utf-8")
    return found


def _searched(
    job: SearchJob,
    source: "DataSource",
    container: JobContainer,
    phases: Phases,
    pipes: PipesContext,
) -> SearchResult:
    """Try configurations, and write the study and its pictures; see :func:`tune`."""
    phases.begin("search", _plan(job))
    folder = container.checkpoint_dir
    search = Search(folder, job.space, job.base.seed, phases.say, job.name)
    search.run(job.limits, _Trials(job, source, container, phases).train)
    best, states = search.best, [trial.state.name for trial in search.ended()]
    phases.begin("pictures", "")
    with optional_picture("of the search", pipes.log.warning):
        draw_search(container.output_dir, search.study)
    (container.output_dir / TRIALS).write_text(json.dumps(search.table()), encoding="utf-8")
    copied = container.output_dir / f".{STUDY}"
    copied.unlink(missing_ok=True)
    search.copy_to(copied)
    put_in_place(copied, container.output_dir / STUDY)
    return SearchResult(
        chosen=search.values(best),
        val_loss=float(best.value or 0.0),
        trials=len(states),
        pruned=states.count("PRUNED"),
        failed=states.count("FAIL"),
        seconds=round(search.spent_s(), 1),
    )


def _rate_found(
    job: SearchJob,
    source: "DataSource",
    container: JobContainer,
    phases: Phases,
    pipes: PipesContext,
) -> SearchResult:
    """Find the learning rate by a range test, and draw it; see :func:`tune`."""
    from training.fitting.rate_range import range_test

    trials = _Trials(job, source, container, phases)
    phases.begin("search", f"a range test of the learning rate of {job.base.architecture}")
    begun = time.monotonic()
    net = trials.built(job.base)
    found = range_test(
        net,
        job.base,
        task=job.task,
        classes=len(job.labels),
        train=trials.split("train", net.preprocessing),
        scratch=container.scratch_dir,
        progress=lambda done, total: phases.count("steps", done, total),
    )
    best = found.suggested
    with optional_picture(RATES, pipes.log.warning):
        draw_rates(container.output_dir / RATES, found.rates, found.losses, best)
    return SearchResult(
        chosen={"architecture": job.base.architecture, "learning_rate": best},
        val_loss=None,
        trials=1,
        pruned=0,
        failed=0,
        seconds=round(time.monotonic() - begun, 1),
    )


def _plan(job: SearchJob) -> str:
    searched = ", ".join(job.space.dimensions) or "nothing: every value is fixed"
    return (
        f"searching {searched}: at most {job.limits.trials} trials and "
        f"{job.limits.seconds / 60:.0f} minutes"
    )


@dataclass
class _Trials:
    """Trains each trial; the attributes are those of the job, and ``begun`` counts trials."""

    job: SearchJob
    source: "DataSource"
    container: JobContainer
    phases: Phases
    begun: int = 0

    def train(self, values: Mapping[str, Any], folder: Path, report: Report) -> float:
        """Train with the values of a trial.

        Args:
            values: by hyperparameter.
            folder: for checkpoints.
            report: called after each epoch; may end the trial.

        Returns:
            The validation loss.
        """
        from training.container.hardware import uses_bf16
        from training.fitting.fit import fit
        from training.fitting.head_start import start_head

        self.begun += 1
        steps = f"steps of trial {self.begun}"
        parameters, classes = tried(self.job.base, values), len(self.job.labels)
        net = self.built(parameters)

        def epoch(numbers: dict[str, float]) -> None:
            report(int(numbers["epoch"]), numbers["val_loss"])

        train = self.split("train", net.preprocessing)

        def start() -> None:
            if parameters.head_start:
                start_head(net, train, task=self.job.task, bf16=uses_bf16(parameters))

        trained = fit(
            net,
            parameters,
            task=self.job.task,
            classes=classes,
            train=train,
            val=self.split("val", net.preprocessing),
            checkpoints=folder,
            scratch=self.container.scratch_dir,
            start=start,
            report=epoch,
            progress=lambda done, total: self.phases.count(steps, done, total),
            warn=self.phases.say,
        )
        return trained.val_loss

    def built(self, parameters: Hyperparameters) -> "Classifier":
        """Build a net with its pretrained weights."""
        import torch

        from training.fitting.architectures import build, load_weights

        torch.manual_seed(parameters.seed)
        files = [self.job.weights[parameters.architecture]]
        return build(parameters, len(self.job.labels), load_weights(parameters, files))

    def split(self, name: str, preprocessing: "Preprocessing") -> "LabelledImages":
        """Return the images of a split; they are decoded once for each size."""
        return self.source.split(
            name,
            preprocessing,
            lambda *numbers: self.phases.count(f"{name} images read", *numbers),
        )


if __name__ == "__main__":
    main()
    leave()
