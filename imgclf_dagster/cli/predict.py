"""``imgclf predict``: send files and folders to an endpoint."""

import csv
import json
import os
import stat
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from imgclf_dagster.cli.common import AsJson, console, errors, fail, given_path, plainly
from imgclf_dagster.console import escape
from imgclf_dagster.settings.root import load_settings
from labelling.labels.foreign_text import visible
from labelling.labels.schema import NONE_OF_THEM
from labelling.sources.containers.containers import Passed, Rejection, SourceError
from labelling.sources.containers.folders import Folder

if TYPE_CHECKING:
    from resources.endpoints.endpoint_host import Endpoints

IN_FLIGHT = 4
_FORMULA = tuple("=+-@＝＋－＠")
ANY_IMAGE = "application/x-image"


class StageName(StrEnum):
    """Values of the option ``--stage``."""

    prod = "prod"
    staging = "staging"


@dataclass(frozen=True)
class Answer:
    """The endpoint's answer for one file: labels by descending score, or an error message."""

    file: str
    model_version: str = ""
    digest: str = ""
    predicted: tuple[str, ...] = ()
    labels: tuple[tuple[str, float], ...] = ()
    error: str = ""


@plainly
def predict_command(
    paths: Annotated[
        list[Path], typer.Argument(parser=given_path, help="Image files, and folders of them.")
    ],
    stage: Annotated[StageName, typer.Option(help="The endpoint to use.")] = StageName.prod,
    top_k: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="Labels to show for each image.")
    ] = 3,
    as_json: AsJson = False,
    as_csv: Annotated[
        bool,
        typer.Option(
            "--csv",
            help="Write CSV, one row for each file. Cells that a spreadsheet would read as "
            "formulas begin with '.",
        ),
    ] = False,
) -> None:
    """Predict the labels of images with an endpoint.

    Of a folder, the files that `imgclf ingest` would take. Starts an endpoint host for its own
    duration if none is up. A file that cannot be read is named; the others are answered. Exit code 1
    if any file failed.

    \f
    Args:
        paths: image files, and folders of them.
        stage: the endpoint to use.
        top_k: number of labels for each image.
        as_json: print JSON.
        as_csv: print CSV.
    """
    from imgclf_dagster.home.home import prepare_home
    from imgclf_dagster.profiles.chosen import build_endpoints

    files, refused, passed = _found(paths)
    for line in _refusal_lines(passed):
        errors.print(escape(line))
    if not files and not refused:
        raise fail(f"no file in {', '.join(map(str, paths))}")
    settings = load_settings()
    prepare_home(settings)
    endpoints = build_endpoints(settings)
    if endpoints.current(stage.value) is None:
        raise fail(f"nothing is deployed to {stage.value}", remedy=_way_to(endpoints, stage.value))
    with (
        endpoints.hosting(log_file=settings.logs_dir / "endpoint-host.log"),
        ThreadPoolExecutor(IN_FLIGHT) as pool,
    ):
        ask = partial(ask_endpoint, endpoints, stage=stage.value, top_k=top_k)
        answers = [*refused, *pool.map(ask, files)]
    if as_json:
        print(json.dumps([_as_dict(answer) for answer in answers], indent=1, ensure_ascii=False))
    elif as_csv:
        _write_csv(answers)
    else:
        console.print(_table(answers))
    wanted = endpoints.current(stage.value)
    others = {
        answer.model_version
        for answer in answers
        if wanted is not None and not answer.error and answer.digest != wanted.digest
    }
    if wanted is not None and others:
        raise fail(
            f"answered by {', '.join(sorted(others))}, while {wanted.model_version} is deployed to "
            f"{stage.value}: its rollout is under way, or failed (see `imgclf status`)"
        )
    if any(answer.error for answer in answers):
        raise typer.Exit(1)


def _way_to(endpoints: "Endpoints", stage: str) -> str:
    """Return what brings a model to a stage to which none is deployed."""
    staged = endpoints.readable("staging") if stage == "prod" else None
    if staged is None:
        then = ", and `imgclf approve` puts it into production" if stage == "prod" else ""
        return f"`imgclf run` stages a candidate{then}"
    return (
        f"{staged.model_version} is on staging: put it into production (imgclf approve "
        f'{staged.model_version} --reason "…"), or ask it there (--stage staging)'
    )


def _found(paths: list[Path]) -> tuple[list[Path], list[Answer], list[Passed]]:
    """Return the files to send, the refused files of folders, and the files of folders passed over.

    Folders are listed by the rules of ``imgclf ingest``; a file that is named itself is always
    sent.
    """
    files: list[Path] = []
    refused: list[Answer] = []
    passed: list[Passed] = []
    for path in paths:
        if not path.is_dir():
            files.append(path)
            continue
        try:
            for entry in Folder(path).listing():
                if isinstance(entry, Rejection):
                    refused.append(Answer(_shown(path / entry.name), error=entry.reason))
                elif isinstance(entry, Passed):
                    passed.append(Passed(_shown(path / entry.name), entry.reason))
                else:
                    files.append(path / entry)
        except SourceError as error:
            refused.append(Answer(_shown(path), error=str(error)))
    return files, refused, passed


def _refusal_lines(passed: list[Passed]) -> list[str]:
    """Return a line for each reason, with the number of files and some of their names."""
    from labelling.sources.listing import Groups

    groups = Groups()
    for each in passed:
        groups.add(each.reason, each.name)
    return [f"passed over {group.summary()}" for group in groups.ignored()]


def _shown(path: Path) -> str:
    """Return the path as text; bytes that are not UTF-8 become backslash escapes."""
    # Undecodable bytes would make printing and writing the output fail.
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _bytes_of(file: Path) -> bytes:
    """Read an image file.

    Raises:
        ValueError: it is not a regular file, or larger than an endpoint accepts.
        OSError: it cannot be read.
    """
    from serving.endpoint.inference import MAX_BODY_BYTES

    status = file.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("not a regular file")
    if status.st_size > MAX_BODY_BYTES:
        raise ValueError(
            f"{status.st_size / 1024**2:.1f} MB, more than the {MAX_BODY_BYTES // 1024**2} MB that "
            "an endpoint takes"
        )
    return file.read_bytes()


def ask_endpoint(endpoints: "Endpoints", file: Path, *, stage: Any, top_k: int) -> Answer:
    """Send one image file to an endpoint.

    Args:
        endpoints: the endpoints of the profile.
        file: path of the image.
        stage: ``prod`` or ``staging``.
        top_k: number of labels to return.

    Returns:
        The ranked labels, or an answer with ``error`` set if the file cannot be read or the
        invocation fails.
    """
    from resources.endpoints.endpoint_host import HostUnavailable
    from serving.endpoint.client import InvocationFailed

    try:
        image = _bytes_of(file)
        answer = endpoints.invoke(stage, image, ANY_IMAGE, top_k)
    except ValueError as error:
        return Answer(_shown(file), error=str(error))
    except OSError as error:
        return Answer(_shown(file), error=f"cannot be read: {error.strerror}")
    except (InvocationFailed, HostUnavailable) as error:
        return Answer(_shown(file), error=str(error))
    prediction = answer["predictions"][0]
    return Answer(
        file=_shown(file),
        model_version=str(answer["model_version"]),
        digest=str(answer["digest"]),
        predicted=tuple(prediction["predicted"]),
        labels=tuple((item["label"], item["score"]) for item in prediction["labels"]),
    )


def _as_dict(answer: Answer) -> dict[str, Any]:
    if answer.error:
        return {"file": answer.file, "error": answer.error}
    return {
        "file": answer.file,
        "model_version": answer.model_version,
        "predicted": list(answer.predicted),
        "labels": [{"label": label, "score": score} for label, score in answer.labels],
    }


def _write_csv(answers: list[Answer]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["file", "predicted", "score", "model_version", "error"])
    for answer in answers:
        score = f"{answer.labels[0][1]:.6f}" if answer.labels else ""
        predicted = "|".join(answer.predicted)
        row = (answer.file, predicted, score, answer.model_version, answer.error)
        writer.writerow(map(_cell, row))


def _cell(text: str) -> str:
    """Return text that spreadsheets do not read as a formula, with control characters escaped.

    See https://owasp.org/www-community/attacks/CSV_Injection. ``--json`` gives the text unchanged.
    """
    shown = visible(text)
    return f"'{shown}" if shown.startswith(_FORMULA) else shown


def _table(answers: list[Answer]) -> Table:
    # A label may be likely and yet below its threshold.
    several = any(
        answer.predicted != tuple(label for label, _ in answer.labels[:1])
        for answer in answers
        if not answer.error
    )
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("file", *(["predicted"] if several else []), "labels"):
        table.add_column(column, overflow="fold")
    for answer in answers:
        ranked = "  ".join(f"{escape(label)} {score:.1%}" for label, score in answer.labels)
        shown = f"[red]{escape(answer.error)}[/]" if answer.error else ranked
        predicted = "" if answer.error else ", ".join(answer.predicted) or NONE_OF_THEM
        table.add_row(escape(answer.file), *([escape(predicted)] if several else []), shown)
    return table
