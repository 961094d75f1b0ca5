"""``huggingface``: what ``datasets.load_dataset("imagefolder", data_dir=…)`` and the Hub read.

Two layouts, both of the ``imagefolder`` builder (datasets/packaged_modules/folder_based_builder).
Class folders give a ``ClassLabel`` named ``label``, as training scripts expect. ``metadata.jsonl``
in each split gives ``label``, or the list ``labels`` for a multi-label data set or where a label
contains ``|``. Metadata is used where folders do not work: several labels, a label that cannot name
a folder or contains a split's name (the builder looks for these anywhere in a path), or a single
class.
"""

import json
import re
from collections.abc import Iterator

from labelling.exports.contents import Contents, Layout, TextFile
from labelling.exports.file_names import IMAGE_SUFFIXES
from labelling.exports.placing import (
    class_folders,
    folders_say_it,
    in_class_folders,
    renamed,
    side_by_side,
    unread,
)
from labelling.sources.folders.names import kind_of
from labelling.sources.lists.labels.no_label import may_mean_no_label, means_no_label

METADATA = "metadata.jsonl"
_SPLITS = {"train": "train", "val": "validation", "test": "test"}
_UNKNOWN = {".avif", ".avifs", ".mpo", ".pfm"}
_READ = IMAGE_SUFFIXES - _UNKNOWN
"""The accepted suffixes that datasets/packaged_modules/imagefolder reads (``IMAGE_EXTENSIONS``)."""

_KEYWORD = re.compile(
    r"(^|[-._ 0-9])(train|training|validation|valid|dev|val|test|testing|eval|evaluation)"
    r"($|[-._ 0-9])"
)
"""A folder's name that names a split (``datasets.data_files.SPLIT_KEYWORDS``)."""


class HuggingFaceFormat:
    """Class folders, or metadata where folders do not work."""

    name = "huggingface"

    def layout(self, contents: Contents) -> Layout:
        """See :class:`labelling.exports.contents.ExportFormat`."""
        folders = class_folders(contents.labels)
        if why := _why_metadata(contents, folders):
            paths = side_by_side(contents, _SPLITS, _READ)
            notes = [f"labels are in {METADATA} of each split, not in names of folders: {why}"]
        else:
            paths = in_class_folders(contents, folders, _SPLITS, _READ)
            notes = []
        return Layout(paths, notes=[*notes, *unread(contents, paths, _READ, "imagefolder")])

    def files(self, contents: Contents, layout: Layout) -> Iterator[TextFile]:
        """See :class:`labelling.exports.contents.ExportFormat`."""
        if all(path.count("/") == 1 for path in layout.paths.values()):
            for split in contents.splits:
                yield TextFile(f"{_SPLITS[split]}/{METADATA}", _metadata(contents, layout, split))

    def reading(self, contents: Contents, layout: Layout) -> str:
        """See :class:`labelling.exports.contents.ExportFormat`."""
        return f'splits = datasets.load_dataset("imagefolder", data_dir="{contents.place}")'

    def front_matter(self, contents: Contents) -> str:
        """The front matter of a data set card, which ``load_dataset(folder)`` and the Hub read."""
        lines = ["configs:", "- config_name: default", "  data_files:"]
        for split in contents.splits:
            lines += [f"  - split: {_SPLITS[split]}", f"    path: {_SPLITS[split]}/**"]
        lines += ["task_categories:", "- image-classification"]
        return "\n".join(["---", *lines, "---", ""])


def _why_metadata(contents: Contents, folders: dict[str, str]) -> str:
    """Why class folders cannot give the labels, or ""."""
    if contents.task == "multi_label" or any(len(image.labels) != 1 for image in contents.images):
        return "an image may have several"
    if changed := renamed(folders):
        return f"{next(iter(changed))!r} cannot name a folder everywhere"
    if named := next((label for label in folders if _KEYWORD.search(label.lower())), None):
        return f"{named!r} would be taken for a split"
    first = contents.splits[0] if contents.splits else ""
    if len({image.labels for image in contents.of(first)}) < 2:  # then it infers none
        return f"{first} has only one class"
    if not folders_say_it(contents, folders):
        return "one looks like the name of something else than a class"
    return ""


def _metadata(contents: Contents, layout: Layout, split: str) -> Iterator[str]:
    # A list is what no reader takes apart, or takes for a column of something else.
    plain = all(
        "|" not in label
        and kind_of(label) == "name"
        and not means_no_label(label)
        and not may_mean_no_label(label)
        for label in contents.labels
    )
    lists = contents.task == "multi_label" or not plain
    for image in contents.of(split):
        row: dict[str, object] = {"labels": list(image.labels)}
        if not lists and len(image.labels) == 1:
            row = {"label": image.labels[0]}
        name = layout.paths[image.sha256].partition("/")[2]
        yield json.dumps({"file_name": name, **row}, ensure_ascii=False) + "\n"
