"""The port to Label Studio against a real server: connection and project."""

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
from tests.contract.resources.label_studio.label_studio_yard import (
    LABELS,
    Yard,
    make_yard,
    new_task,
)
from tests.label_studio.proxy import Fault, Proxy
from tests.label_studio.server import LabelStudioServer

pytestmark = pytest.mark.contract

ODD = ["a & b", '"q"', "<c>", "$d", "e,f"]


@pytest.fixture
def yard(label_studio: LabelStudioServer, request: pytest.FixtureRequest) -> Yard:
    return make_yard(label_studio, request.node.name)


@pytest.fixture
def proxy(label_studio: LabelStudioServer) -> Iterator[Proxy]:
    with Proxy(label_studio.url) as running:
        yield running


def test_who_and_what(yard: Yard):
    assert yard.port.server.user() == User(1, yard.server.username)
    assert yard.port.server.version() == "1.23.2"
    assert yard.port.configured
    assert yard.port.token_kind == "legacy"


def test_nothing_shows_the_token(yard: Yard):
    import dagster as dg
    from dagster._core.remote_representation.external_data import RepositorySnap
    from dagster._serdes import serialize_value

    token = yard.server.token
    definitions = dg.Definitions(resources={"label_studio": yard.port})
    shown = serialize_value(RepositorySnap.from_def(definitions.get_repository_def()))
    session = open_session(yard.server.url, token)
    assert token not in f"{yard.port} {yard.port!r} {session!r} {session.auth!r} {shown}"
    assert yard.server.url in shown
    with pytest.raises(TokenRefused) as refused:
        yard.port_at(yard.server.url, token=f"{token[:-1]}x").server.user()
    assert token[:-1] not in str(refused.value)


def test_not_configured():
    port = LabelStudioClient(url="", token="")
    assert not port.configured
    with pytest.raises(LabelStudioRefused, match="imgclf up --label-studio"):
        port.server.user()


def test_refused_token_names_the_remedy(yard: Yard):
    for token in ("0" * 40, "eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjF9.c2ln"):
        port = yard.port_at(yard.server.url, token=token)
        with pytest.raises(TokenRefused, match=f"{yard.server.url} refuses .*Account"):
            port.project.read()


def test_personal_token(yard: Yard, proxy: Proxy):
    token = yard.server.personal_token()
    port = yard.port_at(proxy.url, token=token)
    assert port.token_kind == "personal"
    assert port.server.user().email == yard.server.username
    assert port.project.read().title == yard.title
    assert proxy.count("POST", "/api/token/refresh/") == 1
    assert port.project.ensure(LabelSchema(), ["x", "y"]).labels == ("x", "y")  # by the SDK
    auth = open_session(proxy.url, token).auth
    auth._ends = time.time()  # type: ignore[union-attr]
    port.server.user()
    assert proxy.count("POST", "/api/token/refresh/") == 2


def test_nobody_listens():
    port = LabelStudioClient(url="http://127.0.0.1:9", token="0" * 40, project_title="x")
    with pytest.raises(LabelStudioDown, match=r"no Label Studio answers at http://127\.0\.0\.1:9"):
        port.server.user()


def test_a_restart_is_survived(yard: Yard):
    before = yard.port.project.read()
    yard.server.stop()
    with pytest.raises(LabelStudioDown, match="label_studio.url"):
        yard.port.project.read()
    yard.server.start()
    assert yard.port.project.read() == before


@pytest.mark.parametrize("kind", ["lose", "drop", "status"])
def test_a_question_is_asked_again(yard: Yard, proxy: Proxy, kind):
    proxy.fail(Fault(kind, "GET", "/api/version"), Fault(kind, "GET", "/api/version"))
    assert yard.port_at(proxy.url).server.version() == "1.23.2"
    assert proxy.count("GET", "/api/version") == 3


def test_a_slow_server_is_given_up(yard: Yard, proxy: Proxy, monkeypatch):
    monkeypatch.setattr("resources.label_studio.session.TIMEOUT_S", 0.5)
    proxy.fail(Fault("late", "GET", "/api/version", seconds=3))
    with pytest.raises(LabelStudioDown, match=r"GET /api/version within 0\.5 s"):
        yard.port_at(f"{proxy.url}/").server.version()


def test_project_made_once(yard: Yard):
    project = yard.port.project.read()
    assert (project.labels, project.choice) == (LABELS, "single")
    assert (project.sampling, project.shows_predictions) == ("Uncertainty sampling", True)
    assert yard.port.project.ensure(LabelSchema(), LABELS) == project
    assert (
        yard.port_at(yard.server.url, project_title="", project_id=project.id).project.read()
        == project
    )


def test_made_once_though_the_answer_is_lost(label_studio: LabelStudioServer, proxy: Proxy):
    title = "lost, but made"
    port = LabelStudioClient(url=proxy.url, token=label_studio.token, project_title=title)
    with pytest.raises(ProjectMissing, match=title):
        port.project.read()
    proxy.fail(Fault("lose", "POST", "/api/projects"))
    made = port.project.ensure(LabelSchema(task="multi_label"), ODD)
    assert (made.labels, made.choice) == (tuple(ODD), "multiple")
    assert port.project.ensure(LabelSchema(task="multi_label"), ODD).id == made.id
    with label_studio.client() as client:
        rows = client.get("/api/projects/", params={"page_size": "1000"}).json()["results"]
    assert [row["title"] for row in rows].count(title) == 1


def test_deleted_project(yard: Yard):
    gone = yard.id
    yard.server.delete_project(gone)
    for port in (yard.port, yard.port_at(yard.server.url, project_id=gone)):
        for ask in (
            port.project.read,
            port.tasks.list_refs,
            lambda port=port: list(port.tasks.changed_since(None, limit=5)),
        ):
            with pytest.raises(ProjectMissing, match="imgclf up --label-studio"):
                ask()
        with pytest.raises(ProjectMissing):
            port.imports.import_missing([new_task(1)])
    assert yard.port.project.ensure(LabelSchema(), LABELS).id != gone


def test_a_project_and_its_tasks_tell_when_they_were_made(yard: Yard):
    before = datetime.now(UTC)
    made = yard.port.project.read().created_at
    assert abs(before - made) < timedelta(minutes=5)
    yard.port.imports.import_missing([new_task(1)])
    yard.annotate(yard.task_id(1))
    (ref,) = yard.port.tasks.list_refs()
    (raw,) = yard.port.tasks.changed_since(None, limit=5)
    reading = read_task(raw)
    (said,) = reading.snapshots
    assert said.created_at is not None
    assert made < ref.created_at < said.created_at
    assert reading.created_at == ref.created_at
    assert yard.port.project.read().created_at == made


def test_spaces_around_a_title(yard: Yard):
    port = yard.port_at(yard.server.url, project_title=f" {yard.title} ")
    assert port.project.ensure(LabelSchema(), LABELS).id == yard.id


def test_title_that_the_server_would_not_take(label_studio: LabelStudioServer):
    port = LabelStudioClient(url=label_studio.url, token=label_studio.token, project_title="x" * 51)
    with pytest.raises(LabelStudioRefused, match="3 to 50 characters"):
        port.project.ensure(LabelSchema(), LABELS)


def test_labels_may_be_added_and_unused_ones_go(yard: Yard):
    assert yard.port.project.ensure(LabelSchema(), [*LABELS, "fish"]).labels == (*LABELS, "fish")
    assert yard.port.project.ensure(LabelSchema(), ["fish", "cat"]).labels == ("fish", "cat")


def test_a_label_in_use_stays(yard: Yard):
    yard.port.imports.import_missing([new_task(1), new_task(2)])
    for number in (1, 2):
        yard.annotate(yard.task_id(number), "dog")
    with pytest.raises(LabelStudioRefused, match=r"dog \(2 annotations\).*labels\.names"):
        yard.port.project.ensure(LabelSchema(), ["cat", "bird"])
    assert yard.port.project.read().labels == LABELS


def test_a_class_that_was_renamed_leaves_the_page_though_annotations_use_it(yard: Yard):
    yard.port.imports.import_missing([new_task(1), new_task(2)])
    yard.annotate(yard.task_id(1), "dog")
    with pytest.raises(LabelStudioRefused, match=r"dog \(1 annotation\)"):
        yard.port.project.ensure(LabelSchema(), ["cat", "hound"], renamed=["bird"])
    project = yard.port.project.ensure(LabelSchema(), ["cat", "hound"], renamed=["dog"])
    assert project.labels == ("cat", "hound")


def test_a_page_of_before_it_told_of_its_keys_is_replaced(yard: Yard):
    page = label_config(LabelSchema(), LABELS)
    view = ET.fromstring(page)
    view.remove(view.findall("Header")[1])
    del view.find("Choices").attrib["requiredMessage"]
    yard.patch(f"/api/projects/{yard.id}/", label_config=ET.tostring(view, encoding="unicode"))
    yard.port.project.ensure(LabelSchema(), LABELS)
    assert yard.get(f"/api/projects/{yard.id}/")["label_config"] == page


def test_what_people_add_to_the_page_stays(yard: Yard):
    page = label_config(LabelSchema(), LABELS)
    added = page.replace("</View>", '<TextArea name="note" toName="image"/></View>')
    yard.patch(f"/api/projects/{yard.id}/", label_config=added)
    yard.port.project.ensure(LabelSchema(), LABELS)
    now = yard.get(f"/api/projects/{yard.id}/")["label_config"]
    assert now == added
    assert parse_label_config(now).names == LABELS
