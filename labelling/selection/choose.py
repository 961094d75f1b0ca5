"""Choose the images of the pool that are most worth labelling."""

from labelling.selection.pool import Choice, Pool


def choose(
    pool: Pool, size: int, *, exploration_share: float, seed: int, doubts: int = 0
) -> list[Choice]:
    """Choose the ``size`` images most worth labelling, fewer if the pool is smaller.

    First corrections and label conflicts, up to half of the batch if there are enough other images;
    if ``doubts`` asks for more of them, these come on top of ``size``. Then ``exploration_share``
    of the batch at random from all splits. The rest comes from the training split, by margin
    sampling: the images of which the model is least sure
    (``labelling.selection.reasons.uncertainty``). Before there is a model, all is at random.

    No way to spread the choice that was tried saves a tenth of the labels against this one
    (``benchmarks/label_efficiency.py``).

    At most one image of a near-duplicate group is chosen, and none of a group with a labelled
    image, except for conflicts and corrections.

    Args:
        pool: the candidates, and what is known of them.
        size: images wanted.
        exploration_share: 0…1; at 0 no image of the validation or test split is chosen.
        seed: the same pool, size and seed give the same choices.
        doubts: corrections and conflicts to choose, if there are so many, however small ``size``
            is.

    Returns:
        The choices in the order of ``priority``.

    Raises:
        ValueError: the share is not from 0 to 1.
    """
    from labelling.selection.batch import BatchSelection

    return BatchSelection(pool, size, exploration_share, seed, doubts).fill()
