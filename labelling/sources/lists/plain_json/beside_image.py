"""A label in a file of its own beside its image: ``a.jpg.json``, ``a.json``, WebDataset's ``a.cls``.

https://github.com/webdataset/webdataset: the members of a sample share all but the suffix, and
``.cls`` holds the number of its class.
"""

from dataclasses import replace

from labelling.sources.lists.columns.other_columns import is_called_answer
from labelling.sources.lists.files.index import (
    FileIndex,
    base_name,
    has_image_suffix,
    without_suffix,
)
from labelling.sources.lists.list_format import ListFile, ListReading, Surroundings
from labelling.sources.lists.plain_json.document import JsonDocument
from labelling.sources.lists.review.review import is_called_review
from labelling.sources.lists.statements import Statements, as_label
from labelling.sources.names.columns import LABEL_COLUMNS, PLURAL_COLUMNS, plain
from labelling.sources.reading import ReadingOptions

_KEYS = frozenset(
    {"label", "labels", "labelname", "class", "classes", "classname", "classlabel", "groundtruth"}
)
"""Fields that are always labels. Not tags and categories: downloaded images often come with those
of a web site."""

_CLS = ".cls"
_LONGEST = 200
_NO_IMAGE = "files .cls that lie beside no image, or beside several"
_NO_CLASS = "files .cls beside images that hold no class, which is a number or a name in one line"


def image_beside(name: str, files: FileIndex) -> str | None:
    """The one image beside a file: ``a.jpg`` for ``a.json`` and ``a.jpg.json``; ``None`` if there
    are none or several."""
    stem = without_suffix(name)
    found = files.by_path(stem) if has_image_suffix(stem) else files.by_path_without_suffix(stem)
    images = [each for each in found if has_image_suffix(each)]
    return images[0] if len(images) == 1 else None


class JsonBesideImage:
    """``a.jpg.json`` with ``{"label": "cat", "annotator": "ann"}``."""

    name = "a JSON beside each image"

    def read(
        self, document: JsonDocument, options: ReadingOptions, source: Surroundings
    ) -> ListReading | None:
        """Read the label of the one image that the JSON lies beside.

        Args:
            document: the list, decoded record by record.
            options: what the user decided.
            source: the files around the list; their names tell which image that is.

        Returns:
            The label; ``None`` if the JSON lies beside no image, or if not exactly one of its
            fields is a label.

        Raises:
            ListRefusedError: many images have several labels where the task is single_label, or the
                labels are a hierarchy.
        """
        value = document.value
        image = image_beside(document.name, source.files)
        if not isinstance(value, dict) or image is None:
            return None
        if source.files.by_path(f"{without_suffix(image)}{_CLS}"):
            return None  # WebDataset's: the label is in the .cls
        keys = [key for key in value if plain(key) in LABEL_COLUMNS]
        # Reviews and predictions lead to questions, which cannot be asked for each file.
        others = [key for key in value if is_called_answer(key) or is_called_review(key)]
        if len(keys) != 1 or plain(keys[0]) not in _KEYS or others:
            return None
        label = value[keys[0]]
        if isinstance(label, list) and plain(keys[0]) not in PLURAL_COLUMNS and len(label) > 1:
            return None
        labels = label if isinstance(label, list) else [label]
        if label is not None and not all(map(as_label, labels)):
            return None
        statements = Statements(document.name, options)
        statements.add(document.name, base_name(image), None if label is None else labels or None)
        found = statements.reading(f"{self.name} (field {keys[0]}{_by_number(labels)})")
        return replace(found, beside=True)


class ClassBesideImage:
    """``a.cls`` with ``3``."""

    name = "WebDataset's classes"

    def read(
        self, file: ListFile, options: ReadingOptions, source: Surroundings
    ) -> ListReading | None:
        """Read the class of the one image that the ``.cls`` lies beside.

        Args:
            file: the list: its name and its bytes.
            options: what the user decided.
            source: the files around the list; their names tell which image that is.

        Returns:
            The class, or only a warning if the file holds none or lies beside no image; ``None`` if
            it is not called ``.cls``.

        Raises:
            ListRefusedError: many images have several labels where the task is single_label, or the
                labels are a hierarchy.
        """
        image = image_beside(file.name, source.files)
        if not file.name.casefold().endswith(_CLS):
            return None
        if image is None:
            return ListReading(self.name, (), warnings=[_NO_IMAGE])
        text = file.data[: _LONGEST + 1].decode("utf-8", "replace").strip()
        if len(text.splitlines()) != 1 or len(text) > _LONGEST:
            return ListReading(self.name, (), warnings=[_NO_CLASS])
        statements = Statements(file.name, options)
        statements.add(file.name, base_name(image), [text])
        found = statements.reading(f"{self.name} (a .cls beside each image{_by_number([text])})")
        return replace(found, beside=True)


def _by_number(labels: list[object]) -> str:
    """A remark about classes without names."""
    return ", by number" if labels and all(str(label).isdecimal() for label in labels) else ""
