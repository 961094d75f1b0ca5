"""The summary of a source before anything is written, for people and for scripts."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from labelling.labels.form import normal_label
from labelling.sources.containers.containers import Rejection
from labelling.sources.reading import Ignored, Reading

EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class ClassFact:
    """A class: its number of images, and one of them."""

    name: str
    images: int
    example: str


@dataclass(slots=True)
class SourceFacts:
    """The summary of a source.

    Attributes:
        source: the name under which its images are stored.
        layout: how it was read, in words.
        images: number of files that may be images.
        classes: by name.
        several: images with more than one label.
        negatives: images labelled with none of the labels.
        unlabelled: images without a statement, and the first of them.
        splits: images by the split that the source gives them.
        no_split: images without a split in a source with splits, and folders of such images.
        refused: files and lines that cannot be used, by reason.
        ignored: what is skipped, by reason.
        warnings: what was decided without asking.
        doubts: questions with their answers (option and result).
    """

    source: str
    layout: str
    images: int
    classes: list[ClassFact] = field(default_factory=list)
    several: int = 0
    negatives: int = 0
    unlabelled: int = 0
    unlabelled_examples: list[str] = field(default_factory=list)
    splits: dict[str, int] = field(default_factory=dict)
    no_split: int = 0
    no_split_folders: list[str] = field(default_factory=list)
    refused: list[Ignored] = field(default_factory=list)
    ignored: list[Ignored] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    doubts: list[dict[str, Any]] = field(default_factory=list)

    @property
    def is_open(self) -> bool:
        """Whether an open question decides the labels; then no classes are given."""
        return any(
            not any(answer["option"] == "--yes" for answer in doubt["answers"])
            for doubt in self.doubts
        )


def source_facts(reading: Reading) -> SourceFacts:
    """Summarise a source in one pass over its names."""
    facts = SourceFacts(reading.stem, reading.layout, len(reading.names))
    counts: Counter[str] = Counter()
    examples: dict[str, str] = {}
    splits: Counter[str] = Counter()
    for name in reading.names.values():
        labels = reading.labels.get(name)
        if labels is None:
            facts.unlabelled += 1
            if len(facts.unlabelled_examples) < EXAMPLES:
                facts.unlabelled_examples.append(name)
        elif not labels:
            facts.negatives += 1
        else:
            facts.several += len(labels) > 1
            for label in map(_normal, labels):
                counts[label] += 1
                examples.setdefault(label, name)
        if split := reading.splits.get(name):
            splits[split] += 1
        else:
            _count_without_split(facts, name)
    if not splits:
        facts.no_split, facts.no_split_folders = 0, []
    facts.classes = [ClassFact(name, counts[name], examples[name]) for name in sorted(counts)]
    facts.splits = {split: splits[split] for split in ("train", "val", "test") if splits[split]}
    facts.refused = grouped(reading.rejections)
    facts.ignored = list(reading.ignored)
    facts.warnings = list(reading.warnings)
    facts.doubts = [
        {
            "question": doubt.question,
            "answers": [{"option": option, "then": then} for option, then in doubt.answers],
        }
        for doubt in reading.doubts
    ]
    return facts


def _count_without_split(facts: SourceFacts, name: str) -> None:
    facts.no_split += 1
    folder = f"{name.partition('/')[0]}/" if "/" in name else "the top folder"
    if len(facts.no_split_folders) < EXAMPLES and folder not in facts.no_split_folders:
        facts.no_split_folders.append(folder)


def grouped(rejections: Sequence[Rejection]) -> list[Ignored]:
    """Group rejections by their reason: the most frequent first, with three examples each."""
    names: dict[str, list[str]] = {}
    for rejection in rejections:
        names.setdefault(rejection.reason, []).append(rejection.name)
    groups = [Ignored(why, len(found), tuple(found[:EXAMPLES])) for why, found in names.items()]
    return sorted(groups, key=lambda group: -group.count)


_normal = lru_cache(maxsize=4096)(normal_label)
