"""A job in the background leaves the cores of this machine to others."""

from pathlib import Path
from typing import Any

import psutil
import pytest

from resources.compute.job_spec import JobSpec
from resources.compute.local.folder import JobFolder

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(("background", "niceness"), [(True, [10]), (False, [])])
def test_its_process_is_nice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, background: bool, niceness: list[int]
) -> None:
    given: list[int] = []

    class Process:
        def __init__(self, *_: Any, **__: Any) -> None:
            pass

        def nice(self, value: int) -> None:
            given.append(value)

    monkeypatch.setattr(psutil, "Popen", Process)
    folder = JobFolder(tmp_path)
    folder.root.mkdir()
    spec = JobSpec(name="train-1", kind="training", module="a.b", background=background)
    folder.start(spec, {}, None)
    assert given == niceness
