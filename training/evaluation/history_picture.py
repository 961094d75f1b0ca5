"""A picture of a training job's history."""

from collections.abc import Sequence
from pathlib import Path

from training.config import Recipe


def draw_history(path: Path, history: Sequence[dict[str, float]], recipe: Recipe) -> None:
    """Draw losses, accuracy and macro F1 against epochs (for a probe: regularisation strengths).

    Args:
        path: of the PNG file to write.
        history: of ``fit`` or ``fit_probe``.
        recipe: probe: the history is ``fit_probe``'s.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullLocator

    key = "c" if recipe == "probe" else "epoch"
    names = {"train_loss": "train", "val_loss": "validation"}
    scores = {"val_accuracy": "accuracy", "val_macro_f1": "macro-F1"}
    # Margins by hand, no minor ticks and numbers without powers: matplotlib takes longer for a layout
    # of its own, for ticks' empty labels and for its mathematical fonts than for all the rest.
    figure = Figure(figsize=(9, 3.2))
    FigureCanvasAgg(figure)
    margins = {"left": 0.07, "right": 0.985, "bottom": 0.16, "top": 0.9, "wspace": 0.16}
    where = [entry[key] for entry in history]
    for axes, curves, title in zip(
        figure.subplots(1, 2, gridspec_kw=margins),
        (names, scores),
        ("log-loss", "on the validation split"),
        strict=True,
    ):
        for name, label in curves.items():
            if name in history[0]:
                axes.plot(where, [entry[name] for entry in history], "o-", ms=3, label=label)
        axes.set(title=title, xlabel="inverse regularisation C" if recipe == "probe" else "epoch")
        axes.set_xscale("log" if recipe == "probe" else "linear")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter("{x:g}")
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(path, dpi=110)
