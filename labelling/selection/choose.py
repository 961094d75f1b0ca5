"""Choose the images of the pool that are most worth labelling."""

from collections.abc import Callable, Mapping

from labelling.selection.mix import DEFAULT_WEIGHTS
from labelling.selection.pool import Choice, Pool


def choose(
    pool: Pool,
    size: int,
    *,
    exploration_share: float,
    weights: Mapping[str, float],
    seed: int,
    doubts: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> list[Choice]:
    """Choose the ``size`` images most worth labelling, fewer if the pool is smaller.

    First corrections and label conflicts, up to half of the batch if there are enough other images;
    if ``doubts`` asks for more of them, these come on top of ``size``. Then ``exploration_share``
    of the batch at random from all splits. The rest comes from the training split, by the weighted
    mean of the other reasons, spread over the feature space (``labelling.selection.design``; before
    there is a model, ``labelling.selection.herding``).

    At most one image of a near-duplicate group is chosen, and none of a group with a labelled
    image, except for conflicts and corrections.

    Args:
        pool: the candidates, and what is known of them.
        size: images wanted.
        exploration_share: 0…1; at 0 no image of the validation or test split is chosen.
        weights: weights of reasons that replace those in ``DEFAULT_WEIGHTS``; 0 turns one off.
        seed: the same pool, size and seed give the same choices.
        doubts: corrections and conflicts to choose, if there are so many, however small ``size``
            is.
        progress: called with the number of images chosen and ``size``.

    Returns:
        The choices in the order of ``priority``.

    Raises:
        ValueError: a weight is negative or of an unknown reason, or the share is not from 0 to 1.
    """
    from labelling.selection.batch import BatchSelection

    return BatchSelection(
        pool, size, exploration_share, _checked(weights), seed, doubts, progress
    ).fill()


def _checked(weights: Mapping[str, float]) -> dict[str, float]:
    """The default weights, updated with ``weights``."""
    unknown = sorted(set(weights) - set(DEFAULT_WEIGHTS))
    if unknown:
        raise ValueError(
            f"no weight is known for {', '.join(unknown)}; there are {', '.join(DEFAULT_WEIGHTS)}"
        )
    negative = [f"{name} = {weight:g}" for name, weight in weights.items() if not weight >= 0]
    if negative:
        raise ValueError(f"a weight is 0 or more, not {', '.join(negative)}")
    return DEFAULT_WEIGHTS | dict(weights)
