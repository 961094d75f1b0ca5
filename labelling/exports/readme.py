"""The ``README.md`` of an export: which data set it is, and how to read it."""

from collections.abc import Iterator

from labelling.exports.contents import SPLITS, Contents, ExportFormat, Layout, TextFile
from labelling.labels.foreign_text import visible

README = "README.md"


def readme(contents: Contents, layout: Layout, form: ExportFormat) -> TextFile:
    """The ``README.md`` of an export: what it contains, and how to read it.

    Args:
        contents: the data set as it was written.
        layout: where the format puts its images; its notes are listed.
        form: the format, for the code that reads it and the front matter.
    """
    return TextFile(README, _lines(contents, layout, form))


def _lines(contents: Contents, layout: Layout, form: ExportFormat) -> Iterator[str]:
    yield form.front_matter(contents)
    yield f"# Data set {contents.version}\n\n"
    kind = "several labels an image" if contents.task == "multi_label" else "one label an image"
    yield (
        f"{len(contents.images):,} images, {len(contents.labels):,} classes, {kind}; made "
        f"{contents.created_at[:10]} by imgclf-dagster, exported as `{form.name}`. The bytes of "
        "each image are those that were ingested. Their owners and licences are not known here: "
        "ask the source.\n\n"
    )
    yield "| class | " + " | ".join(SPLITS) + " |\n|---|" + "---:|" * len(SPLITS) + "\n"
    for label, row in contents.counts().items():
        numbers = " | ".join(f"{row[split]:,}" for split in SPLITS)
        yield f"| {_cell(label)} | {numbers} |\n"
    yield f"\n```\n{form.reading(contents, layout)}\n```\n"
    for note in layout.notes:
        yield f"\n- {_cell(note)}"
    if layout.notes:
        yield "\n"


def _cell(text: str) -> str:
    return visible(text).replace("|", "\\|").replace("<", "&lt;")
