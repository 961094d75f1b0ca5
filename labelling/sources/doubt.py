"""A question about a source that a person has to answer."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Doubt:
    """A question that the source leaves open.

    Attributes:
        question: one sentence, without the answers.
        answers: the option of ``imgclf ingest`` that decides (``--labels-from parent``), and what
            would come of it (``classes: cat (12), dog (9)``).
    """

    question: str
    answers: tuple[tuple[str, str], ...]
