"""What the doctor sees of a real Label Studio, whole and broken."""

import re
import socket
from datetime import timedelta

import pytest

from imgclf_dagster.doctor import label_studio as doctor_label_studio
from imgclf_dagster.doctor.findings import Finding
from imgclf_dagster.doctor.label_studio import examine_label_studio
from imgclf_dagster.label_studio.access import Access, backend_within_reach
from imgclf_dagster.settings.root import load_settings
from resources.label_studio.types import LabelStudioDown, TokenRefused
from tests.contract.imgclf_dagster.label_studio.label_studio_line import Line, line
from tests.label_studio.proxy import asked_again_at_once
from tests.ports import free_port

__all__ = ["line"]

pytestmark = pytest.mark.contract


def test_all_is_well(line: Line) -> None:
    with line.backend():
        line.set_up()
        found = line.findings()
    assert {finding.health for finding in found.values()} == {"ok"}, found
    assert found["label studio"].detail == f"1.23.2 at {line.server.url}"
    assert found["label studio token"].detail == f"legacy, of {line.server.username}"
    assert len(found) == 8


def test_nobody_is_there(line: Line) -> None:
    line.section["url"] = f"http://127.0.0.1:{free_port()}"
    with asked_again_at_once():
        found = line.findings()
        with pytest.raises(LabelStudioDown):
            line.set_up()
    assert [finding.health for finding in found.values()] == ["failed"]
    assert "no Label Studio answers" in found["label studio"].detail


def test_the_token_is_refused(line: Line) -> None:
    line.section["token"] = "f" * 40
    found = line.findings()
    assert found["label studio token"].health == "failed"
    assert "refuses the token" in found["label studio token"].detail
    assert set(found) <= {"label studio", "label studio token"}
    with pytest.raises(TokenRefused):
        line.set_up()


def test_there_is_no_token(line: Line) -> None:
    del line.section["token"]
    settings = load_settings(label_studio=line.section)
    (found,) = examine_label_studio(settings)
    assert (found.what, found.health) == ("label studio token", "failed")
    assert "IMGCLF_LABEL_STUDIO__TOKEN" in found.detail


def test_a_personal_token_is_reported_before_it_expires(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    line.section["token"] = line.server.personal_token()
    found = line.findings()["label studio token"]
    assert (found.health, found.detail.partition(",")[0]) == ("ok", "personal")
    monkeypatch.setattr(doctor_label_studio, "SOON", timedelta.max)
    found = line.findings()["label studio token"]
    assert (found.health, "it expires on" in found.detail) == ("warning", True)


def test_the_project_is_not_there(line: Line) -> None:
    found = line.findings()["label studio project"]
    assert found.health == "warning"
    assert "`imgclf label-studio setup`" in found.remedy


def test_the_project_lacks_a_label(line: Line) -> None:
    line.set_up()
    line.labels = {"names": ["cat", "dog", "bird"]}
    found = line.findings()["label studio project"]
    assert (found.health, "bird" in found.detail) == ("warning", True)


def test_the_backend_is_not_running(line: Line) -> None:
    with line.backend():
        line.set_up()
    found = line.findings()
    assert found["labelling backend"].health == "warning"
    assert "imgclf up" in found["labelling backend"].remedy
    assert found["label studio to backend"].health == "failed"


def test_the_backend_is_not_connected(line: Line) -> None:
    line.set_up()
    with line.backend():
        found = line.findings()
    assert found["labelling backend"].health == "ok"
    assert found["label studio to backend"].health == "warning"
    assert "setup" in found["label studio to backend"].remedy


def test_another_program_has_the_backends_port(line: Line) -> None:
    line.set_up()
    with line.backend(status=404):
        found = line.findings()["labelling backend"]
    assert found.health == "failed"
    assert "404" in found.detail


def test_the_backend_serves_another_model_than_its_title_says(line: Line) -> None:
    with line.backend("train-1"):
        project = line.set_up().project_id
        (backend,) = line.get("/api/ml/", project=project)
        assert backend["title"] != "train-1"  # by the records of the store nothing is served
        found = line.findings()["label studio to backend"]
    assert found.health == "warning"
    assert "serves train-1" in found.detail


def test_predictions_that_nobody_sees(line: Line) -> None:
    project = line.set_up().project_id
    line.predict(project, "train-7")
    found = line.findings()["label studio model version"]
    assert found.health == "warning"
    assert "shows none of them" in found.detail


def test_predictions_hidden_behind_a_backend_that_serves_nothing(line: Line) -> None:
    with line.backend() as url:
        project = line.set_up().project_id
        line.predict(project, "train-7")
        found = line.findings()["label studio model version"]
        assert (found.health, "shows none of them" in found.detail) == ("warning", True)
        line.retitle(project, "train-7")
        found = line.findings()["label studio to backend"]
        assert (found.health, "serves no model" in found.detail) == ("warning", True)
        line.set_up()
        found = line.findings()["label studio to backend"]
        assert found.detail == f"{url} as 'no model yet'"


def test_our_loopback_is_another_machines(line: Line) -> None:
    # By its name in the network, as if it were another machine.
    line.section["url"] = line.server.url.replace("127.0.0.1", socket.gethostname())
    settings = load_settings(label_studio=line.section)
    access = Access(settings.label_studio.url, "token", own=False)
    assert not backend_within_reach(settings, access)


def test_webhooks_that_lead_nowhere(line: Line) -> None:
    with line.backend():
        project = line.set_up().project_id
        (hook,) = [
            row
            for row in line.get("/api/webhooks/")
            if row["project"] == project and "X-Webhook-Secret" in row["headers"]
        ]
        dead = "http://127.0.0.1:9/webhook"
        with line.server.client() as client:
            copy = {name: hook[name] for name in ("headers", "project", "is_active")}
            client.post("/api/webhooks/", json={**copy, "url": dead, "send_for_all_actions": True})
        found = line.findings()["label studio webhook"]
        assert found.health == "warning"
        assert str(hook["id"]) in found.detail
        line.set_up()
        assert line.findings()["label studio webhook"].health == "ok"


def test_a_webhook_of_a_backend_that_is_gone(line: Line) -> None:
    """Label Studio makes one with each backend, and leaves it when the backend goes."""
    with line.backend() as url, line.server.client() as client:
        project = line.set_up().project_id
        made = [
            client.post("/api/webhooks/", json={"url": at, "project": project}).json()["id"]
            for at in ("http://127.0.0.1:9/webhook", f"{url}/webhook")
        ]
        found = line.findings()["label studio webhook"]
        assert found.health == "warning"
        assert _numbers(found) == made
        line.set_up()  # knows of the second one
        assert _numbers(line.findings()["label studio webhook"]) == made[:1]
        client.delete(f"/api/webhooks/{made[0]}/")
        assert line.findings()["label studio webhook"].health == "ok"


def _numbers(found: Finding) -> list[int]:
    named = re.search(r"too many webhooks: ([\d, ]+) \(", found.detail)
    assert named, found.detail
    return [int(number) for number in named[1].split(", ")]
