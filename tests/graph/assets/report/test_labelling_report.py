"""The labelling report, from an empty store to a line with a model and people who label."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from assets.annotations.label_index import labels_table
from assets.queue.ledger import QueueBatch, QueuedImage, write_batch
from assets.records.trained_model import TrainedModelRecord
from assets.report.curve_job import curve_job, why_no_curve
from assets.report.labelling_report import REPORTS, _open_tasks
from labelling.label_studio.ledger import label_studio_key
from labelling.labels.snapshots import AnnotationSnapshot, PredictionOrigin
from labelling.report.report import LabellingReport
from resources.label_studio.types import LabelStudioDown
from tests.graph.done_jobs import MODEL, PICTURES, SPLIT, DoneJobs

pytestmark = pytest.mark.graph

MORNING = datetime(2026, 3, 2, 9, tzinfo=UTC)


def reports(world: Any) -> list[str]:
    return sorted(info.key for info in world.store.list(REPORTS))


def newest(world: Any) -> LabellingReport:
    return LabellingReport.model_validate_json(world.store.get(reports(world)[-1]))


def materialize(world: Any) -> dict[str, Any]:
    done = world.run("labelling_report")
    assert done.success, done.why
    return {**done.metadata("labelling_report"), "version": done.version("labelling_report")}


def annotate(world: Any, image: str, label: str, guess: str, *, second: float, **more: Any) -> None:
    """What the sensor writes of an annotation in Label Studio."""
    snapshot = AnnotationSnapshot(
        **{
            "sha256": image,
            "labels": (label,),
            "annotator": "label_studio:ann@example.com",
            "source": "label_studio",
            "annotated_at": MORNING + timedelta(seconds=second),
            "annotation_id": "1",
            "unique_id": f"{image[:8]}-{second}",
            "lead_time_s": 4.0,
            "prediction": PredictionOrigin(model_version="train-x", labels=(guess,)),
            **more,
        }
    )
    world.store.put(label_studio_key(snapshot), snapshot.to_json())


def queue(world: Any, reasons: dict[str, str]) -> None:
    """A batch that the queue chose, by image and reason."""
    images = tuple(
        QueuedImage(sha256=sha, key=f"raw/{sha}", reason=why, score=1, why=why, priority=0.5)
        for sha, why in reasons.items()
    )
    batch = QueueBatch(batch="b" * 12, created_at=MORNING, pace=0, wanted=9, open=0, images=images)
    write_batch(world.store, batch)


@pytest.fixture(scope="module", params=["local", "aws"])
def line(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    open_shop: Callable[..., Any],
    done_jobs: DoneJobs,
) -> Any:
    """A home with a trained model, on each profile."""
    home = tmp_path_factory.mktemp("report") / "home"
    profile = request.getfixturevalue("aws_settings") if request.param == "aws" else {}
    shop = open_shop(home, training=MODEL, split=SPLIT, **profile)
    shop.add_classes(PICTURES)
    with done_jobs.shared(shop.compute):
        done = shop.run("raw_images", "annotations", "dataset", "trained_model")
    assert done.success, done.why
    return shop


def test_an_empty_line_has_a_page_that_says_how_to_begin(world: Any) -> None:
    found = materialize(world)
    assert found["annotations"] == 0
    assert found["learning curve"] == "none: no model was trained yet"
    html = world.store.get(found["page"]).decode()
    assert "No labels yet" in html
    assert newest(world).open_tasks is None


def test_what_people_did_is_reported_before_there_is_a_model(world: Any, photo: Any) -> None:
    shas = [world.add(f"{n}.png", photo(n)) for n in range(6)]
    for n, sha in enumerate(shas):
        annotate(world, sha, "red", "red" if n else "blue", second=10 * n)
    annotate(world, shas[0], "red", "", second=70, unique_id="skip", skipped=True, labels=())
    queue(world, {shas[0]: "uncertainty", shas[1]: "exploration"})
    assert world.run("raw_images", "annotations").success
    found = materialize(world)
    assert found["annotations"] == 6
    assert found["skipped"] == 1
    assert found["prelabels_kept"] == pytest.approx(5 / 6, abs=1e-3)
    assert found["seconds_per_task"] == 4.0
    assert found["labels_per_hour"] == pytest.approx(6 / 74 * 3600, rel=1e-3)
    assert "| blue | 0% |" in found["prelabels kept by class"]
    assert "| uncertainty | 0% |" in found["prelabels kept by reason"]
    assert "| exploration | 100% |" in found["prelabels kept by reason"]
    assert "ann@example.com" in world.store.get(found["page"]).decode()


def test_an_annotation_that_says_what_no_label_is_does_not_count(
    empty_world: Any, tmp_path: Any, photo: Any
) -> None:
    world = empty_world(tmp_path / "home", labels={"names": ("red", "blue")})
    sha = world.add("1.png", photo(1))
    annotate(world, sha, "red", "red", second=0, unique_id="u1")
    annotate(world, sha, "mauve", "red", second=60, unique_id="u1")
    assert "annotations" in world.run("raw_images", "annotations").materialized
    assert materialize(world)["annotations"] == 0


def test_nothing_new_makes_no_new_report(world: Any) -> None:
    first = materialize(world)
    again = materialize(world)
    assert (again["page"], again["version"]) == (first["page"], first["version"])
    assert len(reports(world)) == 2


def test_a_run_that_was_killed_before_the_numbers_is_made_good(world: Any) -> None:
    page = materialize(world)["page"]
    world.store.delete(page.replace(".html", ".json"))
    found = materialize(world)
    assert found["page"] > page
    assert world.store.exists(found["numbers"])


def test_a_report_of_another_format_is_followed_by_one_of_ours(world: Any) -> None:
    world.store.put(f"{REPORTS}{1:013d}.json", b'{"old": true}')
    assert materialize(world)["numbers"] > f"{REPORTS}{1:013d}.json"


def test_the_learning_curve_is_measured_once(line: Any) -> None:
    first = materialize(line)
    assert first["job"].startswith("curve-")
    assert "(data:image/" in first["learning curve"]
    assert first["what more labels would bring"]
    report = newest(line)
    assert report.curve is not None
    assert report.curve.labels + report.curve.held == 72
    assert report.curve.saved.why_not == "the queue has chosen nothing yet"
    assert any("scratch" in note for note in report.curve.notes)
    again = materialize(line)
    assert (again["job"], again["reused"]) == (first["job"], True)


def test_images_that_the_queue_chose_are_compared_with_the_others(line: Any) -> None:
    before = materialize(line)["job"]
    rows = line.manifest(newest(line).curve.dataset_version).items()
    train = sorted(sha for sha, row in rows if row["split"] == "train")
    queue(line, {sha: "uncertainty" if n else "exploration" for n, sha in enumerate(train[:9])})
    assert materialize(line)["job"] != before
    saved = newest(line).curve.saved
    assert (saved.chosen, saved.random) == (8, len(train) - 8)


def trained(dataset_version: str, model_version: str = "m") -> TrainedModelRecord:
    return TrainedModelRecord(
        model_version=model_version, dataset_version=dataset_version, digest="d"
    )


def test_features_that_are_there_are_not_computed_again(line: Any) -> None:
    assert line.run("embeddings").success
    measured = newest(line).curve
    spec = curve_job(
        line.store, line.compute, trained(measured.dataset_version, measured.model_version)
    )
    assert spec.channels["features"].keys
    assert all(key.endswith(".vectors") for key in spec.channels["features"].keys)


def test_why_there_is_no_curve(line: Any) -> None:
    (version,) = {
        info.key.split("/")[1]
        for info in line.store.list("datasets/")
        if info.key.endswith("/card.json")
    }
    gone = why_no_curve(line.store, trained("0" * 16))
    assert "not in the store" in gone
    card = json.loads(line.store.get(f"datasets/{version}/card.json"))
    counts = {name: {**row, "test": 0} for name, row in card["counts"].items()}
    empty = "e" * len(version)
    emptied = {**card, "version": empty, "counts": counts}
    line.store.put(f"datasets/{empty}/card.json", json.dumps(emptied).encode())
    assert "split test" in why_no_curve(line.store, trained(empty))
    line.store.delete(f"datasets/{empty}/card.json")


def test_the_table_is_read_and_not_changed(world: Any) -> None:
    before = labels_table(world.store).version()
    materialize(world)
    assert labels_table(world.store).version() == before


class _Studio:
    """A client of Label Studio, and its part ``project``; down if ``tasks`` is ``None``."""

    configured = True
    project = property(lambda self: self)

    def __init__(self, tasks: int | None, labelled: int = 0) -> None:
        self._tasks, self._labelled = tasks, labelled

    def read(self) -> Any:
        if self._tasks is None:
            raise LabelStudioDown("Label Studio does not answer")
        return SimpleNamespace(tasks=self._tasks, labelled=self._labelled)


def test_the_length_of_the_queue_is_label_studio_s_own() -> None:
    log = Mock()
    assert _open_tasks(log, _Studio(12, 3)) == 9
    assert _open_tasks(log, _Studio(2, 3)) == 0
    assert not log.warning.called
    assert _open_tasks(log, _Studio(None)) is None
    assert "Label Studio does not answer" in log.warning.call_args.args[0]
