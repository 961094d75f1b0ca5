"""A Label Studio that blocks private networks, as it does by default, or nothing at all."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from imgclf_dagster.doctor.findings import Finding
from imgclf_dagster.doctor.label_studio import examine_label_studio
from imgclf_dagster.home.home import prepare_home
from imgclf_dagster.label_studio.install import Installation
from imgclf_dagster.label_studio.setup import set_up
from imgclf_dagster.settings.root import Settings, load_settings
from tests.label_studio.server import LabelStudioServer
from tests.ports import free_port

pytestmark = pytest.mark.contract

Start = Callable[..., LabelStudioServer]


@pytest.fixture
def start(
    tmp_path: Path, label_studio_installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Start]:
    """Starts a server of its own with other variables."""
    started = []
    monkeypatch.setenv("IMGCLF_HOME", str(tmp_path / "ls" / "files" / "home"))
    for name in ("DAGSTER_HOME", "IMGCLF_SETTINGS"):
        monkeypatch.delenv(name, raising=False)

    def starting(**variables: str) -> LabelStudioServer:
        server = LabelStudioServer(tmp_path / "ls", label_studio_installation, variables)
        started.append(server)
        return server.start()

    yield starting
    for server in started:
        server.close()


def settings_for(server: LabelStudioServer) -> Settings:
    settings = load_settings(
        label_studio={"url": server.url, "token": server.token},
        labels={"names": ["cat", "dog"]},
        ports={"labelling": free_port()},
    )
    prepare_home(settings)
    return settings


def network(settings: Settings) -> Finding:
    return next(
        finding
        for finding in examine_label_studio(settings)
        if finding.what == "label studio network"
    )


def test_as_it_is_by_default_it_blocks_us(start: Start) -> None:
    server = start(LABEL_STUDIO_USE_DEFAULT_BANNED_SUBNETS="true")
    settings = settings_for(server)
    problems = set_up(settings).problems
    assert [problem.partition(" at ")[0] for problem in problems] == [
        "the ML backend",
        "the webhook: Label Studio",
    ]
    for problem in problems:
        assert "reserved network address" in problem
        assert "USER_ADDITIONAL_BANNED_SUBNETS=169.254.0.0/16" in problem
    found = network(settings)
    assert found.health == "failed"
    assert "USE_DEFAULT_BANNED_SUBNETS=false" in found.remedy
    with server.client() as client:
        assert client.get("/api/webhooks/").json() == []  # the look left nothing behind


def test_one_that_blocks_nothing_is_reported(start: Start) -> None:
    server = start(LABEL_STUDIO_SSRF_PROTECTION_ENABLED="false")
    found = network(settings_for(server))
    assert found.health == "warning"
    assert "169.254.169.254" in found.detail
