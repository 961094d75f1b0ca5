"""Features in a job's channel: segments, and Parquet of older versions."""

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from object_store.contents.segments import digests_of, encode
from training.embedding.features import FEATURES_SCHEMA, packed_features
from training.embedding.stored import batches, feature_files, features_of_images
from training.errors import PermanentFailure

pytestmark = pytest.mark.unit

IMAGES = [hashlib.sha256(b"%d" % number).hexdigest() for number in range(12)]
FEATURES = np.arange(48, dtype=np.float32).reshape(12, 4)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two backbones; the first has Parquet and a segment."""
    for name in ("net-a", "net-b"):
        (tmp_path / name).mkdir()
    packed = packed_features(FEATURES[:5])
    rows = pa.table({"sha256": IMAGES[:5], "features": packed}, FEATURES_SCHEMA)
    pq.write_table(rows, tmp_path / "net-a" / "0000000000-0000000000.parquet")
    data = encode(digests_of(IMAGES[5:10]), FEATURES[5:10].astype("<f2"))
    (tmp_path / "net-a" / "0000000000.vectors").write_bytes(data)
    (tmp_path / "net-b" / "0000000000.vectors").write_bytes(b"never read")
    return tmp_path


def test_they_are_read_from_segments_and_parquet(folder: Path) -> None:
    files = feature_files(folder, "net-a/")
    assert [path.suffix for path in files] == [".parquet", ".vectors"]
    images = [IMAGES[number] for number in (9, 0, 6, 4)]
    found = features_of_images(files, images)
    assert found is not None
    assert found.dtype == np.float32
    assert np.array_equal(found, FEATURES[[9, 0, 6, 4]])
    assert features_of_images(files, [*images, IMAGES[10]]) is None
    names = [image for path in files for some, _ in batches(path) for image in some]
    assert names == IMAGES[:10]


def test_only_what_is_asked_for_is_read(folder: Path) -> None:
    path = folder / "net-a" / "0000000000.vectors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1  # of the last vector
    path.write_bytes(data)
    found = features_of_images([path], IMAGES[5:9])
    assert found is not None
    assert np.array_equal(found, FEATURES[5:9])
    with pytest.raises(PermanentFailure, match=r"0000000000.vectors are damaged.*--repair"):
        features_of_images([path], IMAGES[5:10])
    with pytest.raises(PermanentFailure, match="damaged"):
        list(batches(path))


def test_a_cut_file_is_named(folder: Path) -> None:
    for path in feature_files(folder, "net-a/"):
        path.write_bytes(path.read_bytes()[:100])
        with pytest.raises(PermanentFailure, match=path.name):
            list(batches(path))
