"""Choose from the pool the images that are most worth a person's time."""

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
    """The ``size`` images most worth labelling, fewer if there are not so many.

    First what is known to be wrong: corrections and label conflicts, up to half of the batch if
    there is enough else; of ``doubts`` of them the rest comes on top of ``size``, so that they
    take nobody's place. Then ``exploration_share`` of the batch at random from all splits. The
    rest from the training split, by the weighted mean of the other reasons, spread so that no
    two say the same (``labelling.selection.design``; before there is a model,
    ``labelling.selection.herding``).

    One image of a near-duplicate group, and none of a group that holds a labelled one: a second
    picture of the same thing teaches next to nothing. Conflicts and corrections are exempt
    from the latter.

    Args:
        exploration_share: 0…1; at 0 no image of the validation or test split is chosen.
        weights: of reasons, instead of those in ``DEFAULT_WEIGHTS``; 0 turns one off.
        seed: the same pool, size and seed give the same choices.
        doubts: of what is known to be wrong so many are chosen, if there are, however small
            ``size`` is.
        progress: told how many are chosen, of how many.

    Returns:
        In the order of ``priority``.

    Raises:
        ValueError: a weight is negative or of no reason, or a share is no share.
    """
    from labelling.selection.batch import BatchSelection

    return BatchSelection(
        pool, size, exploration_share, _checked(weights), seed, doubts, progress
    ).fill()


def _checked(weights: Mapping[str, float]) -> dict[str, float]:
    """The default weights with ``weights`` in their places."""
    unknown = sorted(set(weights) - set(DEFAULT_WEIGHTS))
    if unknown:
        raise ValueError(
            f"no weight is known for {', '.join(unknown)}; there are {', '.join(DEFAULT_WEIGHTS)}"
        )
    negative = [f"{name} = {weight:g}" for name, weight in weights.items() if not weight >= 0]
    if negative:
        raise ValueError(f"a weight is 0 or more, not {', '.join(negative)}")
    return DEFAULT_WEIGHTS | dict(weights)
