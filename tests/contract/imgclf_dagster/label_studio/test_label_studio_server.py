"""Label Studio as the product installs and starts it."""

import httpx
import pytest

from tests.label_studio.server import LabelStudioServer

pytestmark = pytest.mark.contract


def test_it_knows_its_token_and_only_that(label_studio: LabelStudioServer) -> None:
    with label_studio.client() as client:
        assert client.get("/api/current-user/whoami").json()["email"] == label_studio.username
        assert client.get("/api/version").json()["release"] == "1.23.2"
    anybody = httpx.get(f"{label_studio.url}/api/projects", headers={"Authorization": "Token no"})
    assert anybody.status_code == 401


def test_what_it_kept_is_there_after_a_crash(label_studio: LabelStudioServer) -> None:
    project = label_studio.project("outlives the server")
    label_studio.stop()
    assert not label_studio.running
    label_studio.start()
    with label_studio.client() as client:
        assert client.get(f"/api/projects/{project}").json()["title"] == "outlives the server"
    label_studio.delete_project(project)


def test_a_foreign_page_does_nothing_as_who_is_logged_in(label_studio: LabelStudioServer) -> None:
    own = {"Origin": label_studio.url, "Sec-Fetch-Site": "same-origin"}
    foreign = (
        {"Origin": "http://127.0.0.1:1", "Sec-Fetch-Site": "same-site"},
        {"Origin": "http://evil.example"},
        {"Host": "evil.example"},
        {"Host": "10.evil.example", **own},
    )
    with label_studio.client() as client:
        for headers in foreign:
            for method, path in (("POST", "/api/projects"), ("GET", "/api/current-user/whoami")):
                answer = client.request(method, path, headers=headers, data={"title": "foreign"})
                assert answer.status_code in {403, 421}
                assert answer.text.startswith("refused: ")
                assert "access-control-allow-origin" not in answer.headers
        titles = {project["title"] for project in client.get("/api/projects").json()["results"]}
        assert "foreign" not in titles
        assert client.get("/api/current-user/whoami", headers=own).status_code == 200
    by_name = {"Host": f"localhost:{httpx.URL(label_studio.url).port}"}
    assert httpx.get(f"{label_studio.url}/user/login/", headers=by_name).status_code == 200


def test_nobody_may_sign_up(label_studio: LabelStudioServer) -> None:
    with httpx.Client(base_url=label_studio.url, follow_redirects=True) as client:
        page = client.get("/user/signup/")
        form = {
            "email": "a@example.com",
            "password": "12345678aA",
            "csrfmiddlewaretoken": client.cookies.get("csrftoken", ""),
        }
        answer = client.post("/user/signup/", data=form)
    assert page.status_code in {200, 403}
    assert answer.status_code == 403, answer.text
    with label_studio.client() as client:
        known = {user["email"] for user in client.get("/api/users").json()}
    assert label_studio.username in known
    assert "a@example.com" not in known


def test_it_listens_on_loopback_only(label_studio: LabelStudioServer) -> None:
    import psutil

    port = httpx.URL(label_studio.url).port
    # Of all processes: a copy of a warm one is no descendant of what was started.
    listening = {
        connection.laddr.ip
        for connection in psutil.net_connections(kind="tcp")
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
    }
    assert listening == {"127.0.0.1"}
