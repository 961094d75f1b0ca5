"""Options without effect on a source: the user expected something else."""

from pathlib import Path

from labelling.sources.containers.containers import FileContainer, OptionError
from labelling.sources.containers.folders import Folder
from labelling.sources.folders.layouts import FOLDER_MODES, Layout
from labelling.sources.reading import ReadingOptions
from labelling.sources.source_lists import FOLDERS, ListResult


def refuse_together(options: ReadingOptions) -> None:
    """Refuse options of which one makes another one useless.

    Raises:
        OptionError: there are such; the message names both.
    """
    if options.as_class is not None and options.labels_from is not None:
        raise OptionError("give --labels-from or --as-class: each of them decides every label")
    if options.columns is None:
        return
    unread = f"--labels-from {options.labels_from}" if options.labels_from in FOLDERS else None
    unread = "--as-class" if options.as_class is not None else unread
    if unread:
        raise OptionError(f"give {unread} or --columns: with {unread} no list is read")


def refuse_beside_list(source: Path, options: ReadingOptions) -> None:
    """Refuse options that say where labels are, if the source itself is a list of labels.

    Raises:
        OptionError: there is one.
    """
    given = options.labels_from
    option = f"--labels-from {given}" if given is not None else "--as-class"
    is_itself = given not in FOLDERS and given is not None and Path(given).resolve() == source
    if (given in (None, "none") or is_itself) and options.as_class is None:
        return
    raise OptionError(
        f"{source.name} is a list, and gives the labels itself; with {option}, give the folder: "
        f"imgclf ingest {source.parent} {option}"
        + (f" {options.as_class}" if options.as_class is not None else "")
    )


def options_without_effect(
    options: ReadingOptions, lists: ListResult, layout: Layout, container: FileContainer
) -> tuple[str, ...]:
    """A sentence for each option that had no effect on a source.

    Args:
        options: what the user decided.
        lists: what its lists say.
        layout: what its folders say.
        container: the source, after its listing was read.
    """
    if lists.doubts or container.doubts:  # the questions already name the options that decide
        return ()
    found = []
    if options.labels_from in FOLDER_MODES and not layout.labels:
        found.append(f"--labels-from {options.labels_from} gives no image a label: {layout.text}")
    if options.columns is not None and not lists.by_columns:
        found.append(
            "--columns has no effect: no table of labels is read. To read one: --labels-from FILE"
        )
    # One command may be used for many archives, of which some are plain ASCII.
    is_read = lists.in_text or container.decodes or not isinstance(container, Folder)
    if options.encoding is not None and not is_read:
        found.append("--encoding has no effect: no list of labels is read, and it is no archive")
    return tuple(found)


def encoding_not_needed(
    options: ReadingOptions, lists: ListResult, container: FileContainer
) -> str | None:
    """A note that ``--encoding`` had no effect on the names of an archive.

    Args:
        options: what the user decided.
        lists: what the lists of the source say.
        container: the source.

    Returns:
        ``None`` if the option is not given, has an effect, or the source is a folder.
    """
    if options.encoding is None or lists.in_text or container.decodes or lists.doubts:
        return None
    if isinstance(container, Folder):
        return None
    return f"--encoding {options.encoding} had no effect: the names in the archive say their own"
