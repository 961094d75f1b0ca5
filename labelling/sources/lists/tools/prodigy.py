"""Prodigy's annotations (``prodigy db-out``): one JSON record per answer of an annotator.

https://prodi.gy/docs/api-interfaces: ``answer`` is accept, reject or ignore. ``classification``
asks about one ``label``, ``choice`` offers ``options``, and ``accept`` holds the ids of the ticked
ones. If ``image`` holds the image data, ``path`` names the file.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from labelling.sources.lists.labels.not_labels import SAYS_WHERE
from labelling.sources.lists.list_format import ListReading, ListRefusedError, Surroundings
from labelling.sources.lists.plain_json.document import JsonDocument, Record
from labelling.sources.lists.statements import Statements, as_label, count_of
from labelling.sources.reading import ReadingOptions

_ANSWERS = frozenset({"accept", "reject", "ignore"})
_DISAGREE = "annotators disagree; settle it in Prodigy, or take lines out"


@dataclass(slots=True)
class _Image:
    """The answers about one image, and the place of the first one."""

    place: str
    accepted: dict[str, None] = field(default_factory=dict)
    rejected: dict[str, None] = field(default_factory=dict)
    choices: list[tuple[str, ...]] = field(default_factory=list)


class Prodigy:
    """``{"image": "a.jpg", "label": "cat", "answer": "accept"}``, a line each."""

    name = "Prodigy's annotations"

    def read(
        self, document: JsonDocument, options: ReadingOptions, source: Surroundings
    ) -> ListReading | None:
        """Read the answers of the annotators, and unite those about one image.

        Args:
            document: the list, decoded record by record.
            options: what the user decided.
            source: the files around the list; not used.

        Returns:
            What was accepted; ``None`` if it is not in this format.

        Raises:
            ListRefusedError: there are spans: annotations of parts of images.
        """
        if not document.sample or not document.mostly(_is_ours):
            return None
        statements = Statements(document.name, options)
        counts = dict.fromkeys(("reject", "ignore", "no answer"), 0)
        images: dict[str, _Image] = {}
        for record in statements.usable(document.records()):
            if file := _file(record.value):
                image = images.setdefault(file, _Image(record.place))
                answer = _take(document.name, record, image)
                if answer in counts:
                    counts[answer] += 1
            else:
                statements.reject(record.place, "names no image")
        for file, image in images.items():
            _say(statements, file, image)
        parts = [
            f"{answer}: {count_of(count, 'record')}" for answer, count in counts.items() if count
        ]
        warnings = [f"say nothing about their images: {', '.join(parts)}"] if parts else []
        return statements.reading(f"{self.name}, labels of what was accepted", warnings)


def _is_ours(record: Mapping[str, Any]) -> bool:
    labelled = any(key in record for key in ("label", "accept", "spans"))
    return str(record.get("answer")) in _ANSWERS and labelled and _file(record) is not None


def _file(record: Mapping[str, Any]) -> str | None:
    """The image of a record: its path, if ``image`` holds the data."""
    meta = record.get("meta")
    given = [record.get("image"), record.get("path"), *(_of(meta, "file", "path"))]
    return next((one for one in given if isinstance(one, str) and _is_path(one)), None)


def _of(value: object, *keys: str) -> list[object]:
    return [value.get(key) for key in keys] if isinstance(value, dict) else []


def _is_path(value: str) -> bool:
    return bool(value.strip()) and not value.startswith("data:")


def _take(name: str, record: Record, image: _Image) -> str:
    """Add one record; return its answer."""
    if record.value.get("spans"):
        raise ListRefusedError(
            f"{name} holds Prodigy's spans (first at {record.place}), {SAYS_WHERE}"
        )
    answer = str(record.value.get("answer"))
    if answer not in _ANSWERS:
        return "no answer"
    label = as_label(record.value.get("label"))
    chosen = record.value.get("accept")
    if isinstance(chosen, list):
        if answer == "accept":
            image.choices.append(tuple(_names(chosen, record.value.get("options"))))
    elif label and answer != "ignore":
        (image.accepted if answer == "accept" else image.rejected)[label] = None
    return answer


def _names(chosen: Iterable[object], options: object) -> Iterable[str]:
    """The ticked ids; for numeric ids, the text of their option."""
    texts = {
        item.get("id"): item.get("text")
        for item in (options if isinstance(options, list) else ())
        if isinstance(item, dict) and isinstance(item.get("id"), str | int)
    }
    for one in chosen:
        if isinstance(one, str | int) and str(one).isdecimal() and as_label(texts.get(one)):
            yield str(texts[one])
        else:
            yield as_label(one) or ""


def _say(statements: Statements, file: str, image: _Image) -> None:
    """Add one statement for all answers about an image."""
    different = {frozenset(one) for one in image.choices}
    both = [label for label in image.accepted if label in image.rejected]
    if len(different) > 1 or both:
        parts = both or [" / ".join("|".join(sorted(one)) or "none" for one in different)]
        statements.reject(f"{image.place} {file}: {', '.join(sorted(parts))}", _DISAGREE)
        return
    labels = [*image.accepted, *(image.choices[0] if image.choices else ())]
    # Accepted with nothing ticked: none of the options applies.
    says = bool(image.accepted or image.choices)
    statements.add(image.place, file, labels if says else None)
