"""``imgclf predict``: ask an endpoint about files and folders."""

import csv
import json
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from imgclf_dagster.cli.common import AsJson, console, fail, plainly
from imgclf_dagster.settings import load_settings

if TYPE_CHECKING:
    from resources.endpoint_host import EndpointHost

IN_FLIGHT = 4
ANY_IMAGE = "application/x-image"


class StageName(StrEnum):
    """The stages, as options of the command line."""

    prod = "prod"
    staging = "staging"


@dataclass(frozen=True)
class Answer:
    """What the endpoint said of one file: ranked labels, or why there are none."""

    file: str
    model_version: str = ""
    predicted: tuple[str, ...] = ()
    labels: tuple[tuple[str, float], ...] = ()
    error: str = ""


@plainly
def predict_command(
    paths: Annotated[list[Path], typer.Argument(help="Image files, and folders of them.")],
    stage: Annotated[StageName, typer.Option(help="Which endpoint to ask.")] = StageName.prod,
    top_k: Annotated[int, typer.Option(min=1, help="Labels to show for each image.")] = 3,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Write CSV: a row a file.")] = False,
) -> None:
    """Ask an endpoint which labels images have.

    Starts an endpoint host for its own duration if none is up. A file that cannot be read is
    named; the others are answered. Exit code 1 if any file failed.
    """
    from imgclf_dagster.definitions import build_endpoints
    from imgclf_dagster.home import prepare_home

    files = list(_files(paths))
    if not files:
        raise fail(f"no file in {', '.join(map(str, paths))}")
    settings = load_settings()
    prepare_home(settings)
    endpoints = build_endpoints(settings)
    if endpoints.current(stage.value) is None:
        raise fail(
            f"nothing is deployed to {stage.value}; `imgclf run` stages a candidate and "
            "`imgclf approve` puts it into production"
        )
    with (
        endpoints.hosting(log_file=settings.logs_dir / "endpoint-host.log"),
        ThreadPoolExecutor(IN_FLIGHT) as pool,
    ):
        ask = partial(ask_endpoint, endpoints, stage=stage.value, top_k=top_k)
        answers = list(pool.map(ask, files))
    if as_json:
        print(json.dumps([_as_dict(answer) for answer in answers], indent=1, ensure_ascii=False))
    elif as_csv:
        _write_csv(answers)
    else:
        console.print(_table(answers))
    if any(answer.error for answer in answers):
        raise typer.Exit(1)


def _files(paths: list[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(
                item
                for item in path.rglob("*")
                if item.is_file() and not any(part.startswith(".") for part in item.parts)
            )
        else:
            yield path


def ask_endpoint(endpoints: "EndpointHost", file: Path, *, stage: Any, top_k: int) -> Answer:
    """Send one file to an endpoint."""
    from resources.endpoint_host import HostUnavailable
    from serving.client import InvocationFailed

    try:
        answer = endpoints.invoke(stage, file.read_bytes(), ANY_IMAGE, top_k)
    except OSError as error:
        return Answer(str(file), error=f"cannot be read: {error.strerror}")
    except (InvocationFailed, HostUnavailable) as error:
        return Answer(str(file), error=str(error))
    prediction = answer["predictions"][0]
    return Answer(
        file=str(file),
        model_version=str(answer["model_version"]),
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
        writer.writerow([answer.file, predicted, score, answer.model_version, answer.error])


def _table(answers: list[Answer]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("file", overflow="fold")
    table.add_column("labels")
    for answer in answers:
        ranked = "  ".join(f"{escape(label)} {score:.1%}" for label, score in answer.labels)
        shown = f"[red]{escape(answer.error)}[/]" if answer.error else ranked
        table.add_row(escape(answer.file), shown)
    return table
