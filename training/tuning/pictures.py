"""Pictures of a search: its history, what mattered, and all trials as lines."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import optuna

RATES = "learning_rates.png"
HISTORY, IMPORTANCES, COORDINATES = "history.png", "importances.png", "parallel_coordinates.png"
_DPI = 110
_LEAST_FOR_IMPORTANCES = 2
_LEAST_FOR_LINES = 1


def draw_search(folder: Path, study: "optuna.Study") -> None:
    """Draw the pictures that the trials suffice for.

    Args:
        folder: where they are written.
        study: the search.
    """
    import matplotlib as mpl

    mpl.use("agg")
    # Optuna's pictures by matplotlib are called experimental since 2020; constraints.txt pins Optuna.
    warnings.filterwarnings(
        "ignore", module=r"(optuna|training\.tuning)\.", message=".*experimental"
    )
    from optuna.visualization import matplotlib as plots

    complete = [trial for trial in study.trials if trial.value is not None]
    searched = {name for trial in complete for name in trial.params}
    _save(folder / HISTORY, plots.plot_optimization_history(study, target_name="validation loss"))
    differ = len({trial.value for trial in complete}) > 1
    if len(complete) >= _LEAST_FOR_IMPORTANCES and searched and differ:
        _save(folder / IMPORTANCES, plots.plot_param_importances(study))
    if len(complete) >= _LEAST_FOR_LINES and len(searched) > 1:
        axes = plots.plot_parallel_coordinate(study, target_name="validation loss")
        _save(folder / COORDINATES, axes)


def draw_rates(path: Path, rates: Sequence[float], losses: Sequence[float], best: float) -> None:
    """Draw the curve of a learning-rate range test.

    Args:
        path: of the picture.
        rates: learning rate of each step.
        losses: loss of each step.
        best: the suggested rate.
    """
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot

    _, axes = pyplot.subplots()
    axes.plot(rates, losses)
    axes.axvline(best, color="tab:red", linestyle="--", label=f"suggested: {best:.2g}")
    axes.set(xscale="log", xlabel="learning rate", ylabel="training loss (moving average)")
    axes.legend()
    _save(path, axes)


def _save(path: Path, axes: object) -> None:
    """Write the figure of ``axes`` (matplotlib's)."""
    from matplotlib import pyplot

    figure = axes.figure  # type: ignore[attr-defined]
    figure.set_size_inches(9, 5)
    figure.tight_layout()
    figure.savefig(path, dpi=_DPI)
    pyplot.close(figure)
