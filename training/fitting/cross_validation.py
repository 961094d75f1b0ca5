"""Scores by cross-validation: what a model of this kind reaches on images that it was not fitted on."""

import numpy as np
import torch

from training.artefact.artefact import Task
from training.artefact.predictor import decide
from training.evaluation import metrics
from training.evaluation.intervals import score_intervals
from training.evaluation.report import CrossValidation
from training.fitting.calibration import fit_temperature, fit_thresholds
from training.fitting.held_out import HeldOut


def cross_validated(
    held_out: HeldOut, task: Task, labels: tuple[str, ...]
) -> CrossValidation | None:
    """Compute the scores of held-out logits; ``None`` if they are not of a cross-validation.

    Temperature and thresholds of a fold are fitted on the other folds, so that no image decides about
    its own answer.

    Args:
        held_out: of the probe.
        task: single_label or multi_label.
        labels: names of the classes.
    """
    if held_out.folds < 2:
        return None
    several = task == "multi_label"
    probabilities = np.zeros_like(held_out.logits)
    decided: list[tuple[str, ...]] = [()] * len(probabilities)
    for fold in range(held_out.folds):
        here = held_out.fold == fold
        logits, targets = (
            torch.from_numpy(part[~here]) for part in (held_out.logits, held_out.targets)
        )
        temperature = fit_temperature(logits, targets, task)
        thresholds = {}
        if several:
            others = (logits / temperature).sigmoid().numpy()
            thresholds = fit_thresholds(others, held_out.targets[~here], labels)
        own = torch.from_numpy(held_out.logits[here]) / temperature
        probabilities[here] = (own.sigmoid() if several else own.softmax(1)).numpy()
        answers = decide(probabilities[here], labels, thresholds)
        for place, answer in zip(np.flatnonzero(here).tolist(), answers, strict=True):
            decided[place] = answer
    truth = held_out.targets > 0 if several else np.eye(len(labels), dtype=bool)[held_out.targets]
    outcome = metrics.outcome(
        [[labels[column] for column in np.flatnonzero(row)] for row in truth],
        decided,
        probabilities,
        task=task,
        labels=labels,
        model_labels=labels,
    )
    found = metrics.scores(outcome, task=task, labels=labels).model_dump()
    found["intervals"] = score_intervals(outcome, held_out.groups.tolist(), of_labels=several)
    return CrossValidation(**found, folds=held_out.folds, images=len(truth))
