"""Under which names our servers are reached: the setting, and that every program is told."""

import re
from pathlib import Path

import pytest

from guard.arguments import OPTION
from imgclf_dagster.cli.up.up import programs
from imgclf_dagster.home.home import prepare_home
from imgclf_dagster.home.template import settings_template
from imgclf_dagster.label_studio.access import own_server
from imgclf_dagster.label_studio.install import VERSION, Installation
from imgclf_dagster.label_studio.programs import labelling_programs
from imgclf_dagster.mlflow_server import variables
from imgclf_dagster.processes.supervisor import ProcessSpec
from imgclf_dagster.settings.root import Settings, SettingsError, load_settings

pytestmark = pytest.mark.unit

NO_SERVER = {"Code server", "Dagster daemon"}
"""They listen on no port of TCP."""


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMGCLF_HOME", str(tmp_path / "home"))


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    database = tmp_path / "empty.sqlite3"
    database.write_bytes(b"migrated")
    return Installation(Path("/env/bin/python"), VERSION, database)


def started(settings: Settings, installation: Installation) -> dict[str, ProcessSpec]:
    """What ``imgclf up --label-studio`` would start, by name."""
    prepare_home(settings)
    specs = programs(settings, labelling_programs(settings, installation))
    return {spec.name: spec for spec in specs}


def hosts_of(spec: ProcessSpec) -> list[str]:
    """The names that a program is given on its command line."""
    pairs = zip(spec.argv, spec.argv[1:], strict=False)
    return [value for name, value in pairs if name == OPTION]


def test_names_are_taken_from_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().web.allowed_hosts == ()
    monkeypatch.setenv("IMGCLF_WEB__ALLOWED_HOSTS", '["Line.Example.org", "[fd00::0:5]"]')
    assert load_settings().web.allowed_hosts == ("line.example.org", "fd00::5")


def test_it_is_in_the_file_that_is_written_first() -> None:
    assert re.search(r"\[web\]\n# allowed_hosts = \[\] +# Host names", settings_template())


def test_mlflow_opens_where_experiments_of_training_are(installation: Installation) -> None:
    url = started(load_settings(), installation)["MLflow"].url
    assert url == "http://127.0.0.1:5000/#/experiments?workflowType=machine_learning"


@pytest.mark.parametrize("wrong", ["*", "https://line.example.org", "line.example.org:3000", ""])
def test_what_is_no_name_is_refused_by_its_place(wrong: str) -> None:
    with pytest.raises(SettingsError, match=r"web\.allowed_hosts"):
        load_settings(web={"allowed_hosts": [wrong]})


def test_every_program_is_told(installation: Installation) -> None:
    settings = load_settings(web={"allowed_hosts": ["line.example.org", "fd00::5"]})
    specs = started(settings, installation)
    for name in ("Dagster", "Endpoints", "Predictor"):
        assert hosts_of(specs[name]) == ["line.example.org", "fd00::5"]
    assert hosts_of(specs["Labelling"])[:2] == ["line.example.org", "fd00::5"]
    assert specs["MLflow"].env == {**specs["MLflow"].env, **variables(settings.web.allowed_hosts)}
    known = specs["Label Studio"].env["LABEL_STUDIO_ALLOWED_HOSTS"].split(",")
    assert known == ["localhost", "127.0.0.1", "[::1]", "line.example.org", "[fd00::5]"]
    assert specs["Label Studio"].env["LABEL_STUDIO_CORS_ALLOW_ALL_ORIGINS"] == "false"
    others = {"Dagster", "Endpoints", "Predictor", "Labelling", "MLflow", "Label Studio"}
    assert set(specs) == NO_SERVER | others, "a new server: guard it, and name it here"


def test_dagster_and_mlflow_are_started_guarded(installation: Installation) -> None:
    specs = started(load_settings(), installation)
    assert specs["Dagster"].argv[1:3] == ("-m", "imgclf_dagster.webserver")
    assert specs["MLflow"].argv[1:4] == ("-m", "imgclf_dagster.mlflow_server", "server")
    assert all(not hosts_of(spec) for spec in specs.values() if spec.name != "Labelling")


def test_the_backend_is_known_by_the_name_that_label_studio_is_given(
    installation: Installation,
) -> None:
    elsewhere = {"backend_url": "http://Host.Docker.internal:9090", "backend_host": "0.0.0.0"}
    specs = started(load_settings(label_studio=elsewhere), installation)
    assert hosts_of(specs["Labelling"]) == ["host.docker.internal", "127.0.0.1"]
    specs = started(load_settings(label_studio={"backend_host": "box.lan"}), installation)
    assert hosts_of(specs["Labelling"]) == ["box.lan"]


def test_label_studio_of_our_own_knows_loopback_alone(installation: Installation) -> None:
    server = own_server(load_settings())
    server.prepare(installation)
    assert server.environment()["LABEL_STUDIO_ALLOWED_HOSTS"] == "localhost,127.0.0.1,[::1]"


class TestMlflow:
    def test_its_own_check_knows_the_same_names(self) -> None:
        from mlflow.server.security_utils import is_allowed_host_header, should_block_cors_request

        given = variables(["line.example.org", "fd00::5"])
        patterns = given["MLFLOW_SERVER_ALLOWED_HOSTS"].split(",")
        for host in ("127.0.0.1", "localhost", "[::1]", "line.example.org", "[fd00::5]"):
            assert is_allowed_host_header(patterns, host)
            assert is_allowed_host_header(patterns, f"{host}:5000")
        for host in ("10.evil.example", "192.168.evil.example:5000", "10.0.0.5", ":", "1"):
            assert not is_allowed_host_header(patterns, host)
        origins = given["MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"].split(",")
        assert not should_block_cors_request("https://line.example.org", "POST", origins)
        assert should_block_cors_request("https://evil.example", "POST", origins)

    def test_without_names_no_other_origin_is_named(self) -> None:
        assert "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS" not in variables([])

    def test_what_its_server_process_runs_is_guarded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import mlflow.cli
        import mlflow.server

        from imgclf_dagster import mlflow_server

        monkeypatch.setattr(mlflow.cli, "cli", lambda: None)
        monkeypatch.setattr(
            mlflow.server, "_build_uvicorn_command", mlflow.server._build_uvicorn_command
        )
        mlflow_server.main()
        stock = ("", "127.0.0.1", 5000, 1)
        command = mlflow.server._build_uvicorn_command(*stock, "mlflow.server.fastapi_app:app")
        assert command[-2:] == ["--factory", "imgclf_dagster.mlflow_server:create_app"]
        with pytest.raises(SystemExit, match="cannot be protected"):
            mlflow.server._build_uvicorn_command(*stock, "mlflow.another:app")
