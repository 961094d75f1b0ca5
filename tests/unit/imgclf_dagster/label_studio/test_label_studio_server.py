"""Label Studio of our own: its folder, its secrets and its variables."""

import stat
from pathlib import Path

import pytest

from guard import label_studio as guard_of_label_studio
from imgclf_dagster.deployment import __file__ as deployment
from imgclf_dagster.label_studio import install as label_studio_environment
from imgclf_dagster.label_studio.install import (
    VERSION,
    Installation,
    LabelStudioNotInstalled,
    environment_dir,
    find_installation,
    found_version,
    install,
)
from imgclf_dagster.label_studio.server import BLOCKED, Server
from imgclf_dagster.settings.root import SettingsError

pytestmark = pytest.mark.unit


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    database = tmp_path / "empty.sqlite3"
    database.write_bytes(b"migrated")
    return Installation(Path("/env/bin/python"), VERSION, database)


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path / "home" / "label-studio", tmp_path / "store", 8080)


def test_the_requirements_are_of_the_same_version() -> None:
    lines = (Path(deployment).parent / "label-studio.txt").read_text().splitlines()
    pinned = [line for line in lines if line and not line.startswith("#")]
    assert f"label-studio=={VERSION}" in pinned
    assert all("==" in line for line in pinned)


class TestPrepare:
    def test_secrets_and_database_are_for_the_owner_only(
        self, server: Server, installation: Installation
    ) -> None:
        server.prepare(installation)
        secrets = ("server-token", "password", "secret-key")
        files = [server.folder / name for name in secrets]
        files.append(server.data_dir / "label_studio.sqlite3")
        assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
        folders = (server.folder, server.data_dir)
        assert {stat.S_IMODE(path.stat().st_mode) for path in folders} == {0o700}
        assert len(server.token()) == 40
        assert len({path.read_text() for path in files[:3]}) == 3

    def test_again_nothing_changes(self, server: Server, installation: Installation) -> None:
        server.prepare(installation)
        token, password = server.token(), server.password()
        (server.data_dir / "label_studio.sqlite3").write_bytes(b"with labels")
        server.prepare(installation)
        assert (server.token(), server.password()) == (token, password)
        assert (server.data_dir / "label_studio.sqlite3").read_bytes() == b"with labels"

    def test_killed_between_secrets_and_database_it_goes_on(
        self, server: Server, installation: Installation
    ) -> None:
        server.prepare(installation)
        token = server.token()
        (server.data_dir / "label_studio.sqlite3").rename(server.data_dir / "new.sqlite3")
        server.prepare(installation)
        assert server.token() == token
        assert [path.name for path in server.data_dir.iterdir()] == ["label_studio.sqlite3"]

    @pytest.mark.parametrize("lost", ["server-token", "password"])
    def test_a_lost_secret_is_not_made_up_again(
        self, server: Server, installation: Installation, lost: str
    ) -> None:
        server.prepare(installation)
        (server.folder / lost).unlink()
        with pytest.raises(SettingsError, match=r"put them back, or delete .*label-studio"):
            server.prepare(installation)
        assert not (server.folder / lost).exists()


class TestStart:
    def test_on_loopback_and_never_on_another_port(
        self, server: Server, installation: Installation
    ) -> None:
        command = " ".join(server.command(installation))
        script = Path(guard_of_label_studio.__file__)
        assert command.startswith(f"/env/bin/python -I {script} start --no-browser")
        assert "--internal-host 127.0.0.1 --port 8080" in command
        # Label Studio looks for another port unless it is told this.
        assert command.endswith("--debug")

    def test_no_secret_is_in_the_command(self, server: Server, installation: Installation) -> None:
        server.prepare(installation)
        command = " ".join(server.command(installation))
        assert server.token() not in command
        assert server.password() not in command

    def test_the_variables(self, server: Server, installation: Installation) -> None:
        server.prepare(installation)
        found = server.environment()
        assert found["LABEL_STUDIO_USER_TOKEN"] == server.token()
        assert found["LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK"] == "true"
        assert found["LABEL_STUDIO_COLLECT_ANALYTICS"] == "false"
        assert found["LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT"] == str(server.document_root)
        # What a shell may have set for itself (HOST, DEBUG, PORT, USERNAME) is nothing to it.
        assert {"LABEL_STUDIO_HOST", "LABEL_STUDIO_DEBUG", "LABEL_STUDIO_USERNAME"} <= found.keys()

    def test_only_loopback_is_open(self) -> None:
        from ipaddress import ip_address, ip_network

        blocked = [ip_network(subnet) for subnet in BLOCKED.split(",")]

        def is_blocked(address: str) -> bool:
            return any(ip_address(address) in subnet for subnet in blocked)

        assert not is_blocked("127.0.0.1")
        assert not is_blocked("::1")
        for address in ("169.254.169.254", "fe80::1", "fd00:ec2::254", "10.0.0.1", "192.168.1.1"):
            assert is_blocked(address)


class TestInstallation:
    @pytest.fixture(autouse=True)
    def _cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        monkeypatch.delenv("IMGCLF_LABEL_STUDIO_ENV", raising=False)

    def fake(self, environment: Path, version: str) -> None:
        (environment / "bin").mkdir(parents=True)
        (environment / "bin" / "python").touch()
        packages = environment / "lib" / "python3.11" / "site-packages"
        (packages / f"label_studio-{version}.dist-info").mkdir(parents=True)
        (packages / "label_studio_sdk-2.1.2.dist-info").mkdir()

    def test_one_for_all_homes_of_a_user(self, tmp_path: Path) -> None:
        assert environment_dir() == tmp_path / "cache" / "imgclf" / f"label-studio-{VERSION}"
        assert find_installation() is None

    def test_a_ready_environment_may_be_named(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("IMGCLF_LABEL_STUDIO_ENV", str(tmp_path / "ready"))
        self.fake(tmp_path / "ready", "1.24.0")
        assert found_version(environment_dir()) == "1.24.0"
        assert find_installation() is None  # its database is not made yet
        database = tmp_path / "cache" / "imgclf" / "label-studio-1.24.0.sqlite3"
        database.parent.mkdir(parents=True)
        database.touch()
        found = find_installation()
        assert found is not None
        assert install() == found
        assert (found.version, found.python) == ("1.24.0", tmp_path / "ready" / "bin" / "python")

    def test_a_named_folder_without_it_is_not_filled(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = tmp_path / "somebody's"
        folder.mkdir()
        (folder / "thesis.txt").touch()
        monkeypatch.setenv("IMGCLF_LABEL_STUDIO_ENV", str(folder))
        with pytest.raises(LabelStudioNotInstalled, match="there is no Label Studio in"):
            install()
        assert [path.name for path in folder.iterdir()] == ["thesis.txt"]

    def test_without_uv_the_ways_out_are_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import uv

        def missing() -> str:
            raise FileNotFoundError("/nowhere/uv")

        monkeypatch.setattr(uv, "find_uv_bin", missing)
        with pytest.raises(LabelStudioNotInstalled) as error:
            install()
        assert "pip install uv" in str(error.value)
        assert "IMGCLF_LABEL_STUDIO_ENV" in str(error.value)
        assert "[label_studio]" in str(error.value)

    def test_an_unwritable_cache_is_reported(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "cache").write_text("a file where a folder should be")
        with pytest.raises(LabelStudioNotInstalled, match="make room and make it writable"):
            label_studio_environment.install()
