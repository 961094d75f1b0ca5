"""``imgclf ingest`` killed -9 again and again, and repeated: all arrives, whole, once."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import tarfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from object_store.store import ObjectStore
from tests.patience import WAIT_S, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("cold_programs")]

IMAGES = 1500


@pytest.fixture
def archive(tmp_path: Path) -> tuple[Path, dict[str, bytes]]:
    rng = np.random.default_rng(0)
    files = {}
    with tarfile.open(tmp_path / "set.tar", "w") as tar:
        for index in range(IMAGES):
            sink = BytesIO()
            noise = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
            Image.fromarray(noise).save(sink, "PNG")
            name = f"{'cat' if index % 2 else 'dog'}/{index:04d}.png"
            files[name] = sink.getvalue()
            header = tarfile.TarInfo(name)
            header.size = len(files[name])
            tar.addfile(header, BytesIO(files[name]))
    return tmp_path / "set.tar", files


def start(source: Path, home: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "IMGCLF_HOME": str(home), "OMP_NUM_THREADS": "1"}
    environment.pop("IMGCLF_SETTINGS", None)
    command = [sys.executable, "-m", "imgclf_dagster.cli.entry", "ingest", "--json", str(source)]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def arrived(home: Path) -> int:
    return sum(1 for path in home.glob("store/raw/set/*/*.png"))


def until_arrived(home: Path, wanted: int, process: "subprocess.Popen[str]") -> None:
    wait_for(lambda: arrived(home) >= wanted or process.poll() is not None, every_s=0.002)


def test_an_ingest_that_is_killed_is_completed_by_the_next(tmp_path, archive):
    source, files = archive
    home = tmp_path / "home"
    store = ObjectStore(url=(home / "store").as_uri())
    for wanted in (1, 300):
        process = start(source, home)
        until_arrived(home, wanted, process)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        listed = store.list("raw/")
        assert wanted <= len(listed) < IMAGES
        for item in listed:  # nothing half-written is ever listed
            assert store.get(item.key) == files[item.key.removeprefix("raw/set/")]
        for item in store.list("annotations/"):
            json.loads(store.get(item.key))
    before = len(store.list("raw/"))
    process = start(source, home)
    output, _ = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0
    report = json.loads(output)
    assert (report["new"], report["known"], report["rejected"]) == (IMAGES - before, before, [])
    assert {item.key for item in store.list("raw/")} == {f"raw/set/{name}" for name in files}
    labelled = [json.loads(store.get(item.key)) for item in store.list("annotations/")]
    assert len(labelled) == IMAGES
    assert {(item["sha256"], *item["labels"]) for item in labelled} == {
        (hashlib.sha256(data).hexdigest(), name.split("/")[0]) for name, data in files.items()
    }
