"""Folders that seem to contain augmented copies of the images beside them."""

import shlex
from pathlib import Path

from labelling.labels.form import normal_label
from labelling.sources.folders.layouts import Layout
from labelling.sources.names.words import words

_AUGMENTED = {"aug", "augs", "augment", "augmented", "augmentation", "augmentations"}
_AUGMENTED |= {"flipped", "rotated", "mirrored", "hflip", "vflip"}
_AUGMENTED |= {"processed", "preprocessed", "resized", "cropped", "crops", "grayscale", "greyscale"}


def changed_copies(layout: Layout, source: Path) -> list[str]:
    """A note about folders of augmented images, which are ingested like all others.

    Args:
        layout: what the folders say.
        source: the path of the source.
    """
    images: dict[str, int] = {}
    others = 0
    for path, count in layout.counts.items():
        if path in layout.masks:
            continue
        found = _augmented_part(path, layout.labels.get(path))
        if found is None:
            others += count
        else:
            images[found] = images.get(found, 0) + count
    if not images or not others:
        return []
    shown = ", ".join(f"{path}/" for path in list(images)[:3])
    more = f" and {len(images) - 3} more" if len(images) > 3 else ""
    total = sum(images.values())
    return [
        f"{shown}{more} ({total:,} image{'' if total == 1 else 's'}): these may be augmented "
        "copies of other images, and are ingested as separate images. Similar copies share a "
        "split; flipped and rotated ones may not, which makes the test too easy. To leave them "
        "out, " + _remedy(layout, [*images], source)
    ]


def _augmented_part(path: str, label: str | None) -> str | None:
    """The outermost folder of ``path`` that is named so and is not a class."""
    parts = path.split("/")
    for end, part in enumerate(parts, start=1):
        if normal_label(part) != label and _AUGMENTED & {*words(part)}:
            return "/".join(parts[:end])
    return None


def _remedy(layout: Layout, copies: list[str], source: Path) -> str:
    """A command for the original images, if they are all in one folder."""
    tops = {path.split("/")[0] for path in layout.counts} - {*copies}
    if len(copies) == 1 and len(tops) == 1 and "" not in tops and "/" not in copies[0]:
        return (
            "stop, and ingest the folder beside: imgclf ingest "
            f"{shlex.quote(str(source / tops.pop()))}"
        )
    return "move them out of the source"
