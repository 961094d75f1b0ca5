"""The arguments and options of ``imgclf ingest``, with their help."""

from pathlib import Path
from typing import Annotated

import typer

from imgclf_dagster.cli.common import given_path
from imgclf_dagster.cli.ingest.options import NAME, YES

Source = Annotated[
    Path,
    typer.Argument(
        parser=given_path,
        help="A folder with a sub-folder for each class (below train/ and test/, too), a flat "
        "folder (no labels), a list of labels beside its images (CSV, JSON, an export), a .zip "
        "or .tar of any of these, or one image.",
    ),
]

DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Show how the source is understood, and write nothing."),
]

Yes = Annotated[
    bool,
    typer.Option(YES, help="Accept the default of each question that says that --yes decides it."),
]

LabelsFrom = Annotated[
    str | None,
    typer.Option(
        metavar="parent|top|path|FILE|none",
        help="Where the labels are: the innermost folders (parent), the outermost ones "
        "(top), all folders around an image (path), a list, or nowhere (none). Splits "
        "(train) and containers (images) are not classes, unless there are no others.",
    ),
]

Columns = Annotated[
    str | None,
    typer.Option(
        metavar="IMAGE,LABEL",
        help="The columns of a list, by name or by number, from 1; several label columns as "
        "IMAGE,LABEL,LABEL or a range: file,tag1-tag3.",
    ),
]

Encoding = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Encoding of lists, and of names in a zip: cp1252, gbk …"),
]

AsClass = Annotated[str | None, typer.Option(metavar=NAME, help="Give every image this label.")]

KeepSplits = Annotated[
    bool,
    typer.Option(
        "--keep-splits",
        help="Keep the splits that the source gives; default: the line deals its own.",
    ),
]

WholeReportAsJson = Annotated[
    bool,
    typer.Option("--json", help="Print everything as JSON, with every rejection; never ask."),
]
