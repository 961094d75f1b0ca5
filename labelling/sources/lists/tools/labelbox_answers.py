"""The answers of one annotator about an image in Labelbox, in the old and the new format."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

_PARTS = frozenset({"objects", "classifications", "relationships"})


@dataclass(slots=True)
class Answers:
    """The labels by question, and counts of other content by kind.

    ``benchmark``: it is the reference that other answers are compared with.
    """

    choices: dict[str, tuple[str, ...]] = field(default_factory=dict)
    others: Counter[str] = field(default_factory=Counter)
    benchmark: bool = False


def answers_of(label: Mapping[str, Any]) -> Answers:
    """The answers in a label.

    Args:
        label: a record of the old export, or an element of ``labels`` of the new one.
    """
    answers = Answers()
    details = label.get("label_details")
    if isinstance(details, dict):
        answers.benchmark = details.get("is_benchmark_reference_label") is True
    content = label.get("annotations", label.get("Label"))
    if not isinstance(content, dict):
        answers.others["texts"] += content is not None
    elif "annotations" in label or not content.keys() - _PARTS:
        for item in dicts(content.get("classifications")):
            _take(answers, item)
        answers.others["drawn"] += bool(dicts(content.get("objects")))
        answers.others["drawn"] += bool(content.get("frames"))
    else:
        for question, answer in content.items():
            _take_plain(answers, str(question), answer)
    answers.others = +answers.others
    return answers


def _take(taken: Answers, item: Mapping[str, Any]) -> None:
    """Add one classification."""
    question = str(item.get("name") or item.get("title") or item.get("value") or "")
    answer = item.get("radio_answer", item.get("answer"))
    answers = item.get("checklist_answers", item.get("answers"))
    if isinstance(answer, list):
        answers = answer
    if isinstance(answers, list):
        chosen = dicts(answers)
    elif isinstance(answer, dict):
        chosen = [answer]
    else:
        taken.others["texts"] += 1
        return
    taken.choices[question] = tuple(_names(chosen))
    taken.others["answers within answers"] += any(one.get("classifications") for one in chosen)


def _names(chosen: list[Mapping[str, Any]]) -> Iterator[str]:
    for one in chosen:
        yield str(one.get("name") or one.get("title") or one.get("value") or "")


def _take_plain(answers: Answers, question: str, answer: object) -> None:
    """Add a question with its answer as text, as in the oldest exports; or count positions of
    objects."""
    texts = answer if isinstance(answer, list) else [answer]
    if all(isinstance(text, str) for text in texts):
        answers.choices[question] = tuple(text for text in texts if isinstance(text, str))
    else:
        answers.others["drawn"] += 1


def dicts(value: object) -> list[Mapping[str, Any]]:
    """The objects in a list; empty if it is not a list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
