"""One image before several annotators, on a real Label Studio with people of their own accounts."""

import pytest

from imgclf_dagster.settings.root import load_settings
from labelling.labels.agreement import agreement_of
from resources.label_studio.server import ServerApi
from resources.label_studio.types import Overlap
from tests.contract.imgclf_dagster.label_studio.label_studio_line import Line, line
from tests.contract.resources.label_studio.label_studio_project import (
    StudioProject,
    make_studio,
    new_task,
    sha,
)
from tests.label_studio.annotators import Annotator
from tests.label_studio.server import LabelStudioServer

__all__ = ["line"]

pytestmark = pytest.mark.contract


@pytest.fixture
def studio(label_studio: LabelStudioServer, request: pytest.FixtureRequest) -> StudioProject:
    return make_studio(label_studio, request.node.name)


@pytest.fixture(scope="module")
def two(_label_studio: LabelStudioServer) -> tuple[Annotator, Annotator]:
    server = _label_studio.start()
    return Annotator.invited(server), Annotator.invited(server)


def statements(studio: StudioProject) -> dict[str, dict[str, frozenset[str]]]:
    """Image to annotator to label, as the server has them."""
    return {
        task["data"]["sample_id"]: {
            str(one["completed_by"]): frozenset(one["result"][0]["value"]["choices"])
            for one in task["annotations"]
        }
        for task in studio.tasks()
    }


def test_a_share_of_the_tasks_is_served_to_both(
    studio: StudioProject, two: tuple[Annotator, Annotator]
):
    first, second = two
    studio.client.project.ensure_overlap(Overlap(2, 50))
    studio.client.imports.import_missing(new_task(number) for number in range(4))
    assert studio.client.tasks.count_untouched() == 4

    assert sorted(first.label_all(studio.id, "cat")) == sorted(map(sha, range(4)))
    refs = studio.client.tasks.list_refs()
    assert [ref.annotations for ref in refs] == [1] * 4
    assert sum(ref.is_labeled for ref in refs) == 2  # the others wait for another person
    assert studio.client.tasks.count_untouched() == 0
    assert studio.client.withdrawals.withdraw(map(sha, range(4))) == 0

    assert len(second.label_all(studio.id, "dog")) == 2
    assert all(ref.is_labeled for ref in studio.client.tasks.list_refs())
    found = agreement_of(statements(studio), "single_label")
    assert (found.images, found.same) == (2, 0.0)
    assert found.alpha is not None
    assert [pair.images for pair in found.pairs] == [2]


def test_a_later_import_asks_for_second_opinions_on_what_one_person_labelled(
    studio: StudioProject, two: tuple[Annotator, Annotator]
):
    first, second = two
    studio.client.project.ensure_overlap(Overlap(2, 50))
    studio.client.imports.import_missing(new_task(number) for number in range(4))
    done = set(first.label_all(studio.id, "cat"))
    second.label_all(studio.id, "cat")
    changed = {task["id"]: task["updated_at"] for task in studio.tasks()}

    studio.client.imports.import_missing(new_task(number) for number in range(4, 8))

    again = [ref for ref in studio.client.tasks.list_refs() if ref.annotations == 1]
    assert len(again) == 2
    assert not any(ref.is_labeled for ref in again)
    assert studio.client.tasks.count_untouched() == 4
    now = {task["id"]: task["updated_at"] for task in studio.tasks()}
    assert {number: now[number] for number in changed} == changed  # nothing for the poll to read
    served = second.next_task(studio.id)
    assert served is not None
    assert served["data"]["sample_id"] in done & {ref.sample_id for ref in again}


def test_one_annotator_is_the_default_and_any_change_is_followed(
    studio: StudioProject, two: tuple[Annotator, Annotator]
):
    first, second = two
    assert studio.client.project.overlap() == Overlap(1, 100)
    studio.client.imports.import_missing(new_task(number) for number in range(3))
    first.label_all(studio.id, "cat")
    assert second.next_task(studio.id) is None

    studio.client.project.ensure_overlap(Overlap(2, 100))
    assert [ref.is_labeled for ref in studio.client.tasks.list_refs()] == [False] * 3
    second.label_all(studio.id, "cat")
    studio.client.project.ensure_overlap(Overlap(3, 34))
    assert studio.client.project.overlap() == Overlap(3, 34)
    studio.client.project.ensure_overlap(Overlap(1, 20))
    assert studio.client.project.overlap().annotators == 1
    assert [(ref.is_labeled, ref.annotations) for ref in studio.client.tasks.list_refs()] == [
        (True, 2)
    ] * 3


def test_skipped_tasks_do_not_wait(studio: StudioProject):
    studio.client.imports.import_missing(new_task(number) for number in range(3))
    studio.annotate(studio.task_id(0))
    studio.annotate(studio.task_id(1), was_cancelled=True)
    assert studio.client.tasks.count_untouched() == 1


def test_the_set_up_keeps_the_project_to_the_settings(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wanted() -> tuple[int, int]:
        row = line.get(f"/api/projects/{line.set_up().project_id}/")
        return row["maximum_annotations"], row["overlap_cohort_percentage"]

    assert wanted() == (1, 100)
    assert "annotators per task" not in line.findings()
    line.labelling = {"annotators_per_task": 2, "overlap_share": 0.25}
    found = line.findings()["annotators per task"]
    assert (found.health, "1 annotator per task" in found.detail) == ("warning", True)
    assert "`imgclf label-studio setup`" in found.remedy

    assert wanted() == (2, 25)
    with monkeypatch.context() as patched:
        patched.setattr(ServerApi, "count_users", lambda _: 1)
        found = line.findings()["annotators per task"]
    assert found.health == "warning"
    assert found.detail == "2 annotators for 25% of the tasks, and Label Studio has 1 user"
    Annotator.invited(line.server)
    assert line.findings()["annotators per task"].health == "ok"

    with line.server.client() as http:
        by_hand = {"maximum_annotations": 1}
        http.patch(f"/api/projects/{line.set_up().project_id}/", json=by_hand).raise_for_status()
    assert wanted() == (2, 25)
    line.labelling = {}
    assert wanted()[0] == 1


def test_a_share_is_said_in_percent_that_label_studio_takes() -> None:
    from imgclf_dagster.label_studio.setup import overlap_of

    shares = {0.01: 1, 0.125: 12, 0.29: 29, 1.0: 100}
    for share, percent in shares.items():
        policy = {"annotators_per_task": 3, "overlap_share": share}
        assert overlap_of(load_settings(labelling=policy)) == Overlap(3, percent)
