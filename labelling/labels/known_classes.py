"""The existing classes, and the class that an incoming label counts as."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from labelling.labels.foreign_text import visible
from labelling.labels.form import normal_label
from labelling.labels.schema import LabelSchema


@dataclass(frozen=True)
class KnownClasses:
    """The classes that the labels of a source are compared with.

    Attributes:
        labels: the classes in use or listed, by their present names.
        given: the label schema of the settings.
        present: the same with present names.
        aliases: former name to present name.
    """

    labels: frozenset[str] = frozenset()
    given: LabelSchema = field(default_factory=LabelSchema)
    present: LabelSchema = field(default_factory=LabelSchema)
    aliases: Mapping[str, str] = field(default_factory=dict)

    def counts_as(self, label: str) -> str:
        """The class that ``label`` counts as."""
        written = self.given.taken_for(label)
        return self.present.taken_for(self.aliases.get(written, written))

    def notes(self, labels: Iterable[str]) -> list[str]:
        """A sentence about each of ``labels`` that counts as another class."""
        found = []
        for label in sorted({normal_label(label) for label in labels}):
            counts = self.counts_as(label)
            if counts == label:
                continue
            why = "it is listed under [labels] in imgclf.toml"
            if self.given.taken_for(label) in self.aliases:
                why = "it was renamed: `imgclf labels` lists when, and how to undo it"
            found.append(f"{visible(label)} is taken for {visible(counts)}: {why}")
        return found
