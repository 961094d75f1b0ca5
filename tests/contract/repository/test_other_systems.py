"""What Linux has and other systems lack: everything starts without it."""

import os
import subprocess
import sys
import threading
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from assets.policies import IngestionPolicy
from imgclf_dagster.ingest.ingest import ingest
from labelling.labels.schema import LabelSchema
from labelling.sources.read import read_source
from object_store.rows import ObjectInfo
from object_store.store import ObjectStore
from training.container.hardware import usable_cores

pytestmark = pytest.mark.contract

ROOT = Path(__file__).parents[3]

LINUX_ONLY = (
    *("sched_getaffinity", "sched_setaffinity", "setresuid", "setresgid", "getresuid"),
    *("getresgid", "posix_fallocate", "posix_fadvise", "memfd_create", "pidfd_open", "eventfd"),
    *("copy_file_range", "splice", "fdatasync", "getrandom", "setns", "unshare"),
)
"""Names of ``os`` that macOS does not have (https://docs.python.org/3/library/os.html)."""


def test_no_core_is_counted_by_a_call_that_macos_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    for name in LINUX_ONLY:
        monkeypatch.delattr(os, name, raising=False)
    assert usable_cores() == os.cpu_count()


_START = """
import os, sys
for name in {names!r}:
    if hasattr(os, name):
        delattr(os, name)
# Other people's modules look for what their own system has.
import fastapi, filelock, httpx, numpy, obstore, onnxruntime, psutil, urllib.request, uvicorn
sys.platform = "darwin"
from pathlib import Path
from serving.endpoint.app import create_app
from serving.endpoint.host import EndpointHost
from serving.container import ContainerModel, create_container_app
from object_store.store import ObjectStore
import training.container.privileges, training.container.distributed, imgclf_dagster.processes.supervisor
import imgclf_dagster.processes.process_groups, benchmarks.page
create_app(EndpointHost(ObjectStore(url=Path(sys.argv[1]).as_uri()), "imgclf"))
create_container_app(ContainerModel(Path(sys.argv[1]), "train-1", "0" * 64))
assert benchmarks.page.machine()
print("started")
"""


def test_the_endpoint_host_starts_without_what_macos_lacks(tmp_path: Path) -> None:
    program = _START.format(names=LINUX_ONLY)
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "started\n", done.stderr


def test_windows_is_told_where_it_runs_before_anything_is_imported() -> None:
    program = (
        "import sys; sys.platform = 'win32'\n"
        "for name in ('fcntl', 'pwd', 'resource', 'typer', 'dagster'): sys.modules[name] = None\n"
        "from imgclf_dagster.cli.entry import main\nmain()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("imgclf runs on Linux and macOS. On Windows, use WSL 2")
    assert len(done.stderr.splitlines()) == 1


class _CaseInsensitive(ObjectStore):
    """A store on a file system that does not tell ``A.png`` from ``a.png``, nor one Unicode form
    from another, but remembers how a name was first written: APFS."""

    def _there(self, key: str) -> str:
        assert self.root is not None
        files = (file.relative_to(self.root) for file in self.root.rglob("*") if file.is_file())
        known = {_folded(file.as_posix()): file.as_posix() for file in files}
        return known.get(_folded(key), key)

    def create_tagged(self, key: str, data: bytes | Path, *, durable: bool = False) -> str | None:
        with _CREATING:
            return super().create_tagged(self._there(key), data, durable=durable)

    def get(self, key: str) -> bytes:
        return super().get(self._there(key))

    def head(self, key: str) -> ObjectInfo:
        return super().head(self._there(key))


_CREATING = threading.Lock()


def _folded(key: str) -> str:
    return unicodedata.normalize("NFD", key).casefold()


def test_names_that_differ_in_case_or_form_only_are_all_kept(tmp_path: Path) -> None:
    source = tmp_path / "photos"
    names = (
        "Cat.png",
        "cat.png",
        unicodedata.normalize("NFC", "é.png"),
        unicodedata.normalize("NFD", "é.png"),
    )
    source.mkdir()
    for value, name in enumerate(names):
        Image.fromarray(np.full((8, 8, 3), 60 * value, dtype=np.uint8)).save(source / name)
    store = _CaseInsensitive(url=(tmp_path / "store").as_uri())
    store.ensure()
    for is_first in (True, False):
        report = ingest(
            read_source(source), store=store, policy=IngestionPolicy(), schema=LabelSchema()
        )
        assert (report.new, report.known) == ((4, 0) if is_first else (0, 4))
        assert report.rejected == []
    assert len(list(store.list("raw/"))) == 4
