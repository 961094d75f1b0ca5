"""An export in a real Label Studio: it imports the tasks, shows the images, and exports the same."""

from pathlib import Path

import pytest

from imgclf_dagster.export.run import export_dataset
from labelling.exports.formats import FORMATS
from tests.label_studio.server import LabelStudioServer
from tests.unit.imgclf_dagster.export.export_room import (
    make_dataset,
    odd_classes,
    open_store,
    said_of,
    several_labels,
)

pytestmark = pytest.mark.contract


@pytest.mark.parametrize("task", ["single_label", "multi_label"])
def test_tasks_annotations_and_images_arrive(
    label_studio: LabelStudioServer, tmp_path: Path, task: str
) -> None:
    images = odd_classes() if task == "single_label" else several_labels()
    store = open_store(tmp_path / "store")
    place = label_studio.document_root / f"exported 100% {task}"
    dataset = make_dataset(store, images, task=task)
    export_dataset(dataset, FORMATS["label-studio"], place, store=store)
    with label_studio.client() as client:
        page = (place / "label_config.xml").read_text(encoding="utf-8")
        made = client.post("/api/projects", json={"title": place.name, "label_config": page})
        assert made.status_code == 201, made.text
        project = made.json()["id"]
        storage = {"project": project, "path": str(place), "use_blob_urls": True}
        assert client.post("/api/storages/localfiles", json=storage).status_code == 201
        tasks = place / "tasks.json"
        sent = client.post(
            f"/api/projects/{project}/import", files={"file": (tasks.name, tasks.read_bytes())}
        )
        assert sent.status_code == 201, sent.text
        assert sent.json()["task_count"] == sent.json()["annotation_count"] == len(images)
        back = client.get(f"/api/projects/{project}/export", params={"exportType": "JSON"}).json()
        by_sha = {image.sha256: image.data for image in images}
        taken = {}
        for entry in back:
            shown = client.get(entry["data"]["image"])
            assert shown.content == by_sha[entry["data"]["sample_id"]]
            (annotation,) = entry["annotations"]
            labels = [label for one in annotation["result"] for label in one["value"]["choices"]]
            taken[entry["data"]["sample_id"]] = tuple(sorted(labels))
        label_studio.delete_project(project)
    assert taken == said_of(images)
    assert {entry["data"]["split"] for entry in back} == {"train", "val", "test"}
