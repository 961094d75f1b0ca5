"""A search on one machine: an Optuna study in a database, which a killed job goes on with."""

import hashlib
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.errors import PermanentFailure
from training.tuning.space import Choice, SearchSpace
from training.tuning.storage import STORAGE, STUDY_NAME, open_storage, storage_url, study_name

if TYPE_CHECKING:
    import optuna

TRIALS = "trials.json"
"""The trials with their values and losses, without Optuna."""

STUDY = "study.db"
"""The study's SQLite file: ``optuna-dashboard sqlite:///study.db`` shows it."""

_NAME = "hyperparameters"
_WARM_UP_TRIALS = 5
"""Trials before any is pruned, and those that are drawn at random before the model of TPE counts."""

_SECONDS = "seconds"

Report = Callable[[int, float], None]
"""Called with the number of an epoch (from 1) and its validation loss; may end the trial."""

Trial = Callable[[Mapping[str, Any], Path, Report], float]
"""Trains with the values of a trial, in a folder for checkpoints; returns the validation loss."""


@dataclass(frozen=True)
class Limits:
    """When a search ends.

    Attributes:
        trials: number of trials, pruned ones included.
        seconds: of all trials together; the trial at whose end they are over is the last.
    """

    trials: int
    seconds: float


class Search:
    """Tries configurations one after another.

    Args:
        folder: keeps the study and the checkpoints of the trial under way, from one attempt of the
            job to the next.
        space: what is tried.
        seed: of the search.
        say: called with the outcome of each trial.
        name: of the job; the study's name in a database that several jobs use begins with it.

    Raises:
        PermanentFailure: the database that the environment names (``training.tuning.storage``)
            cannot be used.
    """

    def __init__(
        self,
        folder: Path,
        space: SearchSpace,
        seed: int,
        say: Callable[[str], None],
        name: str = _NAME,
    ) -> None:
        import optuna

        folder.mkdir(parents=True, exist_ok=True)
        logging.getLogger("optuna").setLevel(logging.WARNING)
        self._folder, self._space, self._seed, self._say = folder, space, seed, say
        url = storage_url()
        self._tell_what_is_left_aside(url)
        self.study: optuna.Study = optuna.create_study(
            storage=open_storage(url) if url else f"sqlite:///{folder / STUDY}",
            study_name=study_name(folder, name) if url else _NAME,
            direction="minimize",
            load_if_exists=True,
            # At each epoch, what is worse than the better half of those before it.
            pruner=optuna.pruners.MedianPruner(n_startup_trials=_WARM_UP_TRIALS),
        )

    def _tell_what_is_left_aside(self, url: str) -> None:
        """Say that an earlier attempt of the job kept its study elsewhere, if it did."""
        in_file, in_database = (self._folder / STUDY, self._folder / STUDY_NAME)
        if url and in_file.exists() and not in_database.exists():
            self._say(
                f"the search begins anew in the database: an earlier attempt kept its trials in {STUDY}; "
                f"unset {STORAGE} to go on with them"
            )
        elif not url and in_database.exists() and not in_file.exists():
            self._say(
                f"the search begins anew in {STUDY}: an earlier attempt kept its trials in a database; "
                f"set {STORAGE} as it was to go on with them"
            )

    def run(self, limits: Limits, train: Trial) -> None:
        """Try until a limit is reached.

        A trial that was under way when the job was killed goes on from its last checkpoint. Each
        trial draws from a generator of its own, so that an interrupted search tries the same.

        Raises:
            PermanentFailure: no trial came to an end.
        """
        self._take_up()
        while len(self.ended()) < limits.trials and self.spent_s() < limits.seconds:
            self._try(train)
        if not self._complete():
            reasons = {str(trial.user_attrs.get("fault", "")) for trial in self.ended()} - {""}
            raise PermanentFailure(
                f"no trial came to an end: {'; '.join(sorted(reasons)) or 'all were pruned'}"
            )

    @property
    def best(self) -> "optuna.trial.FrozenTrial":
        """The trial of least validation loss."""
        return self.study.best_trial

    def values(self, trial: "optuna.trial.FrozenTrial") -> dict[str, Any]:
        """Return all that a trial chose, what the space fixes included."""
        return {**self._space.fixed, **trial.params}

    def _try(self, train: Trial) -> None:
        import optuna

        # Its state is not in the file; the number of trials is.
        self.study.sampler = optuna.samplers.TPESampler(
            seed=self._seed + len(self.ended()), n_startup_trials=_WARM_UP_TRIALS
        )
        trial = self.study.ask()
        values = self._space.suggest(trial)
        begun, before = time.monotonic(), float(trial.user_attrs.get(_SECONDS, 0.0))
        losses: list[float] = []

        def report(epoch: int, loss: float) -> None:
            losses.append(loss)
            trial.report(loss, epoch)
            trial.set_user_attr(_SECONDS, before + time.monotonic() - begun)
            if trial.should_prune():
                raise optuna.TrialPruned

        state, score, end = optuna.trial.TrialState.COMPLETE, None, ""
        try:
            score = train(values, self._place(values), report)
            end = f"validation loss {score:.4f}"
        except optuna.TrialPruned:
            state = optuna.trial.TrialState.PRUNED
            end = f"pruned after epoch {len(losses)}, validation loss {losses[-1]:.4f}"
        except PermanentFailure as error:  # such as a rate with which it diverges
            state, end = optuna.trial.TrialState.FAIL, f"failed: {error}"
            trial.set_user_attr("fault", str(error))
        trial.set_user_attr(_SECONDS, before + time.monotonic() - begun)
        self.study.tell(trial, score, state)
        shown = ", ".join(f"{name} {_short(value)}" for name, value in values.items())
        self._say(f"trial {trial.number + 1}: {end} ({shown})")

    def _take_up(self) -> None:
        """Put trials that an earlier attempt of the job left under way at the head of the queue."""
        import optuna

        for left in self.study.get_trials(states=[optuna.trial.TrialState.RUNNING]):
            seconds = {_SECONDS: left.user_attrs.get(_SECONDS, 0.0)}
            self.study.tell(left.number, state=optuna.trial.TrialState.FAIL)
            self.study.enqueue_trial(left.params, user_attrs={**seconds, "goes_on": left.number})

    def ended(self) -> "list[optuna.trial.FrozenTrial]":
        """Return the trials that count: not those that were killed and went on as another one."""
        went_on = {
            trial.user_attrs["goes_on"]
            for trial in self.study.trials
            if "goes_on" in trial.user_attrs
        }
        return [
            trial
            for trial in self.study.trials
            if trial.state.is_finished() and trial.number not in went_on
        ]

    def table(self) -> list[dict[str, Any]]:
        """Return the trials that count, in their order, as values that ``json`` can serialize."""
        return [
            {
                "number": trial.number + 1,
                "state": trial.state.name.lower(),
                "fault": str(trial.user_attrs.get("fault", "")),
                "values": self.values(trial),
                "val_loss": trial.value,
                "epochs": {str(step): loss for step, loss in trial.intermediate_values.items()},
                "started_at": _moment(trial.datetime_start),
                "ended_at": _moment(trial.datetime_complete),
            }
            for trial in self.ended()
        ]

    def copy_to(self, path: Path) -> None:
        """Write the study to a new SQLite file."""
        import optuna

        optuna.copy_study(
            from_study_name=self.study.study_name,
            from_storage=self.study._storage,
            to_storage=f"sqlite:///{path}",
            to_study_name=_NAME,
        )

    def _complete(self) -> "list[optuna.trial.FrozenTrial]":
        import optuna

        return self.study.get_trials(states=[optuna.trial.TrialState.COMPLETE])

    def spent_s(self) -> float:
        """Return the seconds of all trials together."""
        return sum(float(trial.user_attrs.get(_SECONDS, 0.0)) for trial in self.ended())

    def _place(self, values: Mapping[str, Any]) -> Path:
        """Return the folder of a configuration's checkpoints."""
        digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
        place = self._folder / f"trial-{digest[:16]}"
        place.mkdir(parents=True, exist_ok=True)
        return place


def _moment(time: datetime | None) -> str | None:
    return time.astimezone(UTC).isoformat() if time else None


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def study_of(
    space: SearchSpace, trials: Sequence[tuple[Mapping[str, Any], float | None]]
) -> "optuna.Study":
    """Return a study in memory of trials that were tried elsewhere, to be drawn.

    Args:
        space: that they are from.
        trials: values of what is searched, and the validation loss (``None``: it has none).
    """
    import optuna

    known: dict[str, optuna.distributions.BaseDistribution] = {
        name: optuna.distributions.CategoricalDistribution(one.values)
        if isinstance(one, Choice)
        else optuna.distributions.FloatDistribution(one.low, one.high, log=True)
        for name, one in space.dimensions.items()
    }
    study = optuna.create_study(direction="minimize")
    for values, loss in trials:
        state = optuna.trial.TrialState.FAIL if loss is None else optuna.trial.TrialState.COMPLETE
        params = {name: values[name] for name in known}
        study.add_trial(
            optuna.trial.create_trial(params=params, distributions=known, value=loss, state=state)
        )
    return study
