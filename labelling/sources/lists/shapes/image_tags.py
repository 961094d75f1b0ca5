"""Tags of whole images that tools for drawing keep beside their shapes.

VGG Image Annotator's file attributes (https://www.robots.ox.ac.uk/~vgg/software/via/), V7 Darwin's
tags (https://docs.v7labs.com/reference/darwin-json), and Supervisely's image tags
(https://docs.supervisely.com/data-organization/00_ann_format_navi), and SuperAnnotate's
(https://doc.superannotate.com/docs/image-project-json). A file with shapes is detection.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from labelling.labels.foreign_text import visible
from labelling.sources.doubt import Doubt
from labelling.sources.lists.files.finder import folder_of
from labelling.sources.lists.files.index import base_name
from labelling.sources.lists.labels.not_labels import SAYS_WHERE
from labelling.sources.lists.list_format import (
    ListReading,
    ListRefusedError,
    Surroundings,
    WrongColumnsError,
    one_label_column,
)
from labelling.sources.lists.plain_json.document import JsonDocument
from labelling.sources.lists.statements import Statements
from labelling.sources.reading import ReadingOptions

_SHOWN = 4
_OWN_ATTRIBUTES = frozenset({"caption", "public_domain", "image_url"})
"""VGG Image Annotator's default attributes, which are not labels."""

_WITH_VALUE = "a tag with a value, which is no class; write a CSV with the columns file,labels"


class ViaAttributes:
    """``{"a.jpg123": {"filename": "a.jpg", "regions": [], "file_attributes": {"kind": "cat"}}}``."""

    name = "VGG Image Annotator's file attributes"

    def read(
        self, document: JsonDocument, options: ReadingOptions, source: Surroundings
    ) -> ListReading | None:
        """Read the file attributes of a VGG Image Annotator project without regions.

        Args:
            document: the list, decoded record by record.
            options: what the user decided.
            source: the files around the list; not used.

        Returns:
            What the attributes say, or the doubt which attribute holds the labels; ``None`` if it
            is not in this format or has regions.

        Raises:
            ListRefusedError: many images have several labels where the task is single_label, or the
                labels are a hierarchy.
        """
        value = document.value
        entries = value.get("_via_img_metadata", value) if isinstance(value, dict) else None
        if (
            not isinstance(entries, dict)
            or not entries
            or not all(map(_is_entry, entries.values()))
        ):
            return None
        if any(entry["regions"] for entry in entries.values()):
            return None
        return read_attributes(document.name, entries, options)


def read_attributes(
    list_name: str, entries: Mapping[str, Mapping[str, Any]], options: ReadingOptions
) -> ListReading | None:
    """Read the file attribute that holds the labels, or ask which one does.

    Args:
        list_name: of the list, for messages.
        entries: the entries of the images (``filename``, ``file_attributes``), by place.
        options: what the user decided.

    Raises:
        WrongColumnsError: ``--columns`` names an attribute that does not exist.
    """
    given = _counted([*entries.values()])
    wanted = one_label_column(list_name, options)
    numbers = dict(zip(map(str, range(1, len(given) + 1)), given, strict=True))
    if (
        wanted is not None
        and (wanted := wanted if wanted in given else numbers.get(wanted)) is None
    ):
        raise WrongColumnsError(
            f"--columns: {list_name} has no such attribute; it has {', '.join(given)} "
            f"(1 to {len(given)})"
        )
    attributes = [wanted] if wanted else [one for one in given if one not in _OWN_ATTRIBUTES]
    if not attributes:
        return None
    if len(attributes) > 1:
        question = f"Which attribute of {visible(list_name)} holds the labels?"
        answers = [
            (f"--columns filename,{number}", f"{one}: {_shown(given[one])}")
            for number, one in numbers.items()
            if one in attributes
        ]
        return ListReading(ViaAttributes.name, (), doubts=[Doubt(question, tuple(answers))])
    statements = Statements(list_name, options)
    for key, entry in entries.items():
        labels = _chosen(entry["file_attributes"].get(attributes[0]))
        statements.add(f"{list_name} {key}", entry["filename"], labels or None)
    return statements.reading(f"{ViaAttributes.name} ({attributes[0]})")


def _is_entry(entry: object) -> bool:
    return (
        isinstance(entry, dict)
        and "filename" in entry
        and isinstance(entry.get("regions"), list | dict)
        and isinstance(entry.get("file_attributes"), dict)
    )


def _counted(entries: Sequence[Mapping[str, Any]]) -> dict[str, Counter[str]]:
    """How often each answer was given, by attribute."""
    counts: dict[str, Counter[str]] = {}
    for entry in entries:
        for attribute, answer in entry["file_attributes"].items():
            if chosen := _chosen(answer):
                counts.setdefault(attribute, Counter()).update(chosen)
    return counts


def _chosen(answer: object) -> list[str]:
    """The chosen options: one of a list, or the ticked ones of several boxes."""
    if isinstance(answer, dict):
        return [option for option, is_set in answer.items() if is_set in (True, "true", "1", 1)]
    return [answer] if isinstance(answer, str) and answer.strip() else []


def _shown(counts: Counter[str]) -> str:
    classes = [f"{visible(label)} ({count:,})" for label, count in counts.most_common(_SHOWN)]
    return ", ".join(classes) + (", …" if len(counts) > _SHOWN else "")


def _image_and_parts(
    value: object, image_key: str, parts_key: str
) -> tuple[dict[str, Any], list[dict[str, Any]]] | None:
    """Return what a file of one image has about it (with a ``name``), and its annotations.

    Args:
        value: the decoded file.
        image_key: key of the object about the image.
        parts_key: key of the list of annotations.

    Returns:
        ``None`` if the file has another form.
    """
    image = value.get(image_key) if isinstance(value, dict) else None
    parts = value.get(parts_key) if isinstance(value, dict) else None
    if not isinstance(image, dict) or "name" not in image or not isinstance(parts, list):
        return None
    return (image, parts) if all(isinstance(one, dict) for one in parts) else None


class DarwinTags:
    """``{"item": {"name": "a.jpg", "path": "/"}, "annotations": [{"name": "cat", "tag": {}}]}``."""

    name = "V7 Darwin's tags"

    def read(
        self, document: JsonDocument, options: ReadingOptions, source: Surroundings
    ) -> ListReading | None:
        """Read the tags of one image.

        Args:
            document: the list, decoded record by record.
            options: what the user decided.
            source: the files around the list; not used.

        Returns:
            The tags as labels; ``None`` if it is not in this format.

        Raises:
            ListRefusedError: an annotation is not a tag.
        """
        image_and_parts = _image_and_parts(document.value, "item", "annotations")
        if image_and_parts is None:
            return None
        item, found = image_and_parts
        if any("tag" not in one for one in found):
            raise ListRefusedError(f"{document.name}: V7 Darwin's annotations, {SAYS_WHERE}")
        folder = str(item.get("path") or "").strip("/")
        file = f"{folder}/{item['name']}" if folder else item["name"]
        statements = Statements(document.name, options)
        labels = [one.get("name") for one in found] or None
        statements.add(document.name, file, labels, or_file=str(item["name"]))
        return statements.reading(self.name)


class SuperviselyTags:
    """``ann/a.jpg.json`` of ``img/a.jpg``: ``{"tags": [{"name": "cat"}], "objects": []}``."""

    name = "Supervisely's tags"

    def read(
        self, document: JsonDocument, options: ReadingOptions, source: Surroundings
    ) -> ListReading | None:
        """Read the tags of one image.

        Args:
            document: the list, decoded record by record.
            options: what the user decided.
            source: the files around the list; not used.

        Returns:
            The tags as labels; ``None`` if it is not in this format, or not in a folder ``ann``.

        Raises:
            ListRefusedError: there are objects: annotations of parts of the image.
        """
        value = document.value
        if not isinstance(value, dict) or not {"tags", "objects", "size"} <= value.keys():
            return None
        folder, tags = folder_of(document.name), value["tags"]
        if base_name(folder) != "ann" or not isinstance(tags, list):
            return None
        if value["objects"]:
            raise ListRefusedError(f"{document.name}: Supervisely's objects, {SAYS_WHERE}")
        image = base_name(document.name).removesuffix(".json")
        above = folder_of(folder)
        file = f"{above}/img/{image}" if above else f"img/{image}"
        statements = Statements(document.name, options)
        if any(not isinstance(tag, dict) or tag.get("value") not in (None, "") for tag in tags):
            statements.reject(f"{document.name} {image}", _WITH_VALUE)
        else:
            statements.add(document.name, file, [tag.get("name") for tag in tags] or None)
        return statements.reading(self.name)


class SuperAnnotateTags:
    """``a.jpg.json`` of ``a.jpg``: ``{"metadata": {"name": "a.jpg"}, "instances": [{"type": "tag",
    "className": "cat"}], "tags": []}``. ``tags`` are free text, read if there is no class."""

    name = "SuperAnnotate's tags"

    def read(
        self, document: JsonDocument, options: ReadingOptions, source: Surroundings
    ) -> ListReading | None:
        """Read the tags of one image.

        Args:
            document: the list, decoded record by record.
            options: what the user decided.
            source: the files around the list; not used.

        Returns:
            The tags as labels; ``None`` if it is not in this format.

        Raises:
            ListRefusedError: an instance is not a tag.
        """
        image_and_parts = _image_and_parts(document.value, "metadata", "instances")
        if image_and_parts is None:
            return None
        about, found = image_and_parts
        if any(one.get("type") != "tag" for one in found):
            raise ListRefusedError(f"{document.name}: SuperAnnotate's instances, {SAYS_WHERE}")
        classes, tags = [one.get("className") for one in found], document.value.get("tags")
        labels = classes or (tags if isinstance(tags, list) else [])
        statements = Statements(document.name, options)
        statements.add(document.name, about["name"], labels or None)
        state = str(about.get("status") or "Completed")
        return statements.reading(
            self.name if state == "Completed" else f"{self.name}, in the state {visible(state)}"
        )
