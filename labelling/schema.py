"""The label schema: which labels there are, and what a set of labels must look like."""

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

Task = Literal["single_label", "multi_label"]


class LabelSchema(BaseModel):
    """What counts as a label.

    ``names`` lists the labels in the order the model reports them. Empty means
    *open*: every label that is ingested counts, in alphabetical order.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: Task = Field(
        "single_label",
        description="single_label: exactly one label an image; multi_label: one or more.",
    )
    names: tuple[str, ...] = Field(
        (), description="The labels, in order. Empty: every label that is ingested counts."
    )

    @field_validator("names")
    @classmethod
    def _unique(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        doubled = sorted({name for name in names if names.count(name) > 1})
        if doubled:
            raise ValueError(f"labels.names lists {', '.join(doubled)} more than once")
        if any(not name.strip() or name != name.strip() for name in names):
            raise ValueError("labels.names holds an empty label or one with spaces around it")
        return names

    def problem(self, labels: Sequence[str]) -> str | None:
        """Why ``labels`` cannot label an image under this schema, or ``None`` if they can."""
        if not labels:
            return "no label"
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
