"""Options that decide nothing of a source: who gave one expected something else, and is told."""

from pathlib import Path

from labelling.sources.containers.containers import FileContainer, OptionError
from labelling.sources.containers.folders import Folder
from labelling.sources.folders.layouts import FOLDER_MODES, Layout
from labelling.sources.reading import ReadingOptions
from labelling.sources.source_lists import FOLDERS, Said


def refuse_together(options: ReadingOptions) -> None:
    """Refuse options of which one decides that another one has no effect.

    Raises:
        OptionError: there are such; the message names both.
    """
    if options.as_class is not None and options.labels_from is not None:
        raise OptionError("give --labels-from or --as-class: each decides every label")
    if options.columns is None:
        return
    unread = f"--labels-from {options.labels_from}" if options.labels_from in FOLDERS else None
    unread = "--as-class" if options.as_class is not None else unread
    if unread:
        raise OptionError(f"give {unread} or --columns: with {unread} no list is read")


def refuse_beside_list(source: Path, options: ReadingOptions) -> None:
    """Refuse options that say where labels are, where the source itself is a list of labels.

    Raises:
        OptionError: there is one.
    """
    given = options.labels_from
    told = f"--labels-from {given}" if given is not None else "--as-class"
    is_itself = given not in FOLDERS and given is not None and Path(given).resolve() == source
    if (given in (None, "none") or is_itself) and options.as_class is None:
        return
    raise OptionError(
        f"{source.name} is a list, and gives the labels itself; with {told}, give the folder: "
        f"imgclf ingest {source.parent} {told}"
        + (f" {options.as_class}" if options.as_class is not None else "")
    )


def options_without_effect(
    options: ReadingOptions, said: Said, layout: Layout, container: FileContainer
) -> tuple[str, ...]:
    """What options decided nothing of a source that is understood, a sentence for each.

    Args:
        options: what the user decided.
        said: what its lists say.
        layout: what its folders say.
        container: with its names.
    """
    if said.doubts or container.doubts:  # these tell what is wrong, and what decides
        return ()
    found = []
    if options.labels_from in FOLDER_MODES and not layout.labels:
        found.append(f"--labels-from {options.labels_from} gives no image a label: {layout.text}")
    if options.columns is not None and not said.by_columns:
        found.append(
            "--columns has no effect: no table of labels is read. To read one: --labels-from FILE"
        )
    # Who unpacks many archives with one command need not know which of them is plain ASCII.
    is_read = said.in_text or container.decodes or not isinstance(container, Folder)
    if options.encoding is not None and not is_read:
        found.append("--encoding has no effect: no list of labels is read, and it is no archive")
    return tuple(found)


def encoding_not_needed(
    options: ReadingOptions, said: Said, container: FileContainer
) -> str | None:
    """A note that ``--encoding`` had no effect on the names of an archive.

    Args:
        options: what the user decided.
        said: what the lists of the source say.
        container: the source.

    Returns:
        ``None`` if the option is not given, has an effect, or the source is a folder.
    """
    if options.encoding is None or said.in_text or container.decodes or said.doubts:
        return None
    if isinstance(container, Folder):
        return None
    return f"--encoding {options.encoding} had no effect: the names in the archive say their own"
