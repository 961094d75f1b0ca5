"""Tables in text: CSV, TSV and similar, as any program writes them."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import compress

from labelling.labels.foreign_text import visible
from labelling.sources.containers.containers import Rejection
from labelling.sources.lists.columns.columns import choose_columns, open_doubts
from labelling.sources.lists.columns.given_columns import Columns
from labelling.sources.lists.columns.values import is_numeric
from labelling.sources.lists.files.finder import FileFinder, folder_of
from labelling.sources.lists.files.index import base_name, has_image_suffix, without_suffix
from labelling.sources.lists.list_format import (
    ListFile,
    ListReading,
    ListRefusedError,
    NamesNoImageError,
    Surroundings,
)
from labelling.sources.lists.tables.class_names import is_class_table
from labelling.sources.lists.tables.comments import comment_lines, header_in
from labelling.sources.lists.tables.header import make_table
from labelling.sources.lists.tables.ragged_labels import READ_SO, with_labels_together
from labelling.sources.lists.tables.statements import read_or_ask
from labelling.sources.lists.text.dialect import Row, find_dialect, lines_of, rows_of
from labelling.sources.lists.text.encoding import decode_list
from labelling.sources.lists.text.table import Table, is_comment, trimmed
from labelling.sources.names.columns import plain
from labelling.sources.reading import ReadingOptions

_REGULAR = 0.8
"""The share of lines of a table without header that must have the usual number of cells."""

_LOOKED_AT = 100
_WIDE = 10
"""The least columns of a table of mere numbers: fewer may be codes of images and classes."""

TABLE_SUFFIXES = (".csv", ".tsv", ".tab", ".psv")
"""Files that are refused if they cannot be understood."""

TEXT_SUFFIXES = (".txt", ".lst", ".list", ".dat")
"""Files that may be anything: not refused if they cannot be understood."""


class Delimited:
    """CSV, TSV and other tables in text."""

    name = "a table (CSV, TSV)"

    def read(
        self, file: ListFile, options: ReadingOptions, source: Surroundings
    ) -> ListReading | None:
        """Read the table.

        Args:
            file: the list: its name and its bytes.
            options: what the user decided.
            source: the files around the list; their names tell which column names images.

        Returns:
            What the rows say, or the doubts to be decided first; ``None`` if the file has another
            suffix, is a table of class names, or is a text (``.txt``) that cannot be understood and
            that no option names.

        Raises:
            ListRefusedError: the table cannot be understood, or holds no labels of images.
        """
        suffix = file.name[len(without_suffix(file.name)) :].casefold()
        if suffix in TABLE_SUFFIXES:
            return _read(file, options, source)
        if suffix not in TEXT_SUFFIXES:
            return None
        try:
            return _read(file, options, source)
        except ListRefusedError:
            if options.name_list(file.name):
                raise
            return None


def _read(file: ListFile, options: ReadingOptions, source: Surroundings) -> ListReading | None:
    decoded = decode_list(file.name, file.data, options.encoding)
    if decoded.doubt:
        return ListReading(f"a table in {decoded.encoding}", (), doubts=[decoded.doubt])
    encoding, warning, lines = decoded.encoding, decoded.warning, lines_of(decoded.text)
    is_whole = decoded.text.endswith(("\n", "\r"))
    del decoded  # frees memory: for a million lines, text and lines take as much as the rows
    if not any(line.strip() for line in lines):
        raise ListRefusedError(f"{file.name} is empty; remove it, or give --labels-from parent")
    if "submission" in plain(base_name(file.name)) and not options.name_list(file.name):
        return _form(file.name)
    names_a_file = FileFinder(source.files, folder_of(file.name)).names_a_file
    top = comment_lines(lines, names_a_file)
    dialect, start = find_dialect(lines[top:] if top else lines, names_a_file)
    rows = list(rows_of(lines, dialect, top + start))
    comments = lines[:top]
    del lines
    table = make_table(file.name, rows, names_a_file, options.columns)
    if not (table and table.header) and (
        titles := header_in(comments, dialect, rows, options.columns)
    ):
        rows.insert(0, titles)
        table = make_table(file.name, rows, names_a_file, options.columns)
    together = None
    # Not with commas: an additional comma may be part of a label.
    by_spaces = dialect.separator in (" ", "\t") and options.task == "multi_label"
    if table is not None and not table.header and by_spaces:
        together = with_labels_together(rows, names_a_file)
    if together:
        table = make_table(file.name, together, names_a_file, options.columns)
        warning = "; ".join(filter(None, (warning, READ_SO)))
    if table is not None:
        _refuse_if_ragged(table)
    columns = choose_columns(table, names_a_file, options.columns, options.task) if table else None
    if table is None or columns is None:
        if is_class_table([trimmed(row.cells) for row in rows]):
            return None
        raise _no_images(file.name, rows)
    _refuse_keys_and_values(table, columns, names_a_file)
    if columns.label is None and not columns.classes and not columns.doubts:
        _refuse_if_headed(table, names_a_file)
    layout = f"a table, {dialect}, {encoding}"
    doubts = open_doubts(table, columns, options)
    reading = read_or_ask(table, columns, doubts, layout=layout, task=options.task, source=source)
    reading = reading if is_whole else _without_a_cut_label(reading)
    return replace(reading, warnings=[warning, *reading.warnings]) if warning else reading


def _refuse_if_ragged(table: Table) -> None:
    """Refuse a table without header whose rows have different numbers of cells."""
    widths = Counter(len(trimmed(row.cells)) for row in table.body if row.flaw is None)
    most = max(widths.values(), default=0)
    if not table.header and most < _REGULAR * widths.total():
        shown = ", ".join(
            f"{width} ({lines:,} lines)" for width, lines in sorted(widths.items())[:5]
        )
        raise ListRefusedError(
            f"{table.name}: the lines have different numbers of cells: {shown}. Write a header "
            "file,labels, and several labels in one cell as a|b"
        )


def _refuse_if_headed(table: Table, names_a_file: Callable[[str], bool]) -> None:
    """Refuse a list of images with headings between them: ``cat:``, and then its images."""
    lines = [" ".join(trimmed(row.cells)) for row in table.body if row.flaw is None]
    are_images = [has_image_suffix(line) or names_a_file(line) for line in lines]
    if not all(map(has_image_suffix, compress(lines, are_images))):
        return  # without suffixes, a missing image looks like any other word
    # A line at the end, such as a total, is not a heading.
    headings = [
        line
        for line, is_image, followed in zip(lines, are_images, are_images[1:], strict=False)
        if followed and not is_image and not is_comment([line])
    ]
    if headings:
        raise ListRefusedError(
            f"{table.name}: lines such as {visible(headings[0])!r} stand between names of images; "
            "if they are headings with classes, write a line file,label for each image"
        )


def _refuse_keys_and_values(
    table: Table, columns: Columns, names_a_file: Callable[[str], bool]
) -> None:
    """Refuse a text with several lines for each image: ``file: a.jpg``, then ``label: cat``."""
    if table.header or columns.label is None:
        return
    rows = table.sample()
    named = [row[columns.label] for row in rows if names_a_file(row[columns.file])]
    others = [row for row in rows if not names_a_file(row[columns.file])]
    if any(has_image_suffix(row[columns.file]) for row in others):
        return  # an image that is missing
    if len(set(named)) == 1 < len(named) and len(named) < _REGULAR * len(rows):
        raise ListRefusedError(
            f"{table.name}: every line that names an image of the source says "
            f"{visible(named[0])!r}, and the others name none; write a line file,label for each "
            "image"
        )


def _without_a_cut_label(reading: ListReading) -> ListReading:
    """``reading`` without its last line, if the list ends in the middle of its label."""
    if not reading.statements:
        return reading
    *others, last = reading.statements
    labels = {label for item in others for label in item.labels or ()}
    cut = [
        label
        for label in last.labels or ()
        if label not in labels and any(one.startswith(label) for one in labels)
    ]
    if not cut:
        return reading
    reason = f"the list seems to end early in {cut[-1]!r}; copy it again, or end its last line"
    rejections = (*reading.rejections, Rejection(f"{last.place} {last.file}", reason, of_list=True))
    return replace(reading, statements=others, rejections=rejections)


def _form(name: str) -> ListReading:
    warning = (
        f"it looks like a submission form of a competition, and was not read; "
        f"give --labels-from {name} if its labels are true"
    )
    return ListReading("a form for answers", (), warnings=[warning])


def _no_images(name: str, rows: Sequence[Row]) -> NamesNoImageError:
    first, *others = [trimmed(row.cells) for row in rows[:_LOOKED_AT] if row.cells] or [[]]
    shown = " | ".join(visible(cell[:40]) for cell in first[:8])
    return NamesNoImageError(
        f"{name}: no column was found that names images of the source (first line: {shown}). "
        "Name its columns with --columns IMAGE,LABEL, or give the source of labels with "
        "--labels-from parent or none",
        # Pixels of the images, or measurements.
        numbers=bool(others) and len(first) >= _WIDE and all(map(is_numeric, others)),
    )
