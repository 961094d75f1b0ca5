"""``label-studio``: tasks with their annotations, as Label Studio imports them, and its page.

Images are named as Label Studio's local files are: ``/data/local-files/?d=<path below
LOCAL_FILES_DOCUMENT_ROOT>``, the root being the folder that the export lies in. The same path,
without the name of the export, leads to the image beside ``tasks.json``.
"""

import json
from collections.abc import Iterator
from urllib.parse import quote

from labelling.exports.contents import SPLITS, Contents, ExportImage, Layout, TextFile
from labelling.exports.file_names import IMAGE_SUFFIXES
from labelling.exports.placing import side_by_side
from labelling.label_studio.config import CONTROL, OBJECT, LabelConfigError, label_config
from labelling.labels.schema import LabelSchema, Task

TASKS = "tasks.json"
PAGE = "label_config.xml"


class LabelStudioFormat:
    """One list of tasks; the split of each is a column of its data."""

    name = "label-studio"

    def layout(self, contents: Contents) -> Layout:
        """See :class:`labelling.exports.contents.ExportFormat`."""
        folders = {split: split for split in SPLITS}
        note = (
            "Label Studio shows the images if LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true, "
            f"LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT is the folder that {contents.place} lies in, and the project "
            f"has a local storage of {contents.place} (do not sync it)"
        )
        return Layout(side_by_side(contents, folders, IMAGE_SUFFIXES), notes=[note])

    def files(self, contents: Contents, layout: Layout) -> Iterator[TextFile]:
        """See :class:`labelling.exports.contents.ExportFormat`."""
        task: Task = "multi_label" if contents.task == "multi_label" else "single_label"
        try:
            page = label_config(LabelSchema(task=task), contents.labels)
        except LabelConfigError:  # a label that XML cannot hold: the page is made in Label Studio
            page = ""
        if page:
            yield TextFile(PAGE, [page, "\n"])
        yield TextFile(TASKS, _tasks(contents, layout))

    def reading(self, contents: Contents, layout: Layout) -> str:
        """See :class:`labelling.exports.contents.ExportFormat`."""
        return (
            f"# Label Studio: new project, Labeling Setup > Custom template: {PAGE}; "
            f"Import: {TASKS}"
        )

    def front_matter(self, contents: Contents) -> str:
        """Return an empty text: there is no front matter."""
        return ""


def _tasks(contents: Contents, layout: Layout) -> Iterator[str]:
    yield "["
    for number, image in enumerate(contents.images):
        path = f"{contents.place}/{layout.paths[image.sha256]}"
        task = {
            "data": {
                "image": f"/data/local-files/?d={quote(path, safe='/')}",
                "sample_id": image.sha256,
                "split": image.split,
                "why": f"{image.split} split of the data set {contents.version}",
            },
            "annotations": [{"result": _result(image), "was_cancelled": False}],
            "meta": {"ingested_as": image.file},
        }
        yield f"{',' if number else ''}\n{json.dumps(task, ensure_ascii=False)}"
    yield "\n]\n"


def _result(image: ExportImage) -> list[dict[str, object]]:
    """Return the result of an annotation; empty for an image without labels."""
    if not image.labels:
        return []
    return [
        {
            "id": image.sha256[:10],
            "from_name": CONTROL,
            "to_name": OBJECT,
            "type": "choices",
            "value": {"choices": list(image.labels)},
        }
    ]
