"""``imgclf ingest`` in process: sources of tiny pictures, and what the command says of them."""

import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from imgclf_dagster.cli.main import app
from imgclf_dagster.home import home
from object_store.store import ObjectStore


def picture(number: int) -> bytes:
    sink = io.BytesIO()
    Image.new("RGB", (8, 8), (number % 256, number // 256, 77)).save(sink, "PNG")
    return sink.getvalue()


class Ingest:
    """``imgclf ingest`` of a folder, in a home of its own."""

    def __init__(self, at: Path) -> None:
        self.source, self.home = at / "photos", at / "home"
        self.out = self.err = self.words = ""
        self.count = 0

    def lay(self, *folders: str, files: Mapping[str, str] | None = None, count: int = 2) -> None:
        """Images in each folder, and other files."""
        for folder in folders:
            for _ in range(count):
                self.count += 1
                path = self.source / folder / f"{self.count:03d}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(picture(self.count))
        for name, text in (files or {}).items():
            (self.source / name).parent.mkdir(parents=True, exist_ok=True)
            (self.source / name).write_text(text, encoding="utf-8")

    def __call__(self, *args: str | Path, answers: str = "", source: Path | None = None) -> int:
        given = ["ingest", str(source or self.source), *map(str, args)]
        done = CliRunner().invoke(app, given, input=answers, catch_exceptions=False)
        self.out, self.err = done.stdout, done.stderr
        self.words = " ".join(f"{self.out} {self.err}".split())
        return done.exit_code

    @property
    def facts(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found

    def labels(self) -> dict[str, list[str]]:
        """Names of the stored images by label."""
        store = ObjectStore(url=(self.home / "store").as_uri())
        texts: dict[str, list[str]] = {}
        for item in store.list("annotations/"):
            record = json.loads(store.get(item.key))
            for label in record["labels"] or [""]:
                texts.setdefault(label, []).append(record["annotation_id"].rpartition("/")[2])
        return {label: sorted(names) for label, names in sorted(texts.items())}

    def counts(self) -> dict[str, int]:
        return {label: len(names) for label, names in self.labels().items()}


@pytest.fixture
def ingest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ingest:
    for name in (
        "IMGCLF_SETTINGS",
        "DAGSTER_HOME",
        "PATH",
    ):  # the command sets them for what it starts
        monkeypatch.setenv(name, os.environ.get(name, ""))
    monkeypatch.delenv("IMGCLF_SETTINGS")
    monkeypatch.setenv("IMGCLF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")
    # A home has the databases of runs, too, which take seconds to make.
    monkeypatch.setattr(home, "create_run_databases", lambda folder: None)
    return Ingest(tmp_path)
