"""Whether a challenger is worth training, and for how many epochs; pure."""

from dataclasses import dataclass

from labelling.report.words import count

ENOUGH_TRAINING_IMAGES = 500
"""Fewer images are not fine-tuned: of so few, a regression on frozen features is hardly ever beaten."""

ENOUGH_TEST_IMAGES = 100
"""With fewer, the better of two models is the luckier one: at 90 % accuracy, the standard error on 100
images is 3 points."""

LEAST_EPOCHS = 3
"""Fewer are not worth it, unless the settings ask for fewer: one warms up, one is annealed."""


@dataclass(frozen=True)
class Plan:
    """How long a challenger is trained.

    Attributes:
        epochs: number; 0: none is trained.
        seconds: estimate of the whole job.
        reason: the estimate for people, or why none is trained.
    """

    epochs: int
    seconds: float
    reason: str


def too_few_images(train: int, test: int) -> str:
    """Return why a data set has too few images for a challenger; "" if it has enough.

    Args:
        train: images of the training split.
        test: images of the test split.
    """
    if train < ENOUGH_TRAINING_IMAGES:
        return (
            f"{count(train, 'training image')} are too few to fine-tune on "
            f"({ENOUGH_TRAINING_IMAGES} are enough)"
        )
    if test < ENOUGH_TEST_IMAGES:
        return (
            f"{count(test, 'test image')} are too few to tell which of two models is better "
            f"({ENOUGH_TEST_IMAGES} are enough)"
        )
    return ""


def plan_epochs(*, wanted: int, epoch_s: float, beside_s: float, budget_minutes: float) -> Plan:
    """Plan as many of the wanted epochs as the budget allows.

    Args:
        wanted: epochs that the settings ask for.
        epoch_s: measured time of an epoch in seconds.
        beside_s: measured time of what a job does beside them: start, decoding, export (seconds).
        budget_minutes: for the whole job.
    """
    possible = int((budget_minutes * 60 - beside_s) // epoch_s)
    epochs = min(wanted, possible)
    total = epochs * epoch_s + beside_s
    each = f"{_duration(epoch_s)} each (measured)"
    if epochs < min(LEAST_EPOCHS, wanted):
        needed = min(LEAST_EPOCHS, wanted) * epoch_s + beside_s
        return Plan(
            0,
            0.0,
            f"{count(min(LEAST_EPOCHS, wanted), 'epoch')} of {each} and {_duration(beside_s)} "
            f"beside them take {_duration(needed)}, and training.budget_minutes allows "
            f"{budget_minutes:g} min",
        )
    fewer = f" of {wanted}, as the budget is {budget_minutes:g} min" if epochs < wanted else ""
    return Plan(
        epochs,
        total,
        f"{count(epochs, 'epoch')}{fewer}, {each}, and {_duration(beside_s)} beside them: about "
        f"{_duration(total)}",
    )


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
