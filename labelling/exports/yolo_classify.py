"""``yolo-classify``: ``train|val|test/<class>/<image>``, as Ultralytics trains ``classify`` on.

Its ``check_cls_dataset`` and ``ClassificationDataset`` (ultralytics/data) are the specification:
a folder of classes for ``train``, one for ``val``, perhaps one for ``test``, each read by
torchvision's ImageFolder with ``allow_empty=True``. Classes are numbered by the folders of a split,
so every split gets a folder for every class.
"""

from collections.abc import Iterator

from labelling.exports.contents import SPLITS, Contents, Layout, TextFile
from labelling.exports.folder import LABELS, label_list
from labelling.exports.placing import (
    TORCHVISION,
    class_folders,
    in_class_folders,
    renamed,
    renamed_labels_note,
    require_one_label,
    unread,
)

_AS_THEY_ARE = {split: split for split in SPLITS}


class YoloClassifyFormat:
    """Class folders below each split, the same ones in all."""

    name = "yolo-classify"
    reader = "Ultralytics"

    def layout(self, contents: Contents) -> Layout:
        """See :class:`labelling.exports.contents.ExportFormat`."""
        require_one_label(contents, self.name)
        folders = class_folders(contents.labels)
        paths = in_class_folders(contents, folders, _AS_THEY_ARE, TORCHVISION)
        changed = renamed(folders)
        every = [f"{split}/{folder}" for split in contents.splits for folder in folders.values()]
        notes = [
            *renamed_labels_note(changed, LABELS),
            *unread(contents, paths, TORCHVISION, self.reader),
        ]
        if "train" not in contents.splits or len(contents.splits) < 2:
            notes.append("Ultralytics trains on train/ and validates on val/ or test/: one lacks")
        return Layout(paths, folders=every, renamed=changed, notes=notes)

    def files(self, contents: Contents, layout: Layout) -> Iterator[TextFile]:
        """See :class:`labelling.exports.contents.ExportFormat`."""
        yield from label_list(contents, layout)

    def reading(self, contents: Contents, layout: Layout) -> str:
        """See :class:`labelling.exports.contents.ExportFormat`."""
        return f"yolo classify train data={contents.place} model=yolo11n-cls.pt"

    def front_matter(self, contents: Contents) -> str:
        """Empty: there is no front matter."""
        return ""
