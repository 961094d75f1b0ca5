"""What `imgclf label-studio setup` makes on a real server."""

import json
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import pytest

from imgclf_dagster.label_studio import setup as label_studio_setup
from imgclf_dagster.label_studio.client import build_label_studio
from imgclf_dagster.label_studio.setup import NoLabelsYet, _project
from imgclf_dagster.profiles.store import open_store
from labelling.labels.events import Rename, event_key, to_json
from resources.label_studio.types import LabelStudioRefused
from tests.contract.imgclf_dagster.label_studio.label_studio_line import Line, line

__all__ = ["line"]

pytestmark = pytest.mark.contract


def test_all_of_it_is_there_and_again_nothing_changes(line: Line) -> None:
    with line.backend("train-1") as url:
        first = line.set_up()
        before = _all_of(line, first.project_id)
        again = line.set_up()
    assert first.problems == ()
    assert first.labels == ("cat", "dog")
    assert first.link == f"{line.server.url}/projects/{first.project_id}/data"
    assert again == first
    assert _all_of(line, first.project_id) == before
    assert [item["url"] for item in before["backends"]] == [url]
    assert f"{url}/webhook" in before["webhooks"]
    assert len(before["storages"]) == 1


def _all_of(line: Line, project: int) -> dict[str, Any]:
    hooks = line.get("/api/webhooks/")
    backends = line.get("/api/ml/", project=project)
    return {
        "config": line.get(f"/api/projects/{project}/")["label_config"],
        "storages": [row["id"] for row in line.get("/api/storages/localfiles", project=project)],
        "backends": [{name: row[name] for name in ("id", "url", "title")} for row in backends],
        "webhooks": sorted(row["url"] for row in hooks if row["project"] == project),
    }


def test_what_was_undone_by_hand_is_done_again(line: Line) -> None:
    with line.backend():
        project = line.set_up().project_id
        with line.server.client() as client:
            (backend,) = client.get("/api/ml/", params={"project": project}).json()
            assert client.delete(f"/api/ml/{backend['id']}").status_code == 204
            fields = {"show_collab_predictions": False}
            assert client.patch(f"/api/projects/{project}/", json=fields).status_code == 200
        line.set_up()
    assert len(line.get("/api/ml/", project=project)) == 1
    assert line.get(f"/api/projects/{project}/")["show_collab_predictions"]


@pytest.mark.parametrize("title", ["no model yet", "train-7"])
def test_pre_labels_of_a_model_that_is_not_deployed_stay(line: Line, title: str) -> None:
    """The queue shows those of the newest model until one is on staging."""
    with line.backend():
        project = line.set_up().project_id
        line.predict(project, "train-7")
        with line.server.client() as client:
            shown = {"model_version": "train-7"}
            assert client.patch(f"/api/projects/{project}/", json=shown).status_code == 200
        line.retitle(project, title)  # as the queue once did
        assert line.set_up().problems == ()
        assert line.get(f"/api/projects/{project}/")["model_version"] == "train-7"
        (prediction,) = line.get(f"/api/projects/{project}/next")["predictions"]
        assert prediction["model_version"] == "train-7"


def test_a_backend_that_is_not_there_holds_up_nothing_else(line: Line) -> None:
    done = line.set_up()
    assert len(done.problems) == 1, done.problems
    assert done.problems[0].startswith("the ML backend at http://127.0.0.1:")
    assert "SUBNETS" not in done.problems[0]
    assert len(line.get("/api/storages/localfiles", project=done.project_id)) == 1
    with line.backend():
        assert line.set_up().problems == ()
    assert len(line.get("/api/ml/", project=done.project_id)) == 1


def test_new_labels_come_in_and_one_in_use_never_goes(line: Line) -> None:
    with line.backend():
        project = line.set_up().project_id
        line.labels = {"names": ["cat", "dog", "bird"]}
        assert line.set_up().labels == ("cat", "dog", "bird")
        _label(line, project, "dog")
        line.labels = {"names": ["cat", "bird"]}
        with pytest.raises(LabelStudioRefused, match="dog"):
            line.set_up()
        line.labels = {"names": ["cat", "dog"]}
        assert line.set_up().labels == ("cat", "dog")


def test_a_class_that_was_renamed_is_offered_by_its_new_name(line: Line) -> None:
    with line.backend():
        project = line.set_up().project_id
        _label(line, project, "dog")
        event = Rename(at=datetime.now(UTC), by="me", old=("dog",), new="hound")
        store = open_store(line.settings())
        store.create(event_key(event), to_json(event))
        assert line.set_up().labels == ("cat", "hound")
        line.labels = {"names": ["cat", "hound"]}
        assert line.set_up().labels == ("cat", "hound")
        line.labels = {}  # of an open schema, what is on the page
        assert _project(line.settings(), build_label_studio(line.settings()), ["cat"]).labels == (
            "cat",
            "hound",
        )


def _label(line: Line, project: int, label: str) -> None:
    with line.server.client() as client:
        task = client.post(
            "/api/tasks/",
            json={
                "project": project,
                "data": {"image": "/x.png", "sample_id": "0" * 64, "why": ""},
            },
        ).json()
        result = [
            {
                "from_name": "label",
                "to_name": "image",
                "type": "choices",
                "value": {"choices": [label]},
            }
        ]
        answer = client.post(f"/api/tasks/{task['id']}/annotations/", json={"result": result})
        assert answer.status_code == 201, answer.text


def test_of_an_open_schema_what_people_added_stays(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    line.labels = {}
    with pytest.raises(NoLabelsYet, match="ingest some labelled images"):
        line.set_up()
    known = ["b", "c"]
    monkeypatch.setattr(label_studio_setup, "labels_of", lambda _: tuple(known))
    with line.backend():
        project = line.set_up().project_id
        config = line.get(f"/api/projects/{project}/")["label_config"]
        by_hand = config.replace('<Choice value="c"', '<Choice value="by hand" /><Choice value="c"')
        with line.server.client() as client:
            client.patch(f"/api/projects/{project}/", json={"label_config": by_hand})
        known.insert(0, "a")
        assert line.set_up().labels == ("b", "by hand", "c", "a")


def test_labels_of_the_newest_data_set(line: Line) -> None:
    line.labels = {}
    settings = line.settings()
    with dg.DagsterInstance.from_config(str(settings.dagster_home)) as instance:
        metadata = {"dataset_version": "0" * 16}
        instance.report_runless_asset_event(
            dg.AssetMaterialization(asset_key="dataset", metadata=metadata)
        )
    card = settings.store_dir / "datasets" / ("0" * 16) / "card.json"
    card.parent.mkdir(parents=True)
    card.write_text(
        json.dumps(
            {
                "version": "0" * 16,
                "task": "single_label",
                "labels": ["lake", "sea"],
                "counts": {},
                "shards": [],
            }
        )
    )
    with line.backend():
        assert line.set_up().labels == ("lake", "sea")
