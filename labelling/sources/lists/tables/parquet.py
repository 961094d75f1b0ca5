"""Tables in Parquet, such as Hugging Face's ``metadata.parquet``."""

import json
from collections.abc import Iterator
from typing import Any

from labelling.sources.lists.columns.columns import choose_columns, open_doubts
from labelling.sources.lists.files.finder import FileFinder, folder_of
from labelling.sources.lists.list_format import (
    ListFile,
    ListReading,
    ListRefusedError,
    Surroundings,
)
from labelling.sources.lists.tables.huggingface import classes_of_schema
from labelling.sources.lists.tables.statements import read_or_ask
from labelling.sources.lists.text.dialect import Row
from labelling.sources.lists.text.table import Table
from labelling.sources.reading import ReadingOptions

_MAGIC = b"PAR1"


class Parquet:
    """Tables with named and typed columns, read like other tables."""

    name = "Parquet"

    def read(
        self, file: ListFile, options: ReadingOptions, source: Surroundings
    ) -> ListReading | None:
        """Read the table.

        Args:
            file: the list: its name and its bytes.
            options: what the user decided.
            source: the files around the list; their names tell which column names images.

        Returns:
            What the rows say, or the doubts to be decided first; ``None`` if it is not Parquet.

        Raises:
            ListRefusedError: no column names images, the table holds the images themselves, or it
                is broken.
        """
        if not file.data.startswith(_MAGIC):
            return None
        table, classes = _open(file)
        names_a_file = FileFinder(source.files, folder_of(file.name)).names_a_file
        columns = choose_columns(table, names_a_file, options.columns, options.task)
        if columns is None:
            raise ListRefusedError(
                f"{file.name}: no column was found that names images of the source (columns: "
                f"{', '.join(table.header)}). Name its columns with --columns IMAGE,LABEL"
            )
        return read_or_ask(
            table,
            columns,
            open_doubts(table, columns, options),
            layout="Parquet",
            task=options.task,
            source=source,
            classes=classes,
        )


def _open(file: ListFile) -> tuple[Table, Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        opened = pq.ParquetFile(pa.BufferReader(file.data))
        inside = [
            field.name
            for field in opened.schema_arrow
            if pa.types.is_binary(field.type)
            or (pa.types.is_struct(field.type) and field.type.get_field_index("bytes") >= 0)
        ]
        if inside:
            raise ListRefusedError(
                f"{file.name} holds images itself (column {', '.join(inside)}). Save them as files "
                "first: datasets.load_dataset(…), then a folder for each class, or metadata.csv"
            )
        content = opened.read()
    except (pa.ArrowException, OSError) as error:
        raise ListRefusedError(f"{file.name} cannot be read as Parquet: {error}") from error
    columns = [list(_cells(column.to_pylist())) for column in content.columns]
    rows = [Row(at, list(cells)) for at, cells in enumerate(zip(*columns, strict=True), 1)]
    header = tuple(content.column_names)
    classes = classes_of_schema(opened.schema_arrow.metadata)
    return Table(file.name, header, len(header), rows), classes


def _cells(values: list[Any]) -> Iterator[str]:
    """Values as the cells of a text table; lists as JSON."""
    for value in values:
        if value is None:
            yield ""
        elif isinstance(value, (list, dict)):
            yield json.dumps(value, ensure_ascii=False, default=str)
        else:
            yield str(value)
