"""The label schema: which labels exist, and which sets of labels are valid."""

from collections.abc import Iterable, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from labelling.labels.foreign_text import label_flaw
from labelling.labels.form import normal_label

Task = Literal["single_label", "multi_label"]

NONE_OF_THEM = "none of the labels"
"""Shown for an image that is labelled with none of the labels."""

NO_LABEL = (
    "no label, where the task is single_label and an image has exactly one; set task = "
    '"multi_label" under [labels] in imgclf.toml to allow images with none of the labels'
)


def in_words(labels: Iterable[str]) -> str:
    """``labels`` as text for a sentence."""
    return ", ".join(labels) or NONE_OF_THEM


class LabelSchema(BaseModel):
    """What counts as a label.

    ``names`` lists the labels in the order the model reports them. Empty means
    *open*: every label that is ingested counts, in alphabetical order.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: Task = Field(
        "single_label",
        description="single_label: exactly one label an image; multi_label: any number, also none.",
    )
    names: tuple[str, ...] = Field(
        (), description="The labels, in order. Empty: every label that is ingested counts."
    )

    @field_validator("names")
    @classmethod
    def _unique(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        if any(not name.strip() or name != name.strip() for name in given):
            raise ValueError("labels.names holds an empty label or one with spaces around it")
        names = tuple(map(normal_label, given))
        doubled = sorted({name for name in names if names.count(name) > 1})
        if doubled:
            raise ValueError(f"labels.names lists {', '.join(doubled)} more than once")
        if flaws := [flaw for name in names if (flaw := label_flaw(name))]:
            raise ValueError(f"labels.names: {'; '.join(flaws)}")
        return names

    def taken_for(self, label: str) -> str:
        """The label that ``label`` counts as: its normal form, or the one of ``names`` that differs
        from it only in case."""
        label = normal_label(label)
        if not self.names or label in self.names:
            return label
        alike = [name for name in self.names if name.casefold() == label.casefold()]
        return alike[0] if len(alike) == 1 else label

    def written(self, labels: Iterable[str]) -> tuple[str, ...]:
        """Apply :meth:`taken_for` to ``labels``. Two spellings of one label become one; a label
        given twice in one spelling stays, so that :meth:`problem` reports it."""
        given = tuple(labels)
        taken = tuple(map(self.taken_for, given))
        return taken if len(set(given)) < len(given) else tuple(dict.fromkeys(taken))

    def problem(self, labels: Sequence[str]) -> str | None:
        """Why ``labels`` are not valid for an image under this schema; ``None`` if they are.

        An empty sequence states that the image has none of the labels (a negative).
        """
        if not labels:
            return None if self.task == "multi_label" else NO_LABEL
        if flaws := [flaw for label in labels if (flaw := label_flaw(label))]:
            return "; ".join(flaws)
        if len(set(labels)) != len(labels):
            return f"a label given twice: {'|'.join(labels)}"
        if self.task == "single_label" and len(labels) > 1:
            return (
                f"{len(labels)} labels ({'|'.join(labels)}) where the task is single_label; "
                'set task = "multi_label" under [labels] in imgclf.toml to allow several'
            )
        unknown = [label for label in labels if self.names and label not in self.names]
        if unknown:
            return (
                f"unknown label {', '.join(map(repr, unknown))}; known: {', '.join(self.names)} "
                "(names under [labels] in imgclf.toml)"
            )
        return None
