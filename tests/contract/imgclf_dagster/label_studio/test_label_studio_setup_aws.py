"""What `imgclf label-studio setup` makes on profile aws: images and backup in the bucket."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imgclf_dagster.home.home import prepare_home
from imgclf_dagster.label_studio.install import Installation
from imgclf_dagster.label_studio.setup import set_up
from imgclf_dagster.profiles.store import open_store
from imgclf_dagster.settings.root import Settings, load_settings
from tests.label_studio.server import LabelStudioServer
from tests.ports import free_port
from tests.testbed.account import aws_section
from tests.testbed.bed import TestBed

pytestmark = pytest.mark.contract


class Line:
    """A line on AWS with a Label Studio beside it that has the rights to read the bucket."""

    def __init__(self, server: LabelStudioServer, section: dict[str, Any], title: str) -> None:
        self.server, self.section, self.title = server, section, title

    def settings(self, **label_studio: Any) -> Settings:
        access = {
            "url": self.server.url,
            "token": self.server.token,
            "project_title": self.title,
        }
        settings = load_settings(
            profile="aws",
            aws=self.section,
            label_studio=access | label_studio,
            labels={"names": ["cat", "dog"]},
            ports={"labelling": free_port()},
        )
        prepare_home(settings)
        return settings

    def storages(self, kind: str, project: int) -> list[dict[str, Any]]:
        with self.server.client() as client:
            found: list[dict[str, Any]] = client.get(
                f"/api/storages/{kind}", params={"project": project}
            ).json()
        return found


@pytest.fixture(scope="module")
def server(
    bed: TestBed,
    label_studio_installation: Installation,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[LabelStudioServer]:
    """A Label Studio that has the credentials of the bed's AWS in its environment."""
    folder = tmp_path_factory.mktemp("label-studio-aws")
    started = LabelStudioServer(folder, label_studio_installation, bed.environ)
    try:
        yield started.start()
    finally:
        started.close()


@pytest.fixture
def line(
    aws_environment: TestBed,
    server: LabelStudioServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Line:
    """A home and a project of its own."""
    for name in ("DAGSTER_HOME", "IMGCLF_SETTINGS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("IMGCLF_HOME", str(tmp_path / "home"))
    section = {**aws_section(aws_environment), "prefix": "line"}
    return Line(server, section, tmp_path.name[:50])


def test_images_come_from_the_bucket_and_annotations_are_backed_up(line: Line) -> None:
    settings = line.settings(backup_prefix="label-studio-backup/")
    done = set_up(settings)
    assert line.storages("s3", done.project_id) == []  # it takes no prefix that is empty
    open_store(settings).create("raw/lake/1.png", b"an image")
    for _ in range(2):
        done = set_up(settings)
        assert [problem for problem in done.problems if "ML backend" not in problem] == []
        (source,) = line.storages("s3", done.project_id)
        assert (source["bucket"], source["prefix"]) == (line.section["bucket"], "line/raw")
        assert (source["presign"], source["last_sync"]) == (False, None)
        # Label Studio finds the keys of its own environment or role; none are sent to it.
        assert not source.get("aws_access_key_id")
        (target,) = line.storages("export/s3", done.project_id)
        assert (target["bucket"], target["prefix"]) == (
            line.section["bucket"],
            "label-studio-backup",
        )
    assert line.storages("localfiles", done.project_id) == []


@pytest.mark.parametrize("prefix", ["line/annotations/backup", "line/raw", "line"])
def test_the_backup_must_not_lie_among_the_lines_own_keys(line: Line, prefix: str) -> None:
    done = set_up(line.settings(backup_prefix=prefix))
    problem = next(problem for problem in done.problems if problem.startswith("the images"))
    assert "label-studio-backup" in problem
    assert line.storages("export/s3", done.project_id) == []
