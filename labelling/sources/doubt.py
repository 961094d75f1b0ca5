"""A question about a source that the user has to answer."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Doubt:
    """An open question about the source.

    Attributes:
        question: one sentence, without the answers.
        answers: pairs of an option of ``imgclf ingest`` (``--labels-from parent``) and its result
            (``classes: cat (12), dog (9)``).
    """

    question: str
    answers: tuple[tuple[str, str], ...]
