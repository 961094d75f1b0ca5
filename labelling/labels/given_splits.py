"""Sentences about a source that comes with splits."""

from collections.abc import Iterable, Mapping, Sequence

NAMES = {"train": "train", "val": "validation", "test": "test"}


def given_splits_text(
    counts: Mapping[str, int],
    *,
    keep: bool,
    option: str = "--keep-splits",
    without: int = 0,
    where: Sequence[str] = (),
) -> list[str]:
    """Sentences about the splits of a source, for its summary.

    Args:
        counts: images by split that the source gives; empty: it gives no splits.
        keep: whether the splits are kept.
        option: the option that keeps them.
        without: number of images without a split.
        where: folders with such images.
    """
    given = [split for split in NAMES if counts.get(split)]
    if not given:
        return []
    counts_text = ", ".join(f"{NAMES[split]} {counts[split]:,}" for split in given)
    counts_text += f", in no split {without:,}" if without else ""
    if not keep:
        return [
            f"It comes with splits ({counts_text}). They are not used: the line deals its own, so that "
            "near-duplicates share a split, every class is in each, and an image never changes "
            f"its split as the data grows. To keep the given ones: {option}"
        ]
    notes = [
        f"Its splits are kept ({counts_text}): a test image stays one, and near-duplicates of one another "
        "share a split, test before validation before train"
    ]
    if without:
        notes.append(
            f"No split is given for {without:,} image{'' if without == 1 else 's'} (in "
            f"{', '.join(where)}): the line deals {'it' if without == 1 else 'them'}, once labelled, "
            "to training, validation or test. To give a split, name a folder train, validation or test"
        )
    if "train" not in given:
        return [*notes, "It gives no training set: its images are not trained on"]
    lacking = [split for split in ("val", "test") if split not in given]
    if lacking:
        names = " and ".join(NAMES[split] for split in lacking)
        notes.append(f"It gives no {names} set: {names} images are dealt out of its training set")
    return notes


def no_splits_message(source: str, notes: Iterable[str]) -> str:
    """The message that ``--keep-splits`` has no splits to keep.

    Args:
        source: its name.
        notes: notes about the source; those about splits are repeated.
    """
    seen = [note for note in notes if "splits" in note]
    why = "; ".join(seen) or "no folders such as train and test, and no list or column of them"
    return f"--keep-splits: {source} gives no splits: {why}"
