"""Suspicious near-duplicate groups: large ones, and those with different labels."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from labelling.labels.foreign_text import visible

LARGE_FROM = 10
"""Images of a group from which on its share of all images is judged."""
_EXAMPLES = 3


@dataclass(frozen=True)
class Suspect:
    """A group that holds many images, or images of different labels.

    Attributes:
        images: number of its images.
        share: of all images of the data set, in [0, 1].
        labels: (labels, number of images), the most frequent first.
        keys: some of its images, of different labels if there are.
        is_large: whether its share makes it suspicious.
    """

    images: int
    share: float
    labels: list[tuple[str, int]]
    keys: list[str]
    is_large: bool

    @property
    def sentence(self) -> str:
        """A description of the group, for people."""
        counts = ", ".join(
            f"{visible(name) or 'no label'} {count}" for name, count in self.labels[:5]
        )
        more = ", …" if len(self.labels) > 5 else ""
        files = ", ".join(visible(key) for key in self.keys)
        return (
            f"{self.images} images ({self.share:.0%} of all) count as one picture: {counts}{more} "
            f"(for example {files})"
        )


def suspect_groups(manifest: pa.Table, max_share: float) -> list[Suspect]:
    """Find groups that are large or whose images have different labels; the largest first.

    Args:
        manifest: ``labels``, ``group_id`` and ``raw_key`` of each image.
        max_share: share of all images above which a group is large, in [0, 1].
    """
    sizes = Counter(manifest["group_id"].to_pylist())
    shared = pa.array([name for name, count in sizes.items() if count > 1], pa.string())
    members: dict[str, list[tuple[str, str]]] = defaultdict(list)
    rows = manifest.select(["labels", "group_id", "raw_key"])
    for row in rows.filter(pc.is_in(rows["group_id"], value_set=shared)).to_pylist():
        members[row["group_id"]].append(("|".join(row["labels"]), row["raw_key"]))
    found = _suspects(list(members.values()), manifest.num_rows, max_share)
    return sorted(found, key=lambda one: (-one.images, one.keys))


def _suspects(
    groups: Sequence[list[tuple[str, str]]], total: int, max_share: float
) -> Iterator[Suspect]:
    for images in groups:
        labels = Counter(label for label, _ in images).most_common()
        share = len(images) / total
        is_large = share > max_share and len(images) >= LARGE_FROM
        if not is_large and len(labels) < 2:
            continue
        first = dict(sorted(images, reverse=True))
        keys = [first[label] for label, _ in labels][:_EXAMPLES]
        keys += [key for _, key in sorted(images) if key not in keys][: _EXAMPLES - len(keys)]
        yield Suspect(len(images), share, labels, keys, is_large)
