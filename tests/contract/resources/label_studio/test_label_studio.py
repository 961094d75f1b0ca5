"""The client of Label Studio against a real server: connection and project."""

import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from labelling.label_studio.config import label_config, parse_label_config
from labelling.label_studio.tasks import read_task
from labelling.labels.schema import LabelSchema
from resources.label_studio.client import LabelStudioClient
from resources.label_studio.session import open_session
from resources.label_studio.types import (
    LabelStudioDown,
    LabelStudioRefused,
    ProjectMissing,
    TokenRefused,
    User,
)
from tests.contract.resources.label_studio.label_studio_project import (
    LABELS,
    StudioProject,
    make_studio,
    new_task,
)
from tests.label_studio.proxy import Fault, Proxy, asked_again_at_once
from tests.label_studio.server import LabelStudioServer

pytestmark = pytest.mark.contract

ODD = ["a & b", '"q"', "<c>", "$d", "e,f"]


@pytest.fixture
def studio(label_studio: LabelStudioServer, request: pytest.FixtureRequest) -> StudioProject:
    return make_studio(label_studio, request.node.name)


@pytest.fixture
def proxy(label_studio: LabelStudioServer) -> Iterator[Proxy]:
    with Proxy(label_studio.url) as running:
        yield running


def test_who_and_what(studio: StudioProject):
    assert studio.client.server.user() == User(1, studio.server.username)
    assert studio.client.server.version() == "1.23.2"
    assert studio.client.configured
    assert studio.client.token_kind == "legacy"


def test_nothing_shows_the_token(studio: StudioProject):
    import dagster as dg
    from dagster._core.remote_representation.external_data import RepositorySnap
    from dagster._serdes import serialize_value

    token = studio.server.token
    definitions = dg.Definitions(resources={"label_studio": studio.client})
    shown = serialize_value(RepositorySnap.from_def(definitions.get_repository_def()))
    session = open_session(studio.server.url, token)
    assert token not in f"{studio.client} {studio.client!r} {session!r} {session.auth!r} {shown}"
    assert studio.server.url in shown
    with pytest.raises(TokenRefused) as refused:
        studio.client_at(studio.server.url, token=f"{token[:-1]}x").server.user()
    assert token[:-1] not in str(refused.value)


def test_not_configured():
    client = LabelStudioClient(url="", token="")
    assert not client.configured
    with pytest.raises(LabelStudioRefused, match="imgclf up --label-studio"):
        client.server.user()


def test_refused_token_names_the_remedy(studio: StudioProject):
    for token in ("0" * 40, "eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjF9.c2ln"):
        client = studio.client_at(studio.server.url, token=token)
        with pytest.raises(TokenRefused, match=f"{studio.server.url} refuses .*Account"):
            client.project.read()


def test_personal_token(studio: StudioProject, proxy: Proxy):
    token = studio.server.personal_token()
    client = studio.client_at(proxy.url, token=token)
    assert client.token_kind == "personal"
    assert client.server.user().email == studio.server.username
    assert client.project.read().title == studio.title
    assert proxy.count("POST", "/api/token/refresh/") == 1
    assert client.project.ensure(LabelSchema(), ["x", "y"]).labels == ("x", "y")  # by the SDK
    auth = open_session(proxy.url, token).auth
    auth._ends = time.time()
    client.server.user()
    assert proxy.count("POST", "/api/token/refresh/") == 2


def test_nobody_listens():
    client = LabelStudioClient(url="http://127.0.0.1:9", token="0" * 40, project_title="x")
    refused = pytest.raises(
        LabelStudioDown, match=r"no Label Studio answers at http://127\.0\.0\.1:9"
    )
    with asked_again_at_once(), refused:
        client.server.user()


def test_a_restart_is_survived(studio: StudioProject, proxy: Proxy):
    """What the server keeps of a project: test_label_studio_server.py."""
    client = studio.client_at(proxy.url)
    before = client.project.read()
    with proxy.down(), pytest.raises(LabelStudioDown, match="label_studio.url"):
        client.project.read()
    assert client.project.read() == before


@pytest.mark.parametrize("kind", ["lose", "drop", "status"])
def test_a_question_is_asked_again(studio: StudioProject, proxy: Proxy, kind):
    proxy.fail(Fault(kind, "GET", "/api/version"), Fault(kind, "GET", "/api/version"))
    with asked_again_at_once():
        assert studio.client_at(proxy.url).server.version() == "1.23.2"
    assert proxy.count("GET", "/api/version") == 3


def test_a_slow_server_is_given_up(studio: StudioProject, proxy: Proxy, monkeypatch):
    monkeypatch.setattr("resources.label_studio.session.TIMEOUT_S", 0.5)
    proxy.fail(Fault("late", "GET", "/api/version", seconds=3))
    with pytest.raises(LabelStudioDown, match=r"GET /api/version within 0\.5 s"):
        studio.client_at(f"{proxy.url}/").server.version()


def test_project_made_once(studio: StudioProject):
    project = studio.client.project.read()
    assert (project.labels, project.choice) == (LABELS, "single")
    assert (project.sampling, project.shows_predictions) == ("Uncertainty sampling", True)
    assert studio.client.project.ensure(LabelSchema(), LABELS) == project
    assert (
        studio.client_at(studio.server.url, project_title="", project_id=project.id).project.read()
        == project
    )


def test_made_once_though_the_answer_is_lost(label_studio: LabelStudioServer, proxy: Proxy):
    title = "lost, but made"
    client = LabelStudioClient(url=proxy.url, token=label_studio.token, project_title=title)
    with pytest.raises(ProjectMissing, match=title):
        client.project.read()
    proxy.fail(Fault("lose", "POST", "/api/projects"))
    made = client.project.ensure(LabelSchema(task="multi_label"), ODD)
    assert (made.labels, made.choice) == (tuple(ODD), "multiple")
    assert client.project.ensure(LabelSchema(task="multi_label"), ODD).id == made.id
    with label_studio.client() as client:
        rows = client.get("/api/projects/", params={"page_size": "1000"}).json()["results"]
    assert [row["title"] for row in rows].count(title) == 1


def test_deleted_project(studio: StudioProject):
    gone = studio.id
    studio.server.delete_project(gone)
    for client in (studio.client, studio.client_at(studio.server.url, project_id=gone)):
        for ask in (
            client.project.read,
            client.tasks.list_refs,
            lambda client=client: list(client.tasks.changed_since(None, limit=5)),
        ):
            with pytest.raises(ProjectMissing, match="imgclf up --label-studio"):
                ask()
        with pytest.raises(ProjectMissing):
            client.imports.import_missing([new_task(1)])
    assert studio.client.project.ensure(LabelSchema(), LABELS).id != gone


def test_a_project_and_its_tasks_tell_when_they_were_made(studio: StudioProject):
    before = datetime.now(UTC)
    made = studio.client.project.read().created_at
    assert abs(before - made) < timedelta(minutes=5)
    studio.client.imports.import_missing([new_task(1)])
    studio.annotate(studio.task_id(1))
    (ref,) = studio.client.tasks.list_refs()
    (raw,) = studio.client.tasks.changed_since(None, limit=5)
    reading = read_task(raw)
    (answer,) = reading.snapshots
    assert answer.created_at is not None
    assert made < ref.created_at < answer.created_at
    assert reading.created_at == ref.created_at
    assert studio.client.project.read().created_at == made


def test_spaces_around_a_title(studio: StudioProject):
    client = studio.client_at(studio.server.url, project_title=f" {studio.title} ")
    assert client.project.ensure(LabelSchema(), LABELS).id == studio.id


def test_title_that_the_server_would_not_take(label_studio: LabelStudioServer):
    client = LabelStudioClient(
        url=label_studio.url, token=label_studio.token, project_title="x" * 51
    )
    with pytest.raises(LabelStudioRefused, match="3 to 50 characters"):
        client.project.ensure(LabelSchema(), LABELS)


def test_labels_may_be_added_and_unused_ones_go(studio: StudioProject):
    assert studio.client.project.ensure(LabelSchema(), [*LABELS, "fish"]).labels == (
        *LABELS,
        "fish",
    )
    assert studio.client.project.ensure(LabelSchema(), ["fish", "cat"]).labels == ("fish", "cat")


def test_a_label_in_use_stays(studio: StudioProject):
    studio.client.imports.import_missing([new_task(1), new_task(2)])
    for number in (1, 2):
        studio.annotate(studio.task_id(number), "dog")
    with pytest.raises(LabelStudioRefused, match=r"dog \(2 annotations\).*labels\.names"):
        studio.client.project.ensure(LabelSchema(), ["cat", "bird"])
    assert studio.client.project.read().labels == LABELS


def test_a_class_that_was_renamed_leaves_the_page_though_annotations_use_it(studio: StudioProject):
    studio.client.imports.import_missing([new_task(1), new_task(2)])
    studio.annotate(studio.task_id(1), "dog")
    with pytest.raises(LabelStudioRefused, match=r"dog \(1 annotation\)"):
        studio.client.project.ensure(LabelSchema(), ["cat", "hound"], renamed=["bird"])
    project = studio.client.project.ensure(LabelSchema(), ["cat", "hound"], renamed=["dog"])
    assert project.labels == ("cat", "hound")


def test_a_page_of_before_it_told_of_its_keys_is_replaced(studio: StudioProject):
    page = label_config(LabelSchema(), LABELS)
    view = ET.fromstring(page)
    view.remove(view.findall("Header")[1])
    del view.find("Choices").attrib["requiredMessage"]
    studio.patch(f"/api/projects/{studio.id}/", label_config=ET.tostring(view, encoding="unicode"))
    studio.client.project.ensure(LabelSchema(), LABELS)
    assert studio.get(f"/api/projects/{studio.id}/")["label_config"] == page


def test_what_people_add_to_the_page_stays(studio: StudioProject):
    page = label_config(LabelSchema(), LABELS)
    added = page.replace("</View>", '<TextArea name="note" toName="image"/></View>')
    studio.patch(f"/api/projects/{studio.id}/", label_config=added)
    studio.client.project.ensure(LabelSchema(), LABELS)
    now = studio.get(f"/api/projects/{studio.id}/")["label_config"]
    assert now == added
    assert parse_label_config(now).names == LABELS
