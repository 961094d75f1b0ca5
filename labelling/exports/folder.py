"""``folder``: ``<split>/<class>/<image>``, which torchvision, Keras and most others read."""

import json
from collections.abc import Iterator

from labelling.exports.contents import SPLITS, Contents, Layout, TextFile
from labelling.exports.placing import (
    TORCHVISION,
    class_folders,
    folders_say_it,
    in_class_folders,
    renamed,
    renamed_labels_note,
    require_one_label,
    unread,
)

LABELS = "labels.jsonl"
"""Lists every image with its exact label, where folder names differ from the labels."""

_AS_THEY_ARE = {split: split for split in SPLITS}


class FolderFormat:
    """A folder for each split, and in it one for each class."""

    name = "folder"
    reader = "torchvision's ImageFolder"

    def layout(self, contents: Contents) -> Layout:
        """See :class:`labelling.exports.contents.ExportFormat`."""
        require_one_label(contents, self.name)
        folders = class_folders(contents.labels)
        paths = in_class_folders(contents, folders, _AS_THEY_ARE, TORCHVISION)
        changed = renamed(folders)
        return Layout(
            paths,
            renamed=changed,
            notes=[
                *renamed_labels_note(changed, LABELS),
                *_classes_missing(contents),
                *unread(contents, paths, TORCHVISION, self.reader),
            ],
        )

    def files(self, contents: Contents, layout: Layout) -> Iterator[TextFile]:
        """See :class:`labelling.exports.contents.ExportFormat`."""
        yield from label_list(contents, layout)

    def reading(self, contents: Contents, layout: Layout) -> str:
        """See :class:`labelling.exports.contents.ExportFormat`."""
        lines = [
            f'{split} = torchvision.datasets.ImageFolder("{contents.place}/{split}")'
            for split in contents.splits
        ]
        return "\n".join(lines)

    def front_matter(self, contents: Contents) -> str:
        """Empty: there is no front matter."""
        return ""


def label_list(contents: Contents, layout: Layout) -> Iterator[TextFile]:
    """The list of labels, if the folder names alone do not give them."""
    if not folders_say_it(contents, class_folders(contents.labels)):
        yield TextFile(LABELS, _lines(contents, layout))


def _lines(contents: Contents, layout: Layout) -> Iterator[str]:
    # JSON, not CSV: a label may contain CSV's separators and quotes.
    for image in contents.images:
        path, labels = layout.paths[image.sha256], list(image.labels)
        line = {"file_name": path, "labels": labels, "split": image.split}
        yield json.dumps(line, ensure_ascii=False) + "\n"


def _classes_missing(contents: Contents) -> list[str]:
    """Sentences about splits without images of a class: readers that number the classes by the
    folders of one split would number them differently there."""
    counts = contents.counts()
    there = {split: [name for name in counts if counts[name].get(split)] for split in SPLITS}
    most = max((names for names in there.values()), key=len, default=[])
    notes = []
    for split in contents.splits:
        if lacking := [name for name in most if not counts[name].get(split)]:
            some = ", ".join(lacking[:3]) + (" …" if len(lacking) > 3 else "")
            notes.append(
                f"{split} has no image of {len(lacking)} classes ({some}): ImageFolder numbers "
                "classes by the folders that it finds, so compare their names, not their numbers"
            )
    return notes
