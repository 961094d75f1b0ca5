"""The Python code on the pages of the documentation, run as it stands there."""

import io
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from assets.annotations.label_index import index_snapshots, labels_table
from assets.ingestion.image_index import IMAGES_SCHEMA, images_table
from labelling.labels.snapshots import AnnotationSnapshot, PredictionOrigin
from object_store.store import ObjectStore
from training.artefact.artefact import pack
from training.data.manifest import MANIFEST_SCHEMA, write_manifest

pytestmark = pytest.mark.unit

DOCS = Path(__file__).parents[3] / "docs"
START = datetime(2026, 3, 1, tzinfo=UTC)
NONE_OF_TYPE = {pa.string(): "", pa.bool_(): False}


def run(page: str) -> dict[str, Any]:
    """Run the blocks of Python code of a page, one after another; returns their variables."""
    blocks = re.findall(
        r"^```python\n(.*?)^```", (DOCS / page).read_text(), re.DOTALL | re.MULTILINE
    )
    variables: dict[str, Any] = {}
    exec(compile("\n".join(blocks), page, "exec"), variables)
    return variables


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    """The store of a home in the folder in which the code runs."""
    monkeypatch.chdir(tmp_path)
    made = ObjectStore(url=f"file://{tmp_path / '.imgclf/store'}")
    made.ensure()
    return made


def add_images(store: ObjectStore, *rows: dict[str, object]) -> None:
    """One append, so that there are several parts and a file has several rows."""
    filled = [
        {field.name: NONE_OF_TYPE.get(field.type) for field in IMAGES_SCHEMA} | row for row in rows
    ]
    images_table(store).append(pa.Table.from_pylist(filled, schema=IMAGES_SCHEMA))


def add_annotation(store: ObjectStore, sha: str, label: str, **fields: Any) -> None:
    """A state of an annotation in Label Studio; the model had said cat."""
    minutes = fields.pop("minutes")
    given: dict[str, Any] = {
        "sha256": sha * 64,
        "labels": (label,),
        "annotator": "ann",
        "source": "label_studio",
        "annotated_at": START + timedelta(minutes=minutes),
        "annotation_id": "1",
        "unique_id": sha * 32,
        "prediction": PredictionOrigin(model_version="train-1", labels=("cat",)),
    }
    data = AnnotationSnapshot(**(given | fields)).to_json()
    store.put(f"annotations/label_studio/{sha}-{minutes}.json", data)


def add_data_set(store: ObjectStore, version: str, *images: tuple[str, list[str]]) -> None:
    empty = {"split": "train", "group_id": "", "width": 1, "height": 1}
    empty |= {"shard": "", "offset": 0, "length": 0}
    rows = [
        {**empty, "sha256": key, "raw_key": f"raw/{key}", "labels": labels}
        for key, labels in images
    ]
    store.put(
        f"datasets/{version}/manifest.parquet",
        write_manifest(pa.Table.from_pylist(rows, schema=MANIFEST_SCHEMA)),
    )
    store.put(f"datasets/{version}/card.json", b"{}")


def test_queries_of_the_tables(store: ObjectStore) -> None:
    april = START + timedelta(days=40)
    add_images(
        store,
        {"key": "raw/a", "status": "ok", "last_modified": START},
        {"key": "raw/b", "status": "rejected", "reason": "truncated"},
        {"key": "raw/c", "status": "rejected", "reason": "truncated"},
    )
    add_images(
        store,
        {"key": "raw/b", "status": "ok", "last_modified": april},  # came again, whole
        {"key": "raw/d", "status": "rejected", "reason": "not an image"},
        {"key": "raw/e", "status": "rejected", "reason": "not an image"},
        {"key": "raw/f", "status": "deleted"},
    )
    add_annotation(store, "a", "cat", minutes=1, lead_time_s=90.0)
    add_annotation(store, "a", "dog", minutes=2, lead_time_s=4.0)  # it was changed
    add_annotation(store, "b", "cat", minutes=3, lead_time_s=8.0)
    add_annotation(store, "e", "cat", minutes=3, lead_time_s=12.0, prediction=None)
    add_annotation(store, "c", "dog", minutes=4, cancelled=True)
    add_annotation(store, "d", "cat", minutes=5, annotator="bob", prediction=None)
    index_snapshots(store, labels_table(store))
    add_data_set(store, "0" * 16, ("a", ["dog"]))
    add_data_set(store, "1" * 16, ("a", ["cat", "dog"]), ("b", ["cat"]), ("z", ["dog"]))

    found = run("query.md")
    assert found["refused"].to_pylist() == [
        {"reason": "not an image", "key_count": 2, "key_min": "raw/d"},
        {"reason": "truncated", "key_count": 1, "key_min": "raw/c"},
    ]
    seconds, corrected = "lead_time_s_approximate_median", "corrected_mean"
    assert found["annotators"].to_pylist() == [
        {"annotator": "ann", "unique_id_count": 3, seconds: 8.0, corrected: 0.5},
        {"annotator": "bob", "unique_id_count": 1, seconds: None, corrected: None},
    ]
    assert [tuple(row.values()) for row in found["months"].to_pylist()] == [
        ("2026-03", "cat", 1),
        ("2026-03", "dog", 1),
        ("2026-04", "cat", 1),
        (None, "dog", 1),
    ]


def test_prediction_without_an_endpoint(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    colour_artefact: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    pack(colour_artefact(tmp_path / "trained", labels=("red", "green")), Path("model.tar.gz"))
    green = io.BytesIO()
    Image.fromarray(np.full((8, 8, 3), (0, 255, 0), dtype=np.uint8)).save(green, "PNG")
    Path("cat.jpg").write_bytes(green.getvalue())
    run("api.md")
    assert capsys.readouterr().out == "[('green',)]\n"
